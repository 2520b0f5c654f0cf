//! Which process of this machine an agent is, so named that no later one is taken for it.
//!
//! A process that is killed says nothing, and its number is given out again. So its name holds the boot of the machine,
//! the name space of its number, its user, its number and when it began. Only whoever runs in the same place and as the
//! same user can say whether it is still there; anybody else does not know, and neither does anyone on a system without
//! `/proc`.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;

/// How far up from a hook its agent may be: a shell or two, a wrapper, a version manager.
const GENERATIONS: usize = 8;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    place: Place,
    id: u32,
    /// In ticks since the boot.
    began: u64,
}

/// Where process ids mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    boot: String,
    space: u64,
    user: u32,
}

/// A text that names no process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the name of a process, as in <boot>:<name space>:<user>:<id>:<ticks>")]
pub struct NoProcess;

impl Process {
    /// The nearest process above this one that has one of these names. None: there is none, or nobody can tell.
    pub fn above(names: &[&str]) -> Option<Self> {
        let mut id = std::os::unix::process::parent_id();
        for _ in 0..GENERATIONS {
            let stat = Stat::read(id)?;
            if names.contains(&stat.name.as_str()) {
                return Some(Self { place: Place::here()?, id, began: stat.began });
            }
            id = stat.parent;
        }
        None
    }

    /// Whether it is still there. None: it is of another place.
    pub fn is_alive(&self) -> Option<bool> {
        if Place::here()? != self.place {
            return None;
        }
        // One that has ended and that nobody has buried yet does nothing any more.
        Some(Stat::read(self.id).is_some_and(|stat| stat.began == self.began && !matches!(stat.state, 'Z' | 'X' | 'x')))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place: Place { boot, space, user }, id, began } = self;
        write!(f, "{boot}:{space}:{user}:{id}:{began}")
    }
}

impl FromStr for Process {
    type Err = NoProcess;

    fn from_str(text: &str) -> Result<Self, NoProcess> {
        let [boot, space, user, id, began] = text.split(':').collect::<Vec<_>>()[..] else { return Err(NoProcess) };
        let is_boot = boot.len() == 36 && boot.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let process = Self {
            place: Place {
                boot: boot.to_owned(),
                space: space.parse().map_err(|_| NoProcess)?,
                user: user.parse().map_err(|_| NoProcess)?,
            },
            id: id.parse().map_err(|_| NoProcess)?,
            began: began.parse().map_err(|_| NoProcess)?,
        };
        if is_boot { Ok(process) } else { Err(NoProcess) }
    }
}

impl Place {
    fn here() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let space = fs::metadata("/proc/self/ns/pid").ok()?.ino();
        let user = fs::metadata("/proc/self").ok()?.uid();
        Some(Self { boot: boot.trim().to_owned(), space, user })
    }
}

/// What the system says about a process.
struct Stat {
    name: String,
    state: char,
    parent: u32,
    began: u64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&fs::read(format!("/proc/{id}/stat")).ok()?))
    }

    /// The name is in brackets and may hold brackets and spaces itself.
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
    use super::{Process, Stat};

    #[test]
    fn a_name_says_what_it_says_and_nothing_else_is_one() {
        let text = "0f7a31f6-6b0e-4f7e-9d3a-0a9d1f8f5c11:4026531836:1000:4711:987654";
        assert_eq!(text.parse::<Process>().expect("a process").to_string(), text);
        // Of another boot.
        assert_ne!(text.parse::<Process>().expect("a process").is_alive(), Some(true));
        for text in
            ["", "1", &text[1..], &text.replace("4711", "-1"), &format!("{text}:1"), &text.replace("0f7a", "../.")]
        {
            assert!(text.parse::<Process>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_with_brackets_is_read_to_its_end() {
        let stat = Stat::parse("7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 555 9 10").expect("a stat");
        assert_eq!((stat.name.as_str(), stat.state, stat.parent, stat.began), ("a) b (c)", 'S', 3, 555));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_there_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let stat = Stat::read(child.id()).expect("its stat");
        let process = Process { place: super::Place::here().expect("a place"), id: child.id(), began: stat.began };
        assert_eq!(process.is_alive(), Some(true));
        let later = Process { began: stat.began + 1, ..process.clone() };
        assert_eq!(later.is_alive(), Some(false), "its number was given to another");
        child.kill().expect("killed");
        child.wait().expect("buried");
        assert_eq!(process.is_alive(), Some(false));
    }
}
