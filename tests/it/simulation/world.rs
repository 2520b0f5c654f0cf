//! The network between the simulated server and the engine, and the bodies that the client holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use requery::client::signal;
use requery::engine::{
    ConnectionId, Engine, EngineAction, EngineSettings, Fetch, FetchVerdict, Loss, Outcome, Status, Ticket, Transport,
    What,
};
use requery::protocol::{Cursor, Frame, FrameKind, Heartbeat, Incoming, ReadModel, Resync, Stale, Watched, Watching};

use super::invariants::Invariants;
use super::op::Op;
use super::server::{Server, models};
use crate::engine::time;

pub(super) enum Event {
    Connected(ConnectionId, Option<Cursor>, Transport),
    Refused(ConnectionId),
    Lost(ConnectionId),
    /// A message, and the content of the overview that it carries.
    ToClient(ConnectionId, Incoming, Option<u64>),
    Wrote(ReadModel, Cursor),
    ToServer(ConnectionId, Vec<Watched>),
    Flush(ConnectionId),
    Heartbeat(ConnectionId),
    Request(Fetch<ReadModel>, Option<Option<u64>>),
    Answer(Ticket, ReadModel, Answer),
}

pub(super) enum Answer {
    Fresh(Cursor, Option<u64>),
    Same(Cursor, Option<u64>),
    Failed,
}

pub(super) struct Stream {
    pub(super) id: ConnectionId,
    pub(super) sent: usize,
    pub(super) narrowed: Option<Vec<Watched>>,
    pub(super) flushing: bool,
    /// The time of the last delivery. Later frames come after it, so frames keep their order.
    pub(super) busy_until: u64,
    pub(super) dead: bool,
}

pub struct World {
    pub(super) engine: Engine<ReadModel>,
    pub(super) server: Server,
    pub(super) stream: Option<Stream>,
    pub(super) store: BTreeMap<ReadModel, Option<u64>>,
    pub(super) cursors: BTreeMap<ReadModel, Cursor>,
    pub(super) watched: BTreeSet<ReadModel>,
    pub(super) events: BTreeMap<(u64, u64), Event>,
    pub(super) events_ever: u64,
    pub(super) now: u64,
    pub(super) dice: u64,
    /// The network of the end of the case lets WebSocket through.
    pub(super) duplex: bool,
    pub(super) websocket: bool,
    pub(super) sse: bool,
    /// The first message of a new stream carries the overview.
    pub(super) carrying: bool,
    pub(super) failing: u64,
    pub(super) slow: u64,
    pub(super) caching: u64,
    pub(super) spread: u32,
    pub(super) old_instance: u64,
    pub(super) lagging: bool,
    /// No cached answer is from before this: no cursor can be demanded for a message without one.
    pub(super) cached_from: usize,
    pub(super) invariants: Invariants,
    /// The number of fetches so far.
    pub fetches: usize,
}

impl World {
    pub fn new(seed: u64, duplex: bool) -> Self {
        // Without the safety refetch, which would hide a lost notice.
        let mut settings = EngineSettings::default();
        settings.safety = Duration::from_secs(1_000_000);
        // Sometimes the client forgets what no screen shows.
        settings.remembered = if seed.is_multiple_of(3) { 1 } else { settings.remembered };
        let carrying = seed.is_multiple_of(2);
        let carried = if carrying { vec![ReadModel::Overview] } else { Vec::new() };
        let mut world = Self {
            engine: Engine::new(settings, carried, seed),
            server: Server::new(),
            stream: None,
            store: BTreeMap::new(),
            cursors: BTreeMap::new(),
            watched: BTreeSet::new(),
            events: BTreeMap::new(),
            events_ever: 0,
            now: 0,
            dice: seed,
            duplex,
            websocket: duplex,
            sse: true,
            carrying,
            cached_from: 0,
            invariants: Invariants::default(),
            failing: 0,
            slow: 10,
            caching: 0,
            spread: 0,
            old_instance: 0,
            lagging: false,
            fetches: 0,
        };
        world.apply(Op::Watch(0));
        world
    }

    /// Ends all faults.
    pub fn end_faults(&mut self) {
        for op in [
            Op::Network { failing: 0, slow: 10 },
            Op::Caching(0),
            Op::OldInstance(0),
            Op::Spread(0),
            Op::Hidden(false),
            Op::Offline(false),
            Op::Disabled(false),
            Op::Transports { websocket: self.duplex, sse: true },
        ] {
            self.apply(op);
        }
        self.lagging = false;
    }

