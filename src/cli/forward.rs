//! `requery hook`: forwards the input of an agent's hook to the server, and never disturbs the agent.
//!
//! An agent waits for its hooks, reads their output and acts on their exit code. The command therefore prints no
//! output, always exits with 0, and ends within [`DEADLINE`]. There is deliberately no argument parser, no async
//! runtime, no log and no panic message. A record that the server does not accept in time is written to the
//! spool. The server or the next hook delivers it from there.

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
use requery::protocol::limits;
use serde::de::IgnoredAny;

mod post;

use super::agent_runtime::agent_runtime;
pub use post::ServerAddress;
use post::{DeliveryOutcome, ForwardConnection, ServerAway};

/// The process ends at this time, finished or not. All times here count from the call of [`run`], which is a little
/// after the start of the process.
const DEADLINE: Duration = Duration::from_millis(280);
/// The time until which the command waits for the end of standard input. Input that is complete JSON by then is
/// accepted without its end.
const READ_UNTIL: Duration = Duration::from_millis(150);
/// The time until which the server may answer. The remaining time is enough to write the record to the spool.
const SENT_UNTIL: Duration = Duration::from_millis(230);
/// The time until which the command waits for the lock of the spool.
const SPOOLED_UNTIL: Duration = Duration::from_millis(265);
/// After this time no further record from the spool is sent, so that catching up costs the agent little.
const CATCH_UP_UNTIL: Duration = Duration::from_millis(60);
/// How long a server that did not answer in time is left alone. Every hook that asks it would use up all of its time.
const SILENCE_PAUSE: Duration = Duration::from_secs(5);
const INPUT_CHUNK_BYTES: usize = 64 * 1024;

/// The arguments of `requery hook`, for its help text alone: [`HookInvocation::parse`] reads the arguments.
#[derive(clap::Args, Debug)]
pub struct HookArgs {
    /// Agent that runs the hook.
    #[arg(value_parser = agent_runtime())]
    pub agent: AgentRuntime,
    /// Server to send the record to.
    #[arg(long, env = "REQUERY_SERVER", default_value = super::DEFAULT_SERVER)]
    pub server: String,
    /// Folder for records that could not be delivered [default: requery/spool in your state folder]
    #[arg(long, env = "REQUERY_SPOOL")]
    pub spool: Option<PathBuf>,
}

/// The arguments of `requery hook`. Unknown and invalid arguments are ignored.
pub struct HookInvocation {
    agent: Option<AgentRuntime>,
    server: Option<String>,
    spool: Option<PathBuf>,
}

impl HookInvocation {
    /// Parses the arguments of a process. `None` for another command, and for `--help`.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut args = args.into_iter().skip(1);
        if args.next()? != "hook" {
            return None;
        }
        let mut invocation = Self { agent: None, server: None, spool: None };
        while let Some(arg) = args.next() {
            let text = arg.to_string_lossy().into_owned();
            let (name, value) = match text.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(OsString::from(value))),
                _ => (text.as_str(), None),
            };
            match name {
                "-h" | "--help" => return None,
                "--server" => {
                    invocation.server = value.or_else(|| args.next()).and_then(|value| value.into_string().ok());
                }
                "--spool" => invocation.spool = value.or_else(|| args.next()).map(PathBuf::from),
                name => invocation.agent = name.parse().ok().or(invocation.agent),
            }
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        invocation.server = invocation.server.or_else(|| set("REQUERY_SERVER")?.into_string().ok());
        invocation.spool = invocation.spool.or_else(|| set("REQUERY_SPOOL").map(PathBuf::from));
        Some(invocation)
    }
}

/// Forwards the record, and ends the process.
pub fn run(invocation: HookInvocation) -> ExitCode {
    let began = Instant::now();
    std::panic::set_hook(Box::new(|_| ()));
    let (done, is_done) = mpsc::channel::<()>();
    let hook = thread::Builder::new().spawn(move || {
        forward(invocation, began);
        drop(done);
    });
    if hook.is_ok() {
        let _ = is_done.recv_timeout(DEADLINE);
    }
    // Exits here instead of returning, so that no later code can wait for a thread that hangs.
    std::process::exit(0)
}

