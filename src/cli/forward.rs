//! `requery hook`: forwards the input of an agent's hook to the server, and never disturbs the agent.
//!
//! An agent waits for its hooks, reads their output and acts on their exit code. The command therefore prints no
//! output, always exits with 0, and ends within 300 ms. There is deliberately no argument parser, no async runtime, no
//! log and no panic message. A record that the server does not accept in time is written to the spool. The server or
//! the next hook delivers it from there.
//!
//! No deadline discards a record. The command takes its place in the spool before it reads, leaves input that is late
//! to a process of its own, and writes a record that it has read to the spool even after the deadline.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use requery::agent::process::Process;
use requery::agent::runtime::AgentRuntime;
use requery::agent::spool::{Spool, SpoolPlace, SpooledRecord};

mod post;

mod input;

mod late;

use super::agent_runtime::agent_runtime;
use input::{HookInput, InputState};
use late::{CarriedHook, HandOver};
pub use post::ServerAddress;
use post::{DeliveryOutcome, ForwardConnection, ServerAway};

/// The times of a process, counted from the call of [`run`], which is a little after the start of the process.
struct ForwardTimes {
    /// Until then it waits for the earlier hooks of its agent process.
    behind_until: Duration,
    /// The pause between two looks at the earlier hooks. A look opens the file of each open place.
    behind_pause: Duration,
    /// Until then the server may answer. The remaining time is enough to write the record to the spool.
    sent_until: Duration,
    /// Until then it waits for the lock of the spool to count its record.
    spooled_until: Duration,
    /// After this time no further record from the spool is sent, so that catching up costs the agent little.
    catch_up_until: Duration,
    /// How long a server that did not answer in time is left alone. Every hook that asks it would use up all of its
    /// time.
    silence_pause: Duration,
}

/// How long a process waits for the lock of the spool to take its place.
const PLACE_UNTIL: Duration = Duration::from_millis(100);
/// The time until which the command waits for the end of standard input. Input that is complete JSON by then is
/// accepted without its end.
const READ_UNTIL: Duration = Duration::from_millis(150);
/// The times of the process that the agent waits for.
const WITH_AGENT: ForwardTimes = ForwardTimes {
    behind_until: Duration::from_millis(150),
    behind_pause: Duration::from_millis(2),
    sent_until: Duration::from_millis(230),
    spooled_until: Duration::from_millis(265),
    catch_up_until: Duration::from_millis(60),
    silence_pause: Duration::from_secs(5),
};
/// How long late input is read, counted from the start of the hook. An agent gives up its hooks far earlier.
const LATE_INPUT_UNTIL: Duration = Duration::from_secs(60);
/// The same where no process can be started to read it: the agent waits, and gives up its hooks after 3 seconds.
const LATE_INPUT_WITH_AGENT: Duration = Duration::from_secs(2);
/// How long a process without a waiting agent waits for the lock, for earlier hooks, and for the server, each.
const PATIENCE_ALONE: Duration = Duration::from_secs(10);
/// A record that is sent later than this carries the time of its hook.
const LATE_AFTER: Duration = Duration::from_secs(1);
/// The pause of such a process between two looks at the earlier hooks. 64 of them can wait at the same time.
const PAUSE_ALONE: Duration = Duration::from_millis(50);

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
    /// The hook whose late input this process reads.
    carried: Option<CarriedHook>,
}

impl HookInvocation {
    /// Parses the arguments of a process. `None` for another command, and for `--help`.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut args = args.into_iter().skip(1);
        if args.next()? != "hook" {
            return None;
        }
        let mut invocation = Self { agent: None, server: None, spool: None, carried: None };
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
                late::CARRY_ON_OPTION => {
                    invocation.carried = value.or_else(|| args.next()).and_then(|value| value.to_str()?.parse().ok());
                }
                name => invocation.agent = name.parse().ok().or(invocation.agent),
            }
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        invocation.server = invocation.server.or_else(|| set("REQUERY_SERVER")?.into_string().ok());
        invocation.spool = invocation.spool.or_else(|| set("REQUERY_SPOOL").map(PathBuf::from));
        Some(invocation)
    }

    /// The arguments that lead to the same invocation, without the hook that it carries on.
    fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.agent.iter().map(|agent| agent.as_str().into()).collect();
        if let Some(server) = &self.server {
            words.extend(["--server".into(), server.into()]);
        }
        if let Some(spool) = &self.spool {
            words.extend(["--spool".into(), spool.into()]);
        }
        words
    }
}