    pub fn unwatch_all(&mut self) {
        (0..models().len()).for_each(|at| self.apply(Op::Unwatch(at as u8)));
    }

    /// Brings every task back into the project of the client.
    pub fn bring_tasks_home(&mut self) {
        (1..5).for_each(|task| self.apply(Op::Move { task, away: false }));
    }

    /// Lets the time pass that the client needs at most after faults.
    pub fn settle(&mut self) {
        self.end_faults();
        self.run_for(70_000);
        for _ in 0..3 {
            if self.engine.status() != Status::Live {
                // Two attempts that time out, with the longest waits between them.
                self.run_for(100_000);
            }
        }
        self.check_settled();
        // Without faults a change is shown within max wait and two fetches, and it is sent and told in 45 ms.
        let (kind, task) = (self.roll(6) as u8, self.roll(4) as u8 + 1);
        self.apply(Op::Change { kind, task });
        self.run_for(250 + 2 * 22 + 45);
        self.check_settled();
    }

    pub fn check_settled(&self) {
        assert_eq!(self.engine.status(), Status::Live, "at {}", self.now);
        let database = self.server.contents(self.server.changes());
        for model in &self.watched {
            let held = self.engine.held(model, self.time()).expect("watched");
            assert!(!held.stale, "{model} is still stale: {held:?}");
            let held_content = self.store.get(model).expect("a held body");
            assert_eq!(held_content, &database[model], "the body of {model}: {held:?}");
            assert_eq!(held.absent, database[model].is_none(), "{model}");
        }
    }

