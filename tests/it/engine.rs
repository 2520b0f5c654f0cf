//! Runs the scripts in `tests/vectors` and compares the trace of the engine with the trace in each script.
//!
//! `tests/vectors/README.md` describes the format. With `UPDATE_VECTORS=1` the test writes the traces instead of
//! comparing them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use requery::client::{kind_name, signal, why_name};
use requery::engine::{
    ConnectionId, Engine, EngineAction, EngineSettings, FetchVerdict, HeldState, Loss, Outcome, Status, Ticket,
    Transport, What,
};
use requery::protocol::model::{Stats, Timestamp};
use requery::protocol::{
    Closing, Cursor, EveryTask, Frame, FrameKind, Heartbeat, Incoming, Notice, NoticeColumns, ReadModel, Resumed,
    Resync, SnapshotPayload, Stale, TaskId, UnknownFrame, Watched, Watching,
};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

#[test]
fn vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let update = std::env::var_os("UPDATE_VECTORS").is_some();
    let mut wrong = Vec::new();
    let mut scripts = 0;
    for entry in std::fs::read_dir(&folder).expect("tests/vectors") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        scripts += 1;
        let written = std::fs::read_to_string(&path).expect("a script");
        let produced = run(&written);
        if update {
            std::fs::write(&path, produced).expect("to write");
        } else if produced != written {
            wrong.push(format!("{}: the engine does\n{produced}", path.display()));
        }
    }
    assert!(scripts > 0, "no scripts in {}", folder.display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The script with the trace that the engine produces for it.
pub fn run(script: &str) -> String {
    let option = |name: &str| script.lines().find_map(|line| line.strip_prefix(name));
    let seed = option("seed ").map_or(1, |seed| seed.parse().expect("seed"));
    let carried = option("carried ").map_or(Vec::new(), |list| list.split(',').map(read_model).collect());
    let mut settings = EngineSettings::default();
    settings.attempts = option("attempts ").map(|attempts| attempts.parse().expect("attempts"));
    let mut run = Run {
        engine: Engine::new(settings, carried, seed),
        now: Duration::ZERO,
        connections: Vec::new(),
        tickets: BTreeMap::new(),
        status: Status::Connecting,
        text: String::new(),
    };
    for line in script.lines().filter(|line| !line.starts_with('>')) {
        let Some((at, input)) = line.split_once(' ').filter(|_| line.starts_with(|first: char| first.is_ascii_digit()))
        else {
            run.text += line;
            run.text += "\n";
            continue;
        };
        let at = Duration::from_millis(at.parse().unwrap_or_else(|_| panic!("not a time: {line}")));
        run.advance(at);
        run.text += line;
        run.text += "\n";
        run.input(input);
        run.drive();
    }
    run.text
}

struct Run {
    engine: Engine<ReadModel>,
    now: Duration,
    connections: Vec<ConnectionId>,
    /// The tickets of all fetches of each read model, the newest last.
    tickets: BTreeMap<ReadModel, Vec<Ticket>>,
    status: Status,
    text: String,
}

impl Run {
    /// Lets the time up to `to` pass, but not `to` itself.
    fn advance(&mut self, to: Duration) {
        assert!(self.now <= to, "the script goes back in time at {to:?}");
        for _ in 0..10_000 {
            let Some(at) = self.engine.poll_timeout().filter(|at| *at < to) else {
                self.now = to;
                return;
            };
            self.now = self.now.max(at);
            self.drive();
        }
        panic!("the engine does not come to rest at {:?}", self.now);
    }

    fn drive(&mut self) {
        for step in 0.. {
            let Some(action) = self.engine.poll(self.now) else { break };
            assert!(step < 10_000, "the engine does not end at {:?}", self.now);
            match action {
                EngineAction::Disconnect(_) => self.say("disconnect"),
                EngineAction::Connect { id, since, transport } => {
                    self.connections.push(id);
                    let transport = if transport == Transport::ServerSentEvents { " sse" } else { "" };
                    let since = since.map(|c| format!(" since {}", short(&c))).unwrap_or_default();
                    self.say(&format!("connect{transport}{since}"));
                }
                EngineAction::Narrow(_, models) => {
                    let models: Vec<String> = models.iter().map(name).collect();
                    self.say(format!("send watch {}", models.join(",")).trim_end());
                }
                EngineAction::Fetch(fetch) => {
                    let at_least = fetch.at_least.map(|c| format!(" at-least {}", short(&c))).unwrap_or_default();
                    self.say(&format!(
                        "fetch {} why {}{at_least}",
                        name(&fetch.model.clone().into()),
                        why_name(fetch.why)
                    ));
                    self.tickets.entry(fetch.model).or_default().push(fetch.ticket);
                }
                EngineAction::Cancel(ticket) => {
                    let of = self.tickets.iter().find(|(_, tickets)| tickets.contains(&ticket)).expect("a fetch").0;
                    self.say(&format!("cancel {}", name(&of.clone().into())));
                }
            }
        }
        let status = self.engine.status();
        if status != self.status {
            self.say(&match &status {
                Status::Connecting => "status connecting".into(),
                Status::Live => "status live".into(),
                Status::CatchingUp => "status catching up".into(),
                Status::Reconnecting { next_try, reason, .. } => {
                    let at = next_try.map_or("now".into(), |at| format!("at {}", at.as_millis()));
                    format!("status reconnecting {at} ({})", reason.as_str())
                }
                Status::Polling => "status polling".into(),
                Status::Offline => "status offline".into(),
                Status::Closed { reason } => format!("status closed: {reason}"),
                Status::Disabled => "status disabled".into(),
            });
            self.status = status;
        }
    }

    fn say(&mut self, trace: &str) {
        writeln!(self.text, "> {} {trace}", self.now.as_millis()).expect("a string");
    }

    fn input(&mut self, input: &str) {
        let now = self.now;
        let (old, words) = match input.strip_prefix("old ") {
            Some(rest) => (1, rest),
            None => (0, input),
        };
        let words: Vec<&str> = words.split(' ').collect();
        let connection = |run: &Run| *run.connections.iter().rev().nth(old).expect("no such connection");
        match words.as_slice() {
            ["wait"] => {}
            ["restore", models, at, "since", since] => {
                self.engine.resume_at(&cursor(since));
                for model in models.split(',') {
                    self.engine.restore(read_model(model), &cursor(at), now, now);
                }
            }
            ["watch", model] => self.engine.watch(read_model(model), now),
            ["watch", model, "to", last] => {
                for task in number(model)..=number(last) {
                    self.engine.watch(read_model(&format!("task:t{task}")), now);
                }
            }
            ["unwatch", model] => self.engine.unwatch(&read_model(model), now),
            ["forget", model] => self.engine.forget(&read_model(model)),
            ["refresh", model] => self.engine.refresh(&read_model(model), now),
            ["left-out", model, at] => self.engine.left_out(&read_model(model), &cursor(at), now),
            ["wrote", model, at] => self.engine.wrote(&read_model(model), &cursor(at), now),
            ["connected"] => self.engine.handle_connected(connection(self), true, now),
            ["connected", "sse"] => self.engine.handle_connected(connection(self), false, now),
            ["disconnected"] => self.engine.handle_disconnected(connection(self), Loss::Ended, now),
            ["not", "reached"] => self.engine.handle_disconnected(connection(self), Loss::NotReached, now),
            ["busy", retry_after @ ..] => {
                let retry_after =
                    retry_after.first().map(|ms| Duration::from_millis(ms.parse().expect("milliseconds")));
                self.engine.handle_disconnected(connection(self), Loss::Busy { retry_after }, now);
            }
            ["reconnect"] => self.engine.reconnect(now),
            ["refused", reason @ ..] => {
                self.engine.handle_disconnected(connection(self), Loss::Refused(reason.join(" ")), now);
            }
            ["frame", frame @ ..] => {
                let mut signal = signal(&incoming(frame));
                let carried = frame.iter().find_map(|word| word.strip_prefix("carries="));
                if let What::Snapshot { carries, .. } = &mut signal.what {
                    *carries = carried.map_or(Vec::new(), |list| list.split(',').map(read_model).collect());
                }
                for model in self.engine.handle_signal(connection(self), &signal, now) {
                    self.say(&format!("carried {}", name(&model.into())));
                }
            }
            ["hidden"] => self.engine.handle_hidden(),
            ["visible"] => self.engine.handle_visible(now),
            ["offline"] => self.engine.handle_offline(),
            ["online"] => self.engine.handle_online(now),
            ["disable"] => self.engine.disable(),
            ["enable"] => self.engine.enable(now),
            ["explain", model] => {
                let explanation = self.engine.explain(&read_model(model), now).expect("a watched read model");
                self.say(&format!("{model}: {}", explanation.words(|kind| kind_name(kind))));
            }
            ["show", model] => {
                let model = read_model(model);
                let held = self.engine.held(&model, now);
                let mut text = format!("{}:", name(&model.clone().into()));
                match held {
                    None => text += " unknown",
                    Some(held) => {
                        write!(text, " held {}", held.cursor.map_or("nothing".into(), short)).expect("a string");
                        let flags = [
                            (!held.watched, "unwatched"),
                            (held.stale, "stale"),
                            (held.in_flight, "in flight"),
                            (held.absent, "gone"),
                            (held.state == HeldState::Unconfirmed, "unconfirmed"),
                            (held.failures > 0, "failing"),
                        ];
                        for (_, flag) in flags.iter().filter(|(on, _)| *on) {
                            text += ", ";
                            text += flag;
                        }
                        if let Some(age) = self.engine.age(&model, now) {
                            write!(text, ", age {}", age.as_millis()).expect("a string");
                        }
                    }
                }
                self.say(&text);
            }
            [verb @ ("answer" | "same" | "gone" | "failed"), model, rest @ ..] => {
                let named = read_model(model);
                let ticket = *self.tickets[&named].iter().rev().nth(old).expect("no such fetch");
                let at = rest.first().filter(|_| *verb != "failed").map(|text| cursor(text));
                let outcome = match (*verb, &at) {
                    ("answer", Some(at)) => Outcome::Fresh(at),
                    ("same", Some(at)) => Outcome::NotModified(at),
                    ("gone", Some(at)) => Outcome::Gone(at),
                    _ => Outcome::Failed {
                        retry_after: rest.first().map(|ms| Duration::from_millis(ms.parse().expect("milliseconds"))),
                    },
                };
                let verdict = self.engine.handle_fetched(ticket, outcome, now);
                if *verb != "failed" {
                    let at = at.map_or(String::new(), |at| format!(" {}", short(&at)));
                    let verdict = if verdict == FetchVerdict::Keep { "keep" } else { "drop" };
                    self.say(&format!("{verdict} {model}{at}"));
                }
            }
            _ => panic!("not an input: {input}"),
        }
    }
}

fn incoming(words: &[&str]) -> Incoming {
    let (options, words): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| **word == "more" || word.contains('=') || word.is_empty());
    let option = |name: &str| {
        options.iter().find_map(|option| option.strip_prefix(name)).map(|ms| ms.parse().expect("a number"))
    };
    if let ["unknown", at @ ..] = words.as_slice() {
        let cursor = at.first().map(|at| cursor(at));
        return Incoming::Unknown(UnknownFrame {
            cursor,
            more: options.contains(&"more"),
            spread_ms: option("spread="),
        });
    }
    let [kind, at, rest @ ..] = words.as_slice() else { panic!("not a frame: {words:?}") };
    let models = || -> Vec<Watched> {
        let listed = rest.first().map(|list| list.split(',').map(watched).collect());
        listed.unwrap_or_default()
    };
    let heartbeat_ms = option("heartbeat=").unwrap_or(25_000);
    let kind = match *kind {
        "snapshot" => snapshot(heartbeat_ms),
        "resumed" => FrameKind::Resumed(Resumed {
            server_time: time(),
            heartbeat_ms,
            version: "1.0".into(),
            known: true,
            stale: models(),
        }),
        "stale" => FrameKind::Stale(Stale { read_models: models() }),
        "watching" => FrameKind::Watching(Watching { read_models: models() }),
        "heartbeat" => FrameKind::Heartbeat(Heartbeat { server_time: time() }),
        "resync" => FrameKind::Resync(Resync { reason: "lagged".into() }),
        "closing" => FrameKind::Closing(Closing { retry_ms: rest[0].parse().expect("milliseconds") }),
        notice_kind => FrameKind::Notice(notice(notice_kind, rest)),
    };
    let mut frame = Frame::new(kind, cursor(at));
    frame.more = options.contains(&"more");
    frame.spread_ms = option("spread=");
    Incoming::Frame(frame)
}