/// Forwards the record, and ends the process.
pub fn run(invocation: HookInvocation) -> ExitCode {
    let began = Instant::now();
    ignore_signals();
    std::panic::set_hook(Box::new(|_| ()));
    let _ = std::panic::catch_unwind(|| forward(&invocation, began));
    // Exits here instead of returning, so that no later code can wait for a thread that hangs.
    std::process::exit(0)
}

/// Agents send these signals to hooks that they no longer wait for, and a terminal to all of its processes.
fn ignore_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    for signal in [SIGTERM, SIGHUP, SIGINT] {
        // A flag that no code reads: the signal then ends no process, and interrupts no call for good.
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
}

/// The facts about a hook before its input is read.
struct Hook {
    runtime: AgentRuntime,
    delivery: String,
    at_ms: i64,
    /// The name of the agent's process, if it is known.
    process: Option<String>,
    /// A name by which the hooks of one agent process are told from others.
    agent_process: String,
}

impl Hook {
    fn of(runtime: AgentRuntime, carried: Option<&CarriedHook>) -> Self {
        if let Some(CarriedHook { delivery, at_ms, agent_process, process, .. }) = carried.cloned() {
            return Self { runtime, delivery, at_ms, process, agent_process };
        }
        let process = Process::above(runtime.process_names()).map(|process| process.to_string());
        let parent = || format!("{runtime} {}", std::os::unix::process::parent_id());
        Self {
            runtime,
            delivery: uuid::Uuid::now_v7().hyphenated().to_string(),
            at_ms: now_ms(),
            agent_process: process.clone().unwrap_or_else(parent),
            process,
        }
    }