    pub fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        for _ in 0..100_000 {
            let event = self.events.keys().next().map(|(at, _)| *at);
            let timeout = self.engine.poll_timeout().map(|at| (at.as_millis() as u64).max(self.now));
            let Some(at) = [event, timeout].into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            if event.is_some_and(|at| at <= self.now)
                && let Some((_, event)) = self.events.pop_first()
            {
                self.handle(event);
            }
            self.drive();
        }
        panic!("the simulation does not come to rest at {}", self.now);
    }

    pub(super) fn drive(&mut self) {
        for step in 0.. {
            assert!(step < 1_000, "the engine does not end at {}", self.now);
            let Some(action) = self.engine.poll(self.time()) else { break };
            let (request_delay, failed) = (self.roll(self.slow) + 1, self.roll(100) < self.failing);
            match action {
                EngineAction::Disconnect(id) => {
                    self.invariants.disconnect(id);
                    self.stream = self.stream.take().filter(|stream| stream.id != id);
                }
                EngineAction::Connect { id, since, transport } => {
                    self.invariants.connect(id);
                    let event = if failed { Event::Refused(id) } else { Event::Connected(id, since, transport) };
                    self.later(request_delay, event);
                }
                EngineAction::Narrow(id, read_models) => self.later(request_delay, Event::ToServer(id, read_models)),
                EngineAction::Cancel(ticket) => self.invariants.cancel(ticket),
                EngineAction::Fetch(fetch) => {
                    self.fetches += 1;
                    self.invariants.fetch(&fetch, self.watched.contains(&fetch.model), self.now);
                    let held_content = self.store.get(&fetch.model).copied();
                    // Some requests take very long before they fail.
                    let request_delay = if failed { request_delay + self.roll(40_000) } else { request_delay };
                    self.later(request_delay, Event::Request(fetch, held_content));
                }
            }
        }
        self.invariants.check_states(&self.engine, &self.server, &self.store, self.now);
        for model in models() {
            let held = self.engine.held(&model, self.time());
            if held.is_none() {
                // The client has forgotten it, and takes any answer for the first one.
                self.cursors.remove(&model);
            }
            let Some(cursor) = held.and_then(|held| held.cursor).cloned() else { continue };
            if let Some(before) = self.cursors.get(&model).filter(|before| before.epoch() == cursor.epoch()) {
                assert!(cursor.covers(before), "{model} went back from {before} to {cursor}");
            }
            self.cursors.insert(model, cursor);
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.time();
        match event {
            Event::Connected(id, since, transport) => {
                let duplex = transport == Transport::WebSocket;
                if !if duplex { self.websocket } else { self.sse } {
                    // The network resets the connection, or lets it open and stay silent.
                    if self.roll(2) == 0 {
                        self.lose(id);
                    } else {
                        self.engine.handle_connected(id, duplex, now);
                    }
                    return;
                }
                let sent = self.server.changes();
                self.stream =
                    Some(Stream { id, sent, narrowed: None, flushing: false, busy_until: self.now, dead: false });
                self.engine.handle_connected(id, duplex, now);
                let mut frame = self.server.first_frame(since.as_ref());
                frame.spread_ms = (self.spread > 0).then_some(self.spread);
                self.deliver(Incoming::Frame(frame));
                self.later(25_000, Event::Heartbeat(id));
            }
            Event::Refused(id) => {
                self.invariants.disconnect(id);
                let retry_after = Some(Duration::from_millis(self.roll(5_000)));
                let loss = match self.roll(3) {
                    0 => Loss::Busy { retry_after },
                    1 => Loss::Busy { retry_after: None },
                    _ => Loss::NotReached,
                };
                self.engine.handle_disconnected(id, loss, now);
            }
            Event::Lost(id) => self.lose(id),
            Event::Wrote(model, cursor) => self.engine.wrote(&model, &cursor, now),
            Event::ToClient(id, incoming, overview) => {
                // Frames that were under way when the connection was lost may still arrive.
                self.invariants.message(id, &incoming, &self.watched);
                let mut signal = signal(&incoming);
                if let (What::Snapshot { carries, .. }, Some(_)) = (&mut signal.what, overview) {
                    carries.push(ReadModel::Overview);
                }
                for model in self.engine.handle_signal(id, &signal, now) {
                    self.store.insert(model, overview);
                }
            }
            Event::ToServer(id, watched) => {
                if let Some(stream) = self.stream.as_mut().filter(|stream| stream.id == id && !stream.dead) {
                    // Changes that were not sent for the old set are sent for the new set only. The cursor of
                    // `watching` covers all of them.
                    stream.narrowed = Some(watched.clone());
                    self.flush();
                    let cursor = self.server.cursor(self.server.changes());
                    let confirmed = watched.into_iter().filter(|watched| self.server.certifies(watched)).collect();
                    let kind = FrameKind::Watching(Watching { read_models: confirmed });
                    self.deliver(Incoming::Frame(Frame::new(kind, cursor)));
                }
            }
            Event::Flush(id) => {
                if self.stream.as_ref().is_some_and(|stream| stream.id == id) {
                    self.flush();
                }
            }
            Event::Heartbeat(id) => {
                if self.stream.as_ref().is_some_and(|stream| stream.id == id && !stream.dead) {
                    self.flush();
                    let cursor = self.server.cursor(self.server.changes());
                    let kind = FrameKind::Heartbeat(Heartbeat { server_time: time() });
                    self.deliver(Incoming::Frame(Frame::new(kind, cursor)));
                    self.later(25_000, Event::Heartbeat(id));
                }
            }
            Event::Request(fetch, held_content) => {
                let answer = self.answer(&fetch, held_content);
                let back = self.roll(self.slow) + 1;
                self.later(back, Event::Answer(fetch.ticket, fetch.model, answer));
            }
            Event::Answer(ticket, model, answer) => self.take(ticket, model, answer),
        }
    }

    fn answer(&mut self, fetch: &Fetch<ReadModel>, held_content: Option<Option<u64>>) -> Answer {
        if self.roll(100) < self.failing {
            return Answer::Failed;
        }
        let mut changes = self.server.changes();
        if self.roll(100) < self.caching {
            // A cached answer is never older than the current run of the server.
            let oldest = self.server.began().max(self.cached_from.min(changes));
            let cached = changes.saturating_sub(self.roll(4) as usize).max(oldest);
            let wanted = fetch.at_least.as_ref().filter(|at| at.epoch() == self.server.cursor(0).epoch());
            if wanted.is_none_or(|at_least| self.server.cursor(cached).covers(at_least)) {
                changes = cached;
            }
        }
        // Half of the answers of the old instance come from a cache. They do not even meet a demand of their own epoch,
        // so the client has to look at every cursor itself.
        let back = (self.roll(6) as usize).saturating_sub(2);
        let old = (self.roll(100) < self.old_instance).then(|| self.server.run_before(back)).flatten();
        let (cursor, content) = match old {
            Some((cursor, contents)) => (cursor.clone(), contents[&fetch.model]),
            None => (self.server.cursor(changes), self.server.contents(changes)[&fetch.model]),
        };
        if held_content == Some(content) && content.is_some() {
            Answer::Same(cursor, content)
        } else {
            Answer::Fresh(cursor, content)
        }
    }

    fn take(&mut self, ticket: Ticket, model: ReadModel, answer: Answer) {
        let now = self.time();
        self.invariants.cancel(ticket);
        let retry_after = (self.roll(3) == 0).then(|| Duration::from_millis(self.roll(20_000)));
        let (outcome, content) = match &answer {
            Answer::Fresh(cursor, Some(content)) => (Outcome::Fresh(cursor), Some(*content)),
            Answer::Fresh(cursor, None) => (Outcome::Gone(cursor), None),
            Answer::Same(cursor, content) => (Outcome::NotModified(cursor), *content),
            Answer::Failed => (Outcome::Failed { retry_after }, None),
        };
        if self.engine.handle_fetched(ticket, outcome, now) == FetchVerdict::Keep {
            if matches!(answer, Answer::Same(..)) {
                assert_eq!(self.store.get(&model), Some(&content), "not modified, but the client holds another body");
            }
            self.store.insert(model, content);
        }
    }

    /// Sends the changes that the stream has not sent.
    pub(super) fn flush(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        stream.flushing = false;
        let from = std::mem::replace(&mut stream.sent, self.server.changes());
        let narrowed = stream.narrowed.clone();
        let cursor = self.server.cursor(self.server.changes());
        let wanted =
            |watched: &Watched| narrowed.as_ref().is_none_or(|all| all.iter().any(|one| overlap(one, watched)));
        let stale = |notice| requery::engine::invalidation::stale(notice).filter(&wanted);
        let notices: Vec<_> =
            self.server.notices(from).iter().filter(|notice| stale(notice).next().is_some()).cloned().collect();
        let frames: Vec<FrameKind> = if self.lagging && from % 2 == 0 && !notices.is_empty() {
            vec![FrameKind::Resync(Resync { reason: "lagged".into() })]
        } else if self.lagging {
            let merged: BTreeSet<Watched> = notices.iter().flat_map(stale).collect();
            vec![FrameKind::Stale(Stale { read_models: merged.into_iter().collect() })]
        } else {
            notices.into_iter().map(FrameKind::Notice).collect()
        };
        self.lagging = false;
        let count = frames.len();
        for (number, kind) in frames.into_iter().enumerate() {
            let mut frame = Frame::new(kind, cursor.clone());
            frame.more = number + 1 < count;
            frame.spread_ms = (self.spread > 0).then_some(self.spread);
            self.deliver(Incoming::Frame(frame));
        }
    }

    pub(super) fn lose(&mut self, id: ConnectionId) {
        self.invariants.disconnect(id);
        self.engine.handle_disconnected(id, Loss::Ended, self.time());
    }

    pub(super) fn flush_later(&mut self) {
        let delay = if self.slow > 10 { self.roll(40) } else { 0 };
        if let Some(stream) = self.stream.as_mut().filter(|stream| !stream.flushing) {
            stream.flushing = true;
            let id = stream.id;
            self.later(delay, Event::Flush(id));
        }
    }

    pub(super) fn deliver(&mut self, incoming: Incoming) {
        let delay = if self.slow > 10 { self.roll(self.slow) } else { 5 };
        let Some(stream) = self.stream.as_mut().filter(|stream| !stream.dead) else { return };
        stream.busy_until = stream.busy_until.max(self.now + delay);
        let (id, at) = (stream.id, stream.busy_until);
        let starts = matches!(&incoming, Incoming::Frame(Frame { kind: FrameKind::Snapshot(_), .. }));
        let overview = self.server.contents(self.server.changes())[&ReadModel::Overview];
        let carried = overview.filter(|_| starts && self.carrying);
        self.later(at - self.now, Event::ToClient(id, incoming, carried));
    }

    pub(super) fn later(&mut self, delay: u64, event: Event) {
        self.events_ever += 1;
        self.events.insert((self.now + delay, self.events_ever), event);
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides.max(1)
    }
}

fn overlap(one: &Watched, other: &Watched) -> bool {
    match (one, other) {
        (Watched::One(one), all) | (all, Watched::One(one)) => all.includes(one),
        (Watched::Group(_), Watched::Group(_)) => true,
    }
}