/// `kind [task [of parent]]`.
/// The first frame of a stream that starts afresh, without the overview.
pub fn snapshot(heartbeat_ms: u32) -> FrameKind {
    FrameKind::Snapshot(Box::new(SnapshotPayload {
        stats: Stats::default(),
        tasks: Vec::new(),
        next: None,
        needs_you: None,
        activity: None,
        sources: None,
        usage: None,
        server_time: time(),
        heartbeat_ms,
        version: "1.0".into(),
        known: true,
    }))
}

pub fn notice(kind: &str, words: &[&str]) -> Notice {
    let parent_task_id = match words {
        [_, "of", parent] => Some(task(parent)),
        _ => None,
    };
    let task_id = words.first().map(|text| task(text));
    let object_id = uuid(1);
    let columns = NoticeColumns {
        kind,
        project: "p",
        task_id: task_id.as_ref().map(TaskId::as_str),
        parent_task_id: parent_task_id.as_ref().map(TaskId::as_str),
        object_id: Some(&object_id),
        status: Some("completed"),
        count: Some(1),
        ..NoticeColumns::default()
    };
    Notice::from_columns(&columns).unwrap_or_else(|| panic!("not a notice: {kind} {words:?}"))
}

/// `a:5` stands for `a:5:5:`. Any other text is a full cursor.
pub fn cursor(text: &str) -> Cursor {
    match text.split_once(':') {
        Some((epoch, next)) if !next.contains(':') => Cursor::counter(epoch, next.parse().expect("a number")),
        _ => text.parse().unwrap_or_else(|error| panic!("{text}: {error}")),
    }
}