    fn record(&self, body: Vec<u8>) -> SpooledRecord {
        SpooledRecord {
            process: self.process.clone(),
            source: self.runtime.as_str().to_owned(),
            delivery: self.delivery.clone(),
            at_ms: self.at_ms,
            body,
        }
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn forward(invocation: &HookInvocation, began: Instant) {
    let server = ServerAddress::parse(invocation.server.as_deref().unwrap_or(super::DEFAULT_SERVER));
    let (Some(runtime), Ok(server)) = (invocation.agent, server) else {
        // An agent that writes to a closed pipe sees an error.
        HookInput::default().read(began + READ_UNTIL);
        return;
    };
    let hook = Hook::of(runtime, invocation.carried.as_ref());
    let base = invocation.spool.clone().or_else(|| super::spool().ok());
    let spool = base.map(|base| Spool::of(&base, &server.host, server.port));
    let forwarding = Forwarding { hook, server, spool, began };
    match &invocation.carried {
        None => forwarding.with_agent(invocation),
        Some(carried) => forwarding.carry_on(carried),
    }
}

/// One run of the command.
struct Forwarding {
    hook: Hook,
    server: ServerAddress,
    spool: Option<Spool>,
    began: Instant,
}

impl Forwarding {
    /// Forwards the record while the agent waits.
    fn with_agent(&self, invocation: &HookInvocation) {
        let place = self.take_place();
        let mut input = HookInput::default();
        input.read(self.began + READ_UNTIL);
        if input.state() != InputState::Open {
            self.finish(input, place, &WITH_AGENT);
            return;
        }
        // Without a folder for the place no other process can go on with this hook.
        let (Some(spool), Some(place)) = (&self.spool, place) else {
            self.read_late(input, None, LATE_INPUT_WITH_AGENT);
            return;
        };
        match late::hand_over(invocation, &self.hook, spool, place, input.bytes()) {
            HandOver::Done => {}
            HandOver::TooMany => drop(spool.count_unread()),
            HandOver::Impossible(place) => self.read_late(input, Some(place), LATE_INPUT_WITH_AGENT),
        }
    }

    /// Goes on with a hook that another process began, while no agent waits.
    fn carry_on(&self, carried: &CarriedHook) {
        let taken_over = self.spool.as_ref().and_then(|spool| spool.take_over(carried.place).ok());
        let Some((place, bytes)) = taken_over else { return };
        self.read_late(HookInput::begun(bytes), Some(place), LATE_INPUT_UNTIL);
    }

    fn read_late(&self, mut input: HookInput, place: Option<SpoolPlace>, at_most: Duration) {
        let age = Duration::from_millis(u64::try_from(now_ms().saturating_sub(self.hook.at_ms)).unwrap_or_default());
        input.read_to_record(self.began + at_most.saturating_sub(age));
        let read = self.began.elapsed();
        let times = ForwardTimes {
            behind_until: read + PATIENCE_ALONE,
            behind_pause: PAUSE_ALONE,
            sent_until: read + 2 * PATIENCE_ALONE,
            spooled_until: read + 3 * PATIENCE_ALONE,
            catch_up_until: read + 3 * PATIENCE_ALONE,
            // No later process may come to send the records that wait behind this one.
            silence_pause: Duration::ZERO,
        };
        self.finish(input, place, &times);
    }

    /// Takes the place. None: the folder of the spool cannot be written.
    fn take_place(&self) -> Option<SpoolPlace> {
        let Hook { agent_process, delivery, at_ms, .. } = &self.hook;
        self.spool.as_ref()?.take_place(agent_process, delivery, *at_ms, self.began + PLACE_UNTIL).ok()
    }

    /// Delivers the input, or writes it to the spool.
    fn finish(&self, input: HookInput, place: Option<SpoolPlace>, times: &ForwardTimes) {
        match input.state() {
            InputState::Whole => {
                self.deliver(&self.hook.record(input.into_bytes()), place, times);
                return;
            }
            InputState::Blank => {}
            InputState::Open | InputState::TooLong => drop(self.spool.as_ref().map(Spool::count_unread)),
        }
        // Records can have waited behind this place.
        drop(place);
        if self.spool.as_ref().is_some_and(|spool| !spool.is_empty()) {
            self.catch_up(times);
        }
    }

    fn deliver(&self, record: &SpooledRecord, place: Option<SpoolPlace>, times: &ForwardTimes) {
        let Self { server, spool, began, .. } = self;
        let kept = spool.as_ref().zip(place);
        if let Some((spool, place)) = &kept {
            let mut is_behind = spool.is_behind(place, now_ms());
            while is_behind && began.elapsed() < times.behind_until {
                std::thread::sleep(times.behind_pause);
                is_behind = spool.is_behind(place, now_ms());
            }
            // The queue is looked at after the earlier places: a place that closes has its record in the queue.
            if (is_behind || !spool.is_empty()) && spool.put(record, place, *began + times.spooled_until).is_ok() {
                drop(kept);
                self.catch_up(times);
                return;
            }
        }
        let late = now_ms().saturating_sub(record.at_ms) > i64::try_from(LATE_AFTER.as_millis()).unwrap_or(i64::MAX);
        let sent = ForwardConnection::to(server, *began + times.sent_until).send(record, late);
        let Some((spool, place)) = &kept else { return };
        match sent {
            DeliveryOutcome::Taken => {}
            DeliveryOutcome::Refused => drop(spool.put_aside(record, place, *began + times.spooled_until)),
            DeliveryOutcome::Away(away) => {
                if spool.put(record, place, *began + times.spooled_until).is_ok() {
                    note_silence(spool, away);
                }
            }
        }
    }

    /// Sends the records of the spool in order, unless another process is sending them.
    fn catch_up(&self, times: &ForwardTimes) {
        let Self { server, spool: Some(spool), began, .. } = self else { return };
        // Past its time it would send no record, and would take its own lateness for the silence of the server.
        if began.elapsed() > times.catch_up_until || spool.was_silent(times.silence_pause) {
            return;
        }
        let Ok(Some(claim)) = spool.claim() else { return };
        let mut connection = ForwardConnection::to(server, *began + times.sent_until);
        // Connect before the records are listed: while the server is away, the list can be long.
        if let Err(away) = connection.open() {
            note_silence(spool, away);
            return;
        }
        let Ok(names) = claim.waiting(now_ms()) else { return };
        let (mut delivered, mut undeliverable) = (Vec::new(), Vec::new());
        for name in &names {
            if began.elapsed() > times.catch_up_until {
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
            let _ = claim.settle(&delivered, &undeliverable, *began + times.spooled_until);
        }
    }
}

/// Notes a server that did not answer in time, so that the next hooks leave it alone for some seconds.
fn note_silence(spool: &Spool, away: ServerAway) {
    if away.silent {
        spool.note_silence();
    }
}
