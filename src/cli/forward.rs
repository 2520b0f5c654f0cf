//! `requery hook`: hands on what an agent's hook was given, and never hurts the agent.
//!
//! An agent waits for its hooks, reads what they print and acts on how they end. So this prints nothing, ends with 0
//! whatever happens, and ends soon: there is no argument parser, no runtime, no log and no panic's text on the way. What
//! the server does not take at once is left in the spool, from where the server or the next hook takes it in.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use requery::agent::process::Process;
use requery::agent::runtime::AgentRuntime;
use requery::agent::spool::{Spool, SpooledRecord};
use serde::de::IgnoredAny;

mod post;

use super::agent_runtime::agent_runtime;
pub use post::Server;
use post::{Away, Connection, Sent};

/// When this ends, whatever it is doing. Counted from where this begins, a little after the process did.
const DEADLINE: Duration = Duration::from_millis(280);
/// Until when standard input may stay open. What came until then is taken if it is whole.
const READ_UNTIL: Duration = Duration::from_millis(150);
/// Until when the server may answer; what is left is for writing it down.
const SENT_UNTIL: Duration = Duration::from_millis(230);
/// Until when others may hold the spool.
const KEPT_UNTIL: Duration = Duration::from_millis(265);
/// Until when one more record that waited is sent, so that catching up costs the agent little.
const CATCH_UP_UNTIL: Duration = Duration::from_millis(60);
/// For how long a server that did not answer in time is not asked again: it costs every hook the whole time.
const SILENT: Duration = Duration::from_secs(5);
/// The longest record, as the server has it. A longer one is read to its end, so that the agent can write it, and dropped.
const LONGEST: usize = 8 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;

/// What a hook does. Only for its help: [`Asked::parse`] reads the arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Agent whose hook it is.
    #[arg(value_parser = agent_runtime())]
    pub agent: AgentRuntime,
    /// Server to send it to.
    #[arg(long, env = "REQUERY_SERVER", default_value = super::DEFAULT_SERVER)]
    pub server: String,
    /// Folder for what could not be delivered [default: requery/spool in your state folder]
    #[arg(long, env = "REQUERY_SPOOL")]
    pub spool: Option<PathBuf>,
}

/// What the arguments ask for, as far as they make sense.
pub struct Asked {
    agent: Option<AgentRuntime>,
    server: Option<String>,
    spool: Option<PathBuf>,
}

impl Asked {
    /// Reads the arguments of a process. None: it is another command, or help is asked for.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut args = args.into_iter().skip(1);
        if args.next()? != "hook" {
            return None;
        }
        let mut asked = Self { agent: None, server: None, spool: None };
        while let Some(arg) = args.next() {
            let text = arg.to_string_lossy().into_owned();
            let (name, value) = match text.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(OsString::from(value))),
                _ => (text.as_str(), None),
            };
            match name {
                "-h" | "--help" => return None,
                "--server" => asked.server = value.or_else(|| args.next()).and_then(|value| value.into_string().ok()),
                "--spool" => asked.spool = value.or_else(|| args.next()).map(PathBuf::from),
                name => asked.agent = name.parse().ok().or(asked.agent),
            }
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        asked.server = asked.server.or_else(|| set("REQUERY_SERVER")?.into_string().ok());
        asked.spool = asked.spool.or_else(|| set("REQUERY_SPOOL").map(PathBuf::from));
        Some(asked)
    }
}

/// Does what is asked, and ends the process.
pub fn run(asked: Asked) -> ExitCode {
    let began = Instant::now();
    std::panic::set_hook(Box::new(|_| ()));
    let (done, is_done) = mpsc::channel::<()>();
    let hook = thread::Builder::new().spawn(move || {
        forward(asked, began);
        drop(done);
    });
    if hook.is_ok() {
        let _ = is_done.recv_timeout(DEADLINE);
    }
    // Not by returning: whatever still hangs is not waited for.
    std::process::exit(0)
}

fn forward(asked: Asked, began: Instant) {
    let Some(body) = read_input(began + READ_UNTIL) else { return };
    let Some(runtime) = asked.agent else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let record = SpooledRecord {
        process: Process::above(runtime.process_name()).map(|process| process.to_string()),
        source: runtime.as_str().to_owned(),
        delivery: uuid::Uuid::now_v7().hyphenated().to_string(),
        at_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
        body,
    };
    let Ok(server) = Server::parse(asked.server.as_deref().unwrap_or(super::DEFAULT_SERVER)) else { return };
    let base = asked.spool.or_else(|| super::spool().ok());
    let spool = base.map(|base| Spool::of(&base, &server.host, server.port));
    if let Some(spool) = &spool
        && !spool.is_empty()
        && spool.put(&record, began + KEPT_UNTIL).is_ok()
    {
        catch_up(spool, &server, began);
        return;
    }
    let sent = Connection::to(&server, began + SENT_UNTIL).send(&record, false);
    if let (Sent::Away(away), Some(spool)) = (sent, &spool)
        && spool.put(&record, began + KEPT_UNTIL).is_ok()
    {
        note(spool, away);
    }
}

/// Whether to ask that server again at once.
fn note(spool: &Spool, away: Away) {
    if away.silent {
        spool.note_silence();
    }
}

/// Sends what waits, in order, as long as there is time; if nobody else does.
fn catch_up(spool: &Spool, server: &Server, began: Instant) {
    if spool.was_silent(SILENT) {
        return;
    }
    let Ok(Some(claim)) = spool.claim() else { return };
    let mut connection = Connection::to(server, began + SENT_UNTIL);
    // Before the list of all that waits is made: while nobody answers it can be long.
    if let Err(away) = connection.open() {
        note(spool, away);
        return;
    }
    let Ok(names) = claim.waiting() else { return };
    let (mut delivered, mut hopeless) = (Vec::new(), Vec::new());
    for name in &names {
        if began.elapsed() > CATCH_UP_UNTIL {
            break;
        }
        let record = match claim.read(name) {
            Ok(Some(Ok(record))) => record,
            Ok(Some(Err(_))) => {
                hopeless.push(name.as_str());
                continue;
            }
            Ok(None) => continue,
            Err(_) => break,
        };
        match connection.send(&record, true) {
            Sent::Taken => delivered.push(name.as_str()),
            Sent::Refused => hopeless.push(name.as_str()),
            Sent::Away(away) => {
                note(spool, away);
                break;
            }
        }
    }
    if !(delivered.is_empty() && hopeless.is_empty()) {
        let _ = claim.settle(&delivered, &hopeless, began + KEPT_UNTIL);
    }
}

/// What standard input says. None: nothing, too much, or only a part of something when the time was up.
fn read_input(until: Instant) -> Option<Vec<u8>> {
    let (chunks, read) = mpsc::sync_channel::<Vec<u8>>(4);
    let reader = thread::Builder::new().spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut chunk = vec![0; CHUNK];
        loop {
            match input.read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => {
                    if chunks.send(chunk[..length].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    reader.ok()?;
    let (mut body, mut too_long) = (Vec::new(), false);
    let ended = loop {
        match read.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(chunk) => {
                too_long |= body.len() + chunk.len() > LONGEST;
                if !too_long {
                    body.extend_from_slice(&chunk);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => break false,
        }
    };
    let says = !too_long && !body.trim_ascii().is_empty();
    (says && (ended || serde_json::from_slice::<IgnoredAny>(&body).is_ok())).then_some(body)
}
