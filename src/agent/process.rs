//! The process of an agent, under a name that no other process ever gets.
//!
//! A killed process sends no last hook, and the system reuses its process id. So the name of a process holds the
//! machine, the boot, the pid namespace, the user, the process id and the start time. Only a program in the same pid
//! namespace and of the same user can tell whether the process still runs. Every other program gets no answer, except
//! after a reboot of the machine, which ended the process.
//!
//! The facts come from the table of processes of the system: `/proc` on Linux, `sysinfo` on macOS. On any other system
//! the table is empty, and no program gets an answer.

use std::fmt;
use std::io;
use std::str::FromStr;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux::LinuxProcesses as ThisSystem;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos::MacosProcesses as ThisSystem;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod elsewhere;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
use elsewhere::NoProcesses as ThisSystem;

/// How many ancestors of a hook process are searched for the agent. Two shells, a wrapper and a version manager fit.
const MAX_GENERATIONS_ABOVE: usize = 8;
/// The inode of the initial pid namespace: the namespace of a machine outside its containers.
const MACHINE_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// Stands in for the id of a machine that has none.
const NO_MACHINE_ID: &str = "-";

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    space: ProcessSpace,
    id: u32,
    /// The start time: ticks since the boot on Linux, seconds since 1970 on macOS.
    began: u64,
}

/// The machine, boot, pid namespace and user within which a process id means one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSpace {
    machine: String,
    boot: String,
    pid_namespace: u64,
    user: u32,
}

/// A text that names no process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the name of a process, as in <machine>:<boot>:<name space>:<user>:<id>:<ticks>")]
pub struct NotAProcess;

/// A running process, as the table of a system lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RunningProcess {
    /// The short name, and the names of the file that the process executes and of its first argument.
    names: Vec<String>,
    parent: u32,
    began: u64,
}

/// The table of the running processes of a system.
trait ProcessTable {
    /// The space of this process. None: the system does not tell.
    fn space() -> Option<ProcessSpace>;

    /// A running process. None: no process with this id runs. A process that has ended and waits only for its parent
    /// does not run.
    fn find(id: u32) -> io::Result<Option<RunningProcess>>;

    /// The command lines of the processes below a process, each with the time of its start in milliseconds since 1970.
    /// Empty: there are none, or the system does not tell.
    fn commands_below(id: u32) -> Vec<(i64, String)>;
}

impl Process {
    /// The nearest ancestor of this process with one of these names. None: no ancestor has one, or the system does not
    /// tell.
    pub fn above(names: &[&str]) -> Option<Self> {
        let mut id = std::os::unix::process::parent_id();
        for _ in 0..MAX_GENERATIONS_ABOVE {
            let running = ThisSystem::find(id).ok()??;
            if running.names.iter().any(|name| names.contains(&name.as_str())) {
                return Some(Self { space: ThisSystem::space()?, id, began: running.began });
            }
            id = running.parent;
        }
        None
    }

    /// The running process with this id. None: there is none, or the system does not tell.
    pub fn running(id: u32) -> Option<Self> {
        ProcessSpace::here()?.running(id)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The start time: ticks since the boot on Linux, seconds since 1970 on macOS.
    pub fn began(&self) -> u64 {
        self.began
    }

    /// The space of the process.
    pub fn space(&self) -> &ProcessSpace {
        &self.space
    }

    /// The command lines of the processes below this one, each with the time of its start in milliseconds since 1970.
    /// Empty: there are none, the process is of another space, or the system does not tell.
    pub fn commands_below(&self) -> Vec<(i64, String)> {
        if ThisSystem::space().is_some_and(|here| here.has(self) == Some(true)) {
            ThisSystem::commands_below(self.id)
        } else {
            Vec::new()
        }
    }
}

impl ProcessSpace {
    /// The space of this process. None: the system does not tell.
    pub fn here() -> Option<Self> {
        ThisSystem::space()
    }

