//! Whether a stream is open, when it counts as lost, and when and how to connect again.
//!
//! Every connection has an id, and inputs with the id of an earlier connection are ignored: a driver cannot mix them up.

use std::sync::Arc;

use super::random::Random;
use super::settings::{Timing, from_ms, to_ms};
use super::status::{CloseReason, ConnectionId, Loss, LossReason, Status};
use super::transport::{Transport, Transports};
use crate::protocol::Cursor;
use crate::protocol::limits;

/// The life of the stream to the server.
#[derive(Debug)]
pub(super) struct ConnectionState {
    settings: Arc<Timing>,
    random: Random,
    phase: Phase,
    transports: Transports,
    offline: bool,
    /// No connection has succeeded or failed since the application enabled the engine.
    untried: bool,
    /// Losses in a row without a stable connection between them.
    losses: u32,
    /// The last loss: when the stream was lost, and why. None while the stream is open.
    lost: Option<(u64, LossReason)>,
    ids: u32,
    /// The cursor at which the next connection continues.
    resume_cursor: Option<Cursor>,
    /// The cursor of the last message.
    last_cursor: Option<Cursor>,
    /// The last cursor of the epoch before.
    ended_cursor: Option<Cursor>,
    /// When the server last answered a fetch.
    answered_at: u64,
    last_message_at: Option<u64>,
    /// A connection that the driver still has to close.
    to_close: Option<ConnectionId>,
}

/// The place of a message among the messages of the open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageOrder {
    /// A message of an earlier connection. The engine ignores it.
    OtherConnection,
    /// The first message of the open connection.
    First,
    /// A later message of the open connection.
    Later,
}

#[derive(Debug)]
enum Phase {
    Waiting { until: u64 },
    Linked(Box<Link>),
    Closed(CloseReason),
    Disabled,
}

#[derive(Debug)]
struct Link {
    id: ConnectionId,
    transport: Transport,
    since: Option<Cursor>,
    began_at: u64,
    duplex: bool,
    /// When the first message came. None: no message has come yet.
    first_message_at: Option<u64>,
    /// The transport has proved that it works.
    works: bool,
    /// The connection is lost unless a message comes before.
    deadline: u64,
    heartbeat: u64,
}

impl ConnectionState {
    pub(super) fn new(settings: Arc<Timing>, random: Random) -> Self {
        Self {
            settings,
            random,
            phase: Phase::Waiting { until: 0 },
            transports: Transports::default(),
            offline: false,
            untried: true,
            losses: 0,
            lost: None,
            ids: 0,
            resume_cursor: None,
            last_cursor: None,
            ended_cursor: None,
            answered_at: 0,
            last_message_at: None,
            to_close: None,
        }
    }

    /// No connection was made yet.
    pub(super) fn is_new(&self) -> bool {
        self.ids == 0
    }

    pub(super) fn resume_at(&mut self, cursor: &Cursor) {
        if self.is_new() {
            self.resume_cursor = Some(cursor.clone());
        }
    }

    pub(super) fn resume_cursor(&self) -> Option<&Cursor> {
        self.resume_cursor.as_ref()
    }

    pub(super) fn handle_connected(&mut self, id: ConnectionId, duplex: bool, now: u64) {
        let deadline = now + self.settings.patience;
        // A driver that is late with this must not cut the time of a stream that has begun.
        if let Some(link) = self.link(id).filter(|link| link.first_message_at.is_none()) {
            link.duplex = duplex;
            link.deadline = deadline;
        }
    }

    pub(super) fn handle_disconnected(&mut self, id: ConnectionId, loss: Loss, now: u64) {
        if self.link(id).is_none() {
            return;
        }
        match loss {
            Loss::Ended => self.lose(LossReason::Ended, 0, now),
            Loss::NotReached => self.lose(LossReason::NotReached, 0, now),
            Loss::Busy { retry_after } => self.lose(LossReason::Busy, retry_after.map_or(0, to_ms), now),
            Loss::Refused(text) => self.phase = Phase::Closed(CloseReason::Refused(text)),
        }
        self.to_close = None;
    }

