//! The process of an agent, under a name that no other process ever gets.
//!
//! A killed process sends no last hook, and the system reuses its process id. So the name of a process holds the
//! machine, the boot, the pid namespace, the user, the process id and the start time. Only a program in the same pid
//! namespace and of the same user can tell whether the process still runs. Every other program gets no answer, except
//! after a reboot of the machine, which ended the process. On a system without `/proc` no program gets an answer.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;

/// How many ancestors of a hook process are searched for the agent. Two shells, a wrapper and a version manager fit.
const MAX_GENERATIONS_ABOVE: usize = 8;
/// The inode of the initial pid namespace: the namespace of a machine outside its containers.
const MACHINE_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// Stands in for the id of a machine that has none.
const NO_MACHINE_ID: &str = "-";
/// The error number `ESRCH`: the process ended while its file was read.
const NO_SUCH_PROCESS: i32 = 3;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    space: ProcessSpace,
    id: u32,
    /// The start time, in ticks since the boot.
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

impl Process {
    /// The nearest ancestor of this process with this name. None: no ancestor has the name, or the system has no
    /// `/proc`.
    pub fn above(name: &str) -> Option<Self> {
        let mut id = std::os::unix::process::parent_id();
        for _ in 0..MAX_GENERATIONS_ABOVE {
            let stat = Stat::read(id).ok()??;
            if stat.name == name {
                return Some(Self { space: ProcessSpace::here()?, id, began: stat.began });
            }
            id = stat.parent;
        }
        None
    }
}

impl ProcessSpace {
    /// The space of this process. None: the system has no `/proc`.
    pub fn here() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let machine = Some(machine.trim()).filter(|id| is_hex(id) && id.len() == 32).unwrap_or(NO_MACHINE_ID);
        Some(Self {
            machine: machine.to_owned(),
            boot: boot.trim().to_owned(),
            pid_namespace: fs::metadata("/proc/self/ns/pid").ok()?.ino(),
            user: fs::metadata("/proc/self").ok()?.uid(),
        })
    }

    /// Whether a process still runs. None: the process is of another space, or the system does not say.
    pub fn has(&self, process: &Process) -> Option<bool> {
        let space = &process.space;
        if space == self {
            // A zombie has ended: only its parent has not read its exit status yet.
            let is_it = |stat: Stat| stat.began == process.began && !matches!(stat.state, 'Z' | 'X' | 'x');
            return Some(Stat::read(process.id).ok()?.is_some_and(is_it));
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
    use super::{MACHINE_PID_NAMESPACE, Process, ProcessSpace, Stat};

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

    #[test]
    fn a_name_may_contain_brackets_and_spaces() {
        let stat = Stat::parse("7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 555 9 10").expect("a stat");
        assert_eq!((stat.name.as_str(), stat.state, stat.parent, stat.began), ("a) b (c)", 'S', 3, 555));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_alive_until_it_ends() {
        let here = ProcessSpace::here().expect("a space");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let stat = Stat::read(child.id()).expect("readable").expect("there");
        let process = Process { space: here.clone(), id: child.id(), began: stat.began };
        assert_eq!(here.has(&process), Some(true));
        let later = Process { began: stat.began + 1, ..process.clone() };
        assert_eq!(here.has(&later), Some(false), "the process id was reused");
        child.kill().expect("killed");
        child.wait().expect("an exit status");
        assert_eq!(here.has(&process), Some(false));
    }
}