    /// The running process with this id, if this space is [`Self::here`]. None: there is none, or the system does not
    /// tell.
    pub(super) fn running(&self, id: u32) -> Option<Process> {
        Some(Process { space: self.clone(), id, began: ThisSystem::find(id).ok()??.began })
    }

    /// Whether a process still runs. None: the process is of another space, or the system does not say.
    pub fn has(&self, process: &Process) -> Option<bool> {
        let space = &process.space;
        if space == self {
            let running = ThisSystem::find(process.id).ok()?;
            return Some(running.is_some_and(|running| running.began == process.began));
        }
        // A process ends with the boot of its machine. This holds outside containers only: two containers on different
        // machines can have the same machine id.
        let same_machine = space.machine == self.machine && space.machine != NO_MACHINE_ID;
        let restarted = same_machine
            && space.boot != self.boot
            && space.pid_namespace == MACHINE_PID_NAMESPACE
            && self.pid_namespace == MACHINE_PID_NAMESPACE;
        restarted.then_some(false)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { space: ProcessSpace { machine, boot, pid_namespace, user }, id, began } = self;
        write!(f, "{machine}:{boot}:{pid_namespace}:{user}:{id}:{began}")
    }
}

impl FromStr for Process {
    type Err = NotAProcess;

    fn from_str(text: &str) -> Result<Self, NotAProcess> {
        let [machine, boot, pid_namespace, user, id, began] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(NotAProcess);
        };
        let is_machine = machine == NO_MACHINE_ID || (machine.len() == 32 && is_hex(machine));
        let is_boot = boot.len() == 36 && boot.split('-').all(is_hex);
        let process = Self {
            space: ProcessSpace {
                machine: machine.to_owned(),
                boot: boot.to_owned(),
                pid_namespace: pid_namespace.parse().map_err(|_| NotAProcess)?,
                user: user.parse().map_err(|_| NotAProcess)?,
            },
            id: id.parse().map_err(|_| NotAProcess)?,
            began: began.parse().map_err(|_| NotAProcess)?,
        };
        if is_machine && is_boot { Ok(process) } else { Err(NotAProcess) }
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{MACHINE_PID_NAMESPACE, Process, ProcessSpace};

    const TEXT: &str =
        "0123456789abcdef0123456789abcdef:0f7a31f6-6b0e-4f7e-9d3a-0a9d1f8f5c11:4026531836:1000:4711:987654";

    #[test]
    fn process_names_parse_and_other_texts_are_refused() {
        for text in [TEXT, &format!("-{}", &TEXT[32..])] {
            assert_eq!(text.parse::<Process>().expect("a process").to_string(), text);
        }
        for text in
            ["", "1", &TEXT[1..], &TEXT.replace("4711", "-1"), &format!("{TEXT}:1"), &TEXT.replace("0f7a", "../.")]
        {
            assert!(text.parse::<Process>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_process_ends_with_the_boot_of_its_machine() {
        let process = TEXT.parse::<Process>().expect("a process");
        let here = |change: &dyn Fn(&mut ProcessSpace)| {
            let mut space = process.space.clone();
            change(&mut space);
            space.has(&process)
        };
        let boot = "1f7a31f6-6b0e-4f7e-9d3a-0a9d1f8f5c11";
        assert_eq!(here(&|space| space.boot = boot.into()), Some(false));
        assert_eq!(here(&|space| space.user = 1), None);
        assert_eq!(here(&|space| (space.boot, space.machine) = (boot.into(), "0".repeat(32))), None);
        assert_eq!(here(&|space| (space.boot, space.pid_namespace) = (boot.into(), MACHINE_PID_NAMESPACE + 1)), None);
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    #[test]
    fn a_process_is_alive_until_it_ends() {
        let here = ProcessSpace::here().expect("a space");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let process = Process::running(child.id()).expect("there");
        assert_eq!(here.has(&process), Some(true));
        let later = Process { began: process.began + 1, ..process.clone() };
        assert_eq!(here.has(&later), Some(false), "the process id was reused");
        child.kill().expect("killed");
        child.wait().expect("an exit status");
        assert_eq!(here.has(&process), Some(false));
    }
}