    pub(super) fn handle_message(&mut self, id: ConnectionId, now: u64) -> MessageOrder {
        let Some(link) = self.link(id) else { return MessageOrder::OtherConnection };
        let first = link.first_message_at.is_none();
        link.first_message_at.get_or_insert(now);
        link.deadline = now + link.silence();
        // A stream on which nothing is sent works once it speaks.
        let works = first && !link.duplex;
        self.untried = false;
        self.lost = None;
        self.last_message_at = Some(now);
        if works {
            self.handle_works(now);
        }
        if first { MessageOrder::First } else { MessageOrder::Later }
    }

    /// The open stream has proved that its transport works in both directions.
    pub(super) fn handle_works(&mut self, now: u64) {
        let Phase::Linked(link) = &mut self.phase else { return };
        if !std::mem::replace(&mut link.works, true) {
            self.transports.handle_success(link.transport, &self.settings, now);
        }
    }

    pub(super) fn handle_heartbeat_interval(&mut self, ms: u32, now: u64) {
        if let Phase::Linked(link) = &mut self.phase {
            link.heartbeat = u64::from(ms).clamp(HEARTBEAT_LEAST, HEARTBEAT_MOST);
            link.deadline = now + link.silence();
        }
    }

    pub(super) fn handle_closing(&mut self, retry_ms: u32, now: u64) {
        let wait = self.random.share(u64::from(retry_ms).min(self.settings.longest_wait));
        self.lose(LossReason::Closing, wait, now);
    }

    /// The server did not answer the request for notices in time.
    pub(super) fn handle_not_confirmed(&mut self, now: u64) {
        self.lose(LossReason::NotConfirmed, 0, now);
    }

    /// A message with this cursor came. With `more` the next message has the same cursor, so the stream cannot continue
    /// there yet.
    pub(super) fn handle_cursor(&mut self, cursor: &Cursor, more: bool) {
        let last = self.last_cursor.replace(cursor.clone());
        if let Some(ended) = last.filter(|last| last.epoch() != cursor.epoch()) {
            self.ended_cursor = Some(ended);
        }
        if !more {
            self.resume_cursor = Some(cursor.clone());
        }
    }

    /// Ends the wait before the next connection: a person looks at the screen.
    pub(super) fn connect_at_once(&mut self, now: u64) {
        if let Phase::Waiting { until } = &mut self.phase {
            *until = now.min(*until);
        }
    }

    /// Replaces the stream by a new one at once, and ends every wait. An attempt that has just begun goes on.
    pub(super) fn reconnect(&mut self, now: u64) {
        self.transports.begin_anew(now);
        let begun = |link: &Link| link.began_at + self.settings.first_message_wait > now;
        match &self.phase {
            Phase::Linked(link) if link.first_message_at.is_none() && begun(link) => {}
            Phase::Linked(_) => self.lose(LossReason::Asked, 0, now),
            Phase::Waiting { .. } | Phase::Closed(_) | Phase::Disabled => self.enable(now),
        }
        self.connect_at_once(now);
    }

    pub(super) fn handle_offline(&mut self) {
        self.offline = true;
    }

    pub(super) fn handle_online(&mut self, now: u64) {
        if std::mem::take(&mut self.offline) {
            self.transports.begin_anew(now);
        }
        let last = self.last_message_at();
        let silent = |link: &Link| link.first_message_at.is_some() && last + link.heartbeat < now;
        if matches!(&self.phase, Phase::Linked(link) if silent(link)) {
            // The network was away, and the stream has been silent for longer than a heartbeat.
            self.lose(LossReason::NetworkReturned, 0, now);
        }
        self.connect_at_once(now);
    }

    pub(super) fn disable(&mut self) {
        if let Phase::Linked(link) = &self.phase {
            self.to_close = Some(link.id);
        }
        self.phase = Phase::Disabled;
        self.lost = None;
    }

    pub(super) fn enable(&mut self, now: u64) {
        if matches!(self.phase, Phase::Disabled | Phase::Closed(_)) {
            self.phase = Phase::Waiting { until: now };
            self.transports.begin_anew(now);
            self.untried = true;
            self.losses = 0;
            self.lost = None;
        }
    }

