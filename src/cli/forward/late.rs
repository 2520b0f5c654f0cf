//! Late input: a process of its own reads it, so that the agent does not wait.
//!
//! The process holds none of the agent's pipes but standard input. Its standard output is the lock of the place, and
//! its standard error the lock that counts it: the system frees both when it ends, in any way. A descriptor above 2
//! that the agent passes to its hooks stays open in the process as well: to close an unknown descriptor is unsafe in
//! Rust.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;

use requery::agent::spool::{PlaceName, Spool, SpoolPlace};

use super::{Hook, HookInvocation};

/// The option that starts such a process.
pub const CARRY_ON_OPTION: &str = "--carry-on";

/// The facts about a hook that the process which ran it found out, as one word of a command line.
#[derive(Clone, Debug)]
pub struct CarriedHook {
    pub delivery: String,
    pub at_ms: i64,
    pub agent_process: String,
    pub process: Option<String>,
    pub place: PlaceName,
}

/// The outcome of an attempt to start the process.
pub enum HandOver {
    Done,
    /// There are as many of these processes as there may be.
    TooMany,
    /// The process could not be started: this process has to go on.
    Impossible(SpoolPlace),
}

/// Starts a process that reads the rest of the input.
pub fn hand_over(
    invocation: &HookInvocation,
    hook: &Hook,
    spool: &Spool,
    mut place: SpoolPlace,
    input: &[u8],
) -> HandOver {
    let Ok(reader) = spool.late_reader() else { return HandOver::Impossible(place) };
    let Some(reader) = reader else { return HandOver::TooMany };
    let Ok(lock) = place.prepare_hand_over(input) else { return HandOver::Impossible(place) };
    let carried = CarriedHook {
        delivery: hook.delivery.clone(),
        at_ms: hook.at_ms,
        agent_process: hook.agent_process.clone(),
        process: hook.process.clone(),
        place: place.name,
    };
    // The program may have been replaced or removed since it was started.
    let itself = Path::new("/proc/self/exe");
    let program = if itself.exists() { Ok(itself.to_owned()) } else { std::env::current_exe() };
    let Ok(program) = program else { return HandOver::Impossible(place) };
    let started = Command::new(program)
        .arg("hook")
        .args(invocation.words())
        .arg(CARRY_ON_OPTION)
        .arg(carried.to_word())
        .stdin(Stdio::inherit())
        .stdout(lock.map_or_else(Stdio::null, Stdio::from))
        .stderr(reader)
        // A signal to the group of the agent is not for this process.
        .process_group(0)
        .spawn();
    match started {
        Ok(_) => {
            place.hand_over();
            HandOver::Done
        }
        Err(_) => HandOver::Impossible(place),
    }
}

impl CarriedHook {
    fn to_word(&self) -> OsString {
        let process = self.process.as_deref().unwrap_or_default();
        let Self { delivery, at_ms, agent_process, place, .. } = self;
        format!("{delivery},{at_ms},{agent_process},{process},{}", place.file_name()).into()
    }
}

impl FromStr for CarriedHook {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let [delivery, at_ms, agent_process, process, place] = text.split(',').collect::<Vec<_>>()[..] else {
            return Err(());
        };
        Ok(Self {
            delivery: delivery.to_owned(),
            at_ms: at_ms.parse().map_err(drop)?,
            agent_process: agent_process.to_owned(),
            process: Some(process.to_owned()).filter(|process| !process.is_empty()),
            place: PlaceName::parse(place).ok_or(())?,
        })
    }
}
