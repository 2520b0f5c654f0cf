//! The processes of macOS, from `sysinfo`.

use std::io;
use std::path::Path;

use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::{ProcessSpace, ProcessTable, RunningProcess};
use crate::agent::checksum;

/// The start times of macOS are times of the calendar, so no two boots share one. The place of the boot stays empty.
const NO_BOOT: &str = "00000000-0000-0000-0000-000000000000";

pub(super) struct MacosProcesses;

impl ProcessTable for MacosProcesses {
    fn space() -> Option<ProcessSpace> {
        let own = Pid::from_u32(std::process::id());
        let system = look_at(own, ProcessRefreshKind::nothing().with_user(UpdateKind::Always));
        let user = **system.process(own)?.user_id()?;
        // The name of the machine stands in for its id. A machine that gets another name counts as another machine.
        let machine = digest(System::host_name()?.as_bytes());
        Some(ProcessSpace { machine, boot: NO_BOOT.to_owned(), pid_namespace: 0, user })
    }

    fn find(id: u32) -> io::Result<Option<RunningProcess>> {
        let id = Pid::from_u32(id);
        let refresh = ProcessRefreshKind::nothing().with_exe(UpdateKind::Always).with_cmd(UpdateKind::Always);
        let system = look_at(id, refresh);
        let Some(process) = system.process(id).filter(|process| process.status() != ProcessStatus::Zombie) else {
            return Ok(None);
        };
        let file_name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let names = [
            Some(process.name().to_string_lossy().into_owned()),
            process.exe().and_then(file_name),
            process.cmd().first().and_then(|first| file_name(Path::new(first))),
        ];
        Ok(Some(RunningProcess {
            names: names.into_iter().flatten().collect(),
            parent: process.parent().map_or(0, Pid::as_u32),
            began: process.start_time(),
        }))
    }

    /// Deliberately none: macOS lists the children of a process only with all processes of the machine.
    fn commands_below(_: u32) -> Vec<(i64, String)> {
        Vec::new()
    }
}

fn look_at(id: Pid, refresh: ProcessRefreshKind) -> System {
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, refresh);
    system
}

/// 32 hexadecimal digits of a text, the same in every version of this program (two checksums with two beginnings).
fn digest(text: &[u8]) -> String {
    let from = |beginning: u64| checksum::carry_on(beginning, text);
    format!("{:016x}{:016x}", from(checksum::BEGINNING), from(0x6c62_272e_07bb_0142))
}