    /// Gives up a connection that has been silent for too long.
    pub(super) fn handle_time(&mut self, now: u64) {
        let Phase::Linked(link) = &self.phase else { return };
        if link.deadline <= now {
            let opened = link.first_message_at.is_some();
            let reason = if opened { LossReason::Silent } else { LossReason::NoFirstMessage };
            self.lose(reason, 0, now);
        }
    }

    pub(super) fn poll_disconnect(&mut self) -> Option<ConnectionId> {
        self.to_close.take()
    }

    pub(super) fn poll_connect(&mut self, now: u64) -> Option<(ConnectionId, Option<Cursor>, Transport)> {
        let Phase::Waiting { until } = self.phase else { return None };
        if until > now || self.offline {
            return None;
        }
        self.ids = self.ids.wrapping_add(1);
        let (id, transport) = (ConnectionId::from_number(self.ids), self.transports.next(now));
        self.phase = Phase::Linked(Box::new(Link {
            id,
            transport,
            since: self.resume_cursor.clone(),
            began_at: now,
            duplex: false,
            first_message_at: None,
            works: false,
            deadline: now + self.settings.patience,
            heartbeat: to_ms(limits::HEARTBEAT),
        }));
        Some((id, self.resume_cursor.clone(), transport))
    }

    /// The open stream, if the client can send on it.
    pub(super) fn duplex(&self) -> Option<ConnectionId> {
        match &self.phase {
            Phase::Linked(link) if link.duplex && link.first_message_at.is_some() => Some(link.id),
            _ => None,
        }
    }

    /// Whether the stream is open and has begun.
    pub(super) fn is_up(&self) -> bool {
        matches!(&self.phase, Phase::Linked(link) if link.first_message_at.is_some())
    }

    /// The cursor at which this connection continued.
    pub(super) fn since(&self) -> Option<&Cursor> {
        match &self.phase {
            Phase::Linked(link) => link.since.as_ref(),
            Phase::Waiting { .. } | Phase::Closed(_) | Phase::Disabled => None,
        }
    }

    /// Whether the last message had a cursor of the same epoch.
    pub(super) fn is_of_epoch(&self, cursor: &Cursor) -> bool {
        self.last_cursor.as_ref().is_some_and(|last| last.epoch() == cursor.epoch())
    }

    /// Whether a stream told that the epoch of `cursor` has ended.
    pub(super) fn has_ended(&self, cursor: &Cursor) -> bool {
        let ended = |ended: &Cursor| ended.epoch() == cursor.epoch();
        self.ended_cursor.as_ref().is_some_and(ended) && !self.is_of_epoch(cursor)
    }

    /// The cursor of the last message, if the stream cannot tell the next change of an answer with `cursor`, which is of
    /// another epoch.
    pub(super) fn other_epoch(&self, cursor: &Cursor) -> Option<&Cursor> {
        let other = !self.is_of_epoch(cursor) && (self.is_up() || self.has_ended(cursor));
        self.last_cursor.as_ref().filter(|_| other)
    }

    /// The cursor of the last message, while the stream is open.
    pub(super) fn stream_cursor(&self) -> Option<&Cursor> {
        self.last_cursor.as_ref().filter(|_| self.is_up())
    }

    /// The server answered a fetch, so it can be reached.
    pub(super) fn handle_answered(&mut self, now: u64) {
        self.answered_at = now;
    }

    /// The time at which the open connection, or the attempt, began.
    pub(super) fn began_at(&self) -> u64 {
        if let Phase::Linked(link) = &self.phase { link.began_at } else { 0 }
    }

    /// The time of the last message; zero before the first.
    pub(super) fn last_message_at(&self) -> u64 {
        self.last_message_at.unwrap_or_default()
    }

    /// Until when a read model that the first message carries is not fetched: the first connection is being opened.
    pub(super) fn first_message_until(&self) -> Option<u64> {
        match &self.phase {
            Phase::Linked(link) if self.untried && link.since.is_none() => {
                Some(link.began_at + self.settings.first_message_wait)
            }
            _ => None,
        }
    }

    /// Whether no stream can be opened, as far as is known, so that read models are polled.
    pub(super) fn is_polling(&self) -> bool {
        self.transports.is_exhausted() && !self.is_up() && !self.is_barred()
    }

