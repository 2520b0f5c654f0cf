//! The steps of a case: changes, the acts of the application and of a person, and the faults.

use requery::protocol::{Closing, Frame, FrameKind, Incoming, UnknownFrame};

use super::server::models;
use super::world::{Event, World};

/// One step of a case.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Change {
        kind: u8,
        task: u8,
    },
    /// A task moves into another project, or back.
    Move {
        task: u8,
        away: bool,
    },
    /// The application writes, and takes the cursor from the answer.
    Write(u8),
    Watch(u8),
    Unwatch(u8),
    /// A person asks for a read model anew.
    Refresh(u8),
    Reconnect,
    /// The connection is lost, and both ends know.
    Cut,
    /// The connection is lost, and the client does not know.
    HalfOpen,
    /// The server restarts without the last `lost` changes.
    Restart {
        lost: u8,
    },
    Prune,
    /// The next flush is merged into one frame.
    Lag,
    /// A change of an unknown kind, whose message has a cursor or none.
    UnknownChange {
        task: u8,
        cursor: bool,
    },
    /// The server says that it closes the stream.
    Closing(u32),
    Hidden(bool),
    Offline(bool),
    Disabled(bool),
    /// The percentage of failing requests, and the delay of the others.
    Network {
        failing: u8,
        slow: u16,
    },
    /// The percentage of answers that come from a cache.
    Caching(u8),
    /// The percentage of answers that come from the run of the server before.
    OldInstance(u8),
    Spread(u32),
    /// Whether the network lets WebSocket and server-sent events through.
    Transports {
        websocket: bool,
        sse: bool,
    },
}

impl World {
    pub fn apply(&mut self, op: Op) {
        let now = self.time();
        match op {
            Op::Change { kind, task } => {
                self.server.change(kind, task);
                self.flush_later();
            }
            Op::Move { task, away } => {
                self.server.move_task(task, away);
                self.flush_later();
            }
            Op::Write(task) => {
                self.server.change(0, task);
                self.flush_later();
                let model = models()[usize::from(task)].clone();
                let cursor = self.server.cursor(self.server.changes());
                let delay = self.roll(self.slow);
                self.later(delay, Event::Wrote(model, cursor));
            }
            Op::Watch(at) => {
                let model = models()[usize::from(at)].clone();
                self.invariants.wish(&model);
                self.watched.insert(model.clone());
                self.engine.watch(model, now);
            }
            Op::Refresh(at) => {
                let model = models()[usize::from(at)].clone();
                self.invariants.wish(&model);
                self.engine.refresh(&model, now);
            }
            Op::Reconnect => {
                self.engine.reconnect(now);
                self.invariants.disabled = false;
            }
            Op::Unwatch(at) => {
                let model = models()[usize::from(at)].clone();
                self.watched.remove(&model);
                self.invariants.unwatch(&model);
                self.engine.unwatch(&model, now);
            }
            Op::Cut => {
                if let Some(stream) = self.stream.take() {
                    self.later(0, Event::Lost(stream.id));
                }
            }
            Op::HalfOpen => {
                if let Some(stream) = &mut self.stream {
                    stream.dead = true;
                }
            }
            Op::Restart { lost } => {
                self.server.restart(lost.into());
                self.apply(Op::Cut);
            }
            Op::Prune => self.server.prune(),
            Op::Lag => self.lagging = true,
            Op::UnknownChange { task, cursor } => {
                self.flush();
                self.server.change(4, task);
                let changes = self.server.changes();
                if let Some(stream) = &mut self.stream {
                    stream.sent = changes;
                }
                let mut unknown = UnknownFrame::default();
                if cursor {
                    unknown.cursor = Some(self.server.cursor(changes));
                } else {
                    self.cached_from = changes;
                }
                self.deliver(Incoming::Unknown(unknown));
            }
            Op::Closing(retry_ms) => {
                let cursor = self.server.cursor(self.server.changes());
                self.flush();
                self.deliver(Incoming::Frame(Frame::new(FrameKind::Closing(Closing { retry_ms }), cursor)));
                self.stream = None;
            }
            Op::Hidden(hidden) => {
                self.invariants.hidden = hidden;
                if hidden {
                    self.engine.handle_hidden();
                } else {
                    self.engine.handle_visible(now);
                }
            }
            Op::Offline(offline) => {
                self.invariants.offline = offline;
                if offline {
                    self.engine.handle_offline();
                } else {
                    self.engine.handle_online(now);
                }
            }
            Op::Disabled(disabled) => {
                self.invariants.disabled = disabled;
                if disabled {
                    self.engine.disable();
                    self.stream = None;
                    self.invariants.connection = None;
                } else {
                    self.engine.enable(now);
                }
            }
            Op::Transports { websocket, sse } => (self.websocket, self.sse) = (websocket, sse),
            Op::Network { failing, slow } => (self.failing, self.slow) = (failing.into(), slow.into()),
            Op::Caching(percent) => self.caching = percent.into(),
            Op::OldInstance(percent) => self.old_instance = percent.into(),
            Op::Spread(ms) => self.spread = ms,
        }
        self.drive();
    }
}