fn forward(invocation: HookInvocation, began: Instant) {
    let Some(body) = read_input(began + READ_UNTIL) else { return };
    let Some(runtime) = invocation.agent else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let record = SpooledRecord {
        process: Process::above(runtime.process_names()).map(|process| process.to_string()),
        source: runtime.as_str().to_owned(),
        delivery: uuid::Uuid::now_v7().hyphenated().to_string(),
        at_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
        body,
    };
    let Ok(server) = ServerAddress::parse(invocation.server.as_deref().unwrap_or(super::DEFAULT_SERVER)) else {
        return;
    };
    let base = invocation.spool.or_else(|| super::spool().ok());
    let spool = base.map(|base| Spool::of(&base, &server.host, server.port));
    if let Some(spool) = &spool
        && !spool.is_empty()
        && spool.put(&record, began + SPOOLED_UNTIL).is_ok()
    {
        catch_up(spool, &server, began);
        return;
    }
    let sent = ForwardConnection::to(&server, began + SENT_UNTIL).send(&record, false);
    if let (DeliveryOutcome::Away(away), Some(spool)) = (sent, &spool)
        && spool.put(&record, began + SPOOLED_UNTIL).is_ok()
    {
        note_silence(spool, away);
    }
}

/// Notes a server that did not answer in time, so that the next hooks leave it alone for [`SILENCE_PAUSE`].
fn note_silence(spool: &Spool, away: ServerAway) {
    if away.silent {
        spool.note_silence();
    }
}

/// Sends the records of the spool in order until [`CATCH_UP_UNTIL`], unless another process is sending them.
fn catch_up(spool: &Spool, server: &ServerAddress, began: Instant) {
    if spool.was_silent(SILENCE_PAUSE) {
        return;
    }
    let Ok(Some(claim)) = spool.claim() else { return };
    let mut connection = ForwardConnection::to(server, began + SENT_UNTIL);
    // Connect before the records are listed: while the server is away, the list can be long.
    if let Err(away) = connection.open() {
        note_silence(spool, away);
        return;
    }
    let Ok(names) = claim.waiting() else { return };
    let (mut delivered, mut undeliverable) = (Vec::new(), Vec::new());
    for name in &names {
        if began.elapsed() > CATCH_UP_UNTIL {
            break;
        }
        let record = match claim.read(name) {
            Ok(Some(Ok(record))) => record,
            Ok(Some(Err(_))) => {
                undeliverable.push(name.as_str());
                continue;
            }
            Ok(None) => continue,
            Err(_) => break,
        };
        match connection.send(&record, true) {
            DeliveryOutcome::Taken => delivered.push(name.as_str()),
            DeliveryOutcome::Refused => undeliverable.push(name.as_str()),
            DeliveryOutcome::Away(away) => {
                note_silence(spool, away);
                break;
            }
        }
    }
    if !(delivered.is_empty() && undeliverable.is_empty()) {
        let _ = claim.settle(&delivered, &undeliverable, began + SPOOLED_UNTIL);
    }
}

/// Reads standard input. `None` if it is blank, too long, or incomplete at the time `until`.
fn read_input(until: Instant) -> Option<Vec<u8>> {
    let (chunks, read) = mpsc::sync_channel::<Vec<u8>>(4);
    let reader = thread::Builder::new().spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut chunk = vec![0; INPUT_CHUNK_BYTES];
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
                too_long |= body.len() + chunk.len() > limits::LONG_BODY_BYTES;
                if !too_long {
                    body.extend_from_slice(&chunk);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => break false,
        }
    };
    let is_usable = !too_long && !body.trim_ascii().is_empty();
    (is_usable && (ended || serde_json::from_slice::<IgnoredAny>(&body).is_ok())).then_some(body)
}