    /// Whether fetches must wait: the server cannot be reached, or the application disabled the engine.
    pub(super) fn is_barred(&self) -> bool {
        match &self.phase {
            Phase::Waiting { .. } => self.offline,
            Phase::Linked(link) => self.offline && link.first_message_at.is_none(),
            Phase::Closed(_) | Phase::Disabled => true,
        }
    }

    /// Whether the engine stopped: the server refused it, or the application disabled it.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Closed(_) | Phase::Disabled)
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        match &self.phase {
            Phase::Waiting { until } if !self.offline => Some(*until),
            Phase::Linked(link) => Some(link.deadline),
            Phase::Waiting { .. } | Phase::Closed(_) | Phase::Disabled => None,
        }
    }

    /// `behind` is whether a change from a time without connection is not fetched yet, `reached` whether the last fetch
    /// reached the server.
    pub(super) fn status(&self, behind: bool, reached: bool) -> Status {
        let next_try = match &self.phase {
            Phase::Linked(link) if link.first_message_at.is_some() && behind => return Status::CatchingUp,
            Phase::Linked(link) if link.first_message_at.is_some() => return Status::Live,
            Phase::Closed(reason) => return Status::Closed { reason: reason.clone() },
            Phase::Disabled => return Status::Disabled,
            Phase::Linked(_) => None,
            Phase::Waiting { until } => Some(*until),
        };
        if self.offline {
            return Status::Offline;
        }
        match self.lost {
            _ if reached && self.is_polling() => Status::Polling,
            Some((since, reason)) => {
                Status::Reconnecting { next_try: next_try.map(from_ms), since: from_ms(since), reason }
            }
            None => Status::Connecting,
        }
    }

    fn link(&mut self, id: ConnectionId) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Linked(link) if link.id == id => Some(link),
            _ => None,
        }
    }

    /// Ends the connection. The next one begins after the client's own backoff and after `least`, which a server
    /// demands.
    fn lose(&mut self, reason: LossReason, least: u64, now: u64) {
        let Phase::Linked(link) = &self.phase else { return };
        // Whether the loss may be the fault of something else than the transport.
        let elsewhere = match reason {
            LossReason::Asked | LossReason::NetworkReturned | LossReason::Closing => true,
            // The server was there: it answered a fetch since.
            LossReason::NotReached => self.answered_at <= link.began_at,
            // The server names its wait; a gateway that takes no such stream names none.
            LossReason::Busy => least > 0,
            _ => false,
        };
        if !link.works && !elsewhere && !self.offline {
            self.transports.handle_failure(&self.settings, now);
        }
        if link.first_message_at.is_some_and(|at| now.saturating_sub(at) >= self.settings.stable) {
            self.losses = 0;
        }
        self.untried = false;
        self.to_close = Some(link.id);
        let since = self.lost.map_or(now, |(since, _)| since);
        self.lost = Some((since, reason));
        if reason == LossReason::Asked {
            self.phase = Phase::Waiting { until: now };
            return;
        }
        self.losses = self.losses.saturating_add(1);
        if self.losses >= self.settings.attempts {
            self.phase = Phase::Closed(CloseReason::Attempts);
            return;
        }
        let own = match reason {
            LossReason::NetworkReturned => 0,
            // The server names the wait. If it closes again and again, the client's own wait counts too.
            LossReason::Closing if self.losses < 2 => 0,
            _ => self.random.backoff(&self.settings, self.losses),
        };
        let least = least.min(self.settings.longest_wait);
        // A demanded wait is the same for all clients, so the own one is added to it.
        let wait = if reason == LossReason::Closing { least.max(own) } else { least + own };
        self.phase = Phase::Waiting { until: now + wait };
    }
}

/// A shorter announced interval counts as this: it would lose good connections.
const HEARTBEAT_LEAST: u64 = 1_000;
/// A longer announced interval counts as this: it would keep dead connections.
const HEARTBEAT_MOST: u64 = 300_000;

impl Link {
    /// The longest silence of a live connection: two missed heartbeats, and half of one for a slow network.
    fn silence(&self) -> u64 {
        self.heartbeat * 5 / 2
    }
}
