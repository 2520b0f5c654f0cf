//! The processes of Linux, from `/proc`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{NO_MACHINE_ID, ProcessSpace, ProcessTable, RunningProcess, is_hex};

/// The error number `ESRCH`: the process ended while its file was read.
const NO_SUCH_PROCESS: i32 = 3;
/// How many processes below an agent are looked at. An agent runs a few commands at a time.
const MAX_PROCESSES_BELOW: usize = 256;
/// How much of a command line is read. The shell of an agent quotes the command after a few hundred bytes of its own.
const MAX_COMMAND_LINE_BYTES: usize = 16 * 1024;
/// Linux shows times in `/proc` in hundredths of a second, on every architecture that it supports.
const MS_PER_TICK: u64 = 10;

pub(super) struct LinuxProcesses;

impl ProcessTable for LinuxProcesses {
    fn space() -> Option<ProcessSpace> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let machine = Some(machine.trim()).filter(|id| is_hex(id) && id.len() == 32).unwrap_or(NO_MACHINE_ID);
        Some(ProcessSpace {
            machine: machine.to_owned(),
            boot: boot.trim().to_owned(),
            pid_namespace: fs::metadata("/proc/self/ns/pid").ok()?.ino(),
            user: fs::metadata("/proc/self").ok()?.uid(),
        })
    }

    fn find(id: u32) -> io::Result<Option<RunningProcess>> {
        let Some(stat) = Stat::read(id)?.filter(Stat::runs) else { return Ok(None) };
        let executed = fs::read_link(format!("/proc/{id}/exe")).ok();
        // The file of a process that was updated under it has this ending.
        let executed = executed.as_deref().and_then(Path::file_name).map(|name| {
            let name = name.to_string_lossy();
            name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
        });
        let command_line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let first =
            String::from_utf8_lossy(command_line.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
        let first = Path::new(&first).file_name().map(|name| name.to_string_lossy().into_owned());
        let names = [Some(stat.name), executed, first].into_iter().flatten().collect();
        Ok(Some(RunningProcess { names, parent: stat.parent, began: stat.began }))
    }

    fn commands_below(id: u32) -> Vec<(i64, String)> {
        let Some(booted_ms) = booted_ms() else { return Vec::new() };
        let (mut found, mut open) = (Vec::new(), vec![id]);
        while let Some(parent) = open.pop() {
            // The kernel can be built without this list. Then the system does not tell.
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            for child in children.split_ascii_whitespace().filter_map(|text| text.parse::<u32>().ok()) {
                if found.len() + open.len() >= MAX_PROCESSES_BELOW {
                    return found;
                }
                open.push(child);
                let Ok(Some(stat)) = Stat::read(child) else { continue };
                let mut line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                line.truncate(MAX_COMMAND_LINE_BYTES);
                let began_ms = booted_ms.saturating_add(stat.began.saturating_mul(MS_PER_TICK));
                found.push((i64::try_from(began_ms).unwrap_or(i64::MAX), String::from_utf8_lossy(&line).into_owned()));
            }
        }
        found
    }
}

/// The time of the boot, in milliseconds since 1970.
fn booted_ms() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<u64>().ok()?;
    seconds.checked_mul(1_000)
}

/// The fields of `/proc/<id>/stat` that are used here.
struct Stat {
    name: String,
    state: char,
    parent: u32,
    began: u64,
}

impl Stat {
    /// Reads the fields of one process. None: there is no such process.
    fn read(id: u32) -> io::Result<Option<Self>> {
        match fs::read(format!("/proc/{id}/stat")) {
            Ok(text) => Ok(Self::parse(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(NO_SUCH_PROCESS) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A zombie has ended: only its parent has not read its exit status yet.
    fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Parses the file. The name is in brackets and may contain brackets and spaces itself.
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            began: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{LinuxProcesses, ProcessTable, Stat};

    #[test]
    fn a_name_may_contain_brackets_and_spaces() {
        let stat = Stat::parse("7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 555 9 10").expect("a stat");
        assert_eq!((stat.name.as_str(), stat.state, stat.parent, stat.began), ("a) b (c)", 'S', 3, 555));
    }

    #[test]
    fn a_process_is_known_by_its_file_and_its_first_argument() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("claude.exe");
        // Another process writes the copy. A child that a test beside this one starts would inherit a file that this
        // process has open for writing, and the kernel starts no program that is open for writing.
        let copied = Command::new("cp").arg("/bin/sleep").arg(&program).status().expect("a copy");
        assert!(copied.success(), "{copied}");
        let mut child = Command::new(&program).arg("60").spawn().expect("a process");
        let running = LinuxProcesses::find(child.id()).expect("readable").expect("there");
        child.kill().expect("killed");
        child.wait().expect("an exit status");
        assert!(running.names.iter().any(|name| name == "claude.exe"), "{running:?}");
    }

    #[test]
    fn the_commands_below_a_process_have_their_start() {
        let mut shell =
            Command::new("sh").args(["-c", "sleep 61 & read -r _"]).stdin(Stdio::piped()).spawn().expect("a shell");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let found = loop {
            let found = LinuxProcesses::commands_below(shell.id());
            let is_there = found.iter().any(|(_, line)| line.contains("sleep\x0061"));
            if is_there || std::time::Instant::now() > deadline {
                break found;
            }
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_millis();
        shell.kill().expect("killed");
        shell.wait().expect("an exit status");
        let (began, _) = found.iter().find(|(_, line)| line.contains("sleep\x0061")).expect("the command");
        let age = i64::try_from(now).expect("a time") - began;
        assert!((-2_000..60_000).contains(&age), "{age} ms old");
    }
}