fn short(cursor: &Cursor) -> String {
    let snapshot = cursor.snapshot();
    if snapshot.xmin() == snapshot.xmax() && snapshot.xip().is_empty() {
        format!("{}:{}", cursor.epoch(), snapshot.xmax())
    } else {
        cursor.to_string()
    }
}

pub fn uuid(number: u64) -> String {
    format!("00000000-0000-7000-8000-{number:012}")
}

/// `t1` is the task whose id ends in 1.
pub fn task(text: &str) -> TaskId {
    uuid(number(text)).parse().expect("an id")
}

fn number(text: &str) -> u64 {
    text.rsplit('t').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("not a task: {text}"))
}

/// A read model, with the short form of tasks, or `task:*`.
pub fn watched(text: &str) -> Watched {
    if text == "task:*" { Watched::Group(EveryTask) } else { Watched::One(read_model(text)) }
}

fn read_model(text: &str) -> ReadModel {
    match text.strip_prefix("task:") {
        Some(id) => ReadModel::Task(task(id)),
        None => text.parse().unwrap_or_else(|error| panic!("{text}: {error}")),
    }
}

fn name(watched: &Watched) -> String {
    match watched {
        Watched::One(ReadModel::Task(id)) => {
            format!("task:t{}", id.as_str()[24..].trim_start_matches('0'))
        }
        other => other.to_string(),
    }
}

pub fn time() -> Timestamp {
    let text: StrDeserializer<'_, Error> = "2026-01-01T00:00:00.000Z".into_deserializer();
    Timestamp::deserialize(text).expect("a time")
}
