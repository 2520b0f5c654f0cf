//! Whether a stream is open, when it counts as lost, and when to connect again.
//!
//! Every connection has an id, and inputs with the id of an earlier connection are ignored: a driver cannot mix them up.

use std::collections::BTreeSet;
use std::time::Duration;

use super::EngineSettings;
use super::random::Random;
use crate::protocol::limits;
use crate::protocol::{Cursor, ReadModel, Watched};

/// The life of the stream to the server.
#[derive(Debug)]
pub(super) struct ConnectionState {
    settings: EngineSettings,
    random: Random,
    phase: Phase,
    offline: bool,
    /// No connection has succeeded or failed since the application enabled the engine.
    untried: bool,
    /// Losses in a row without a stable connection between them.
    losses: u32,
    ids: u32,
    /// The cursor at which the next connection continues.
    resume_cursor: Option<Cursor>,
    /// The cursor of the last frame.
    last_cursor: Option<Cursor>,
    last_message_at: Option<Duration>,
    /// A connection that the driver still has to close.
    to_close: Option<ConnectionId>,
}

/// The id of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(u32);

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The connection failed, or was closed for a temporary reason.
    Lost,
    /// The server refuses this client, and would refuse it the next time too.
    Refused(String),
}

/// The state of the connection to the server, for display. The contract names these states, so the set is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The first connection is being opened.
    Connecting,
    /// Connected; read models are stale for moments at most.
    Live,
    /// Connected; read models that changed while disconnected are being fetched.
    CatchingUp,
    /// Not connected.
    Reconnecting {
        /// When the next connection is opened. None: it is being opened now.
        next_try: Option<Duration>,
    },
    /// Not connected, and the device has no network.
    Offline,
    /// The server refuses this client.
    Closed {
        /// The reason, as the server states it.
        reason: String,
    },
    /// The application disabled the engine.
    Disabled,
}

/// The place of a message among the messages of the open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameOrder {
    /// A message of an earlier connection. The engine ignores it.
    OtherConnection,
    /// The first message of the open connection.
    First,
    /// A later message of the open connection.
    Later,
}

#[derive(Debug)]
enum Phase {
    Waiting { until: Duration },
    Linked(Box<Link>),
    Closed(String),
    Disabled,
}

#[derive(Debug)]
struct Link {
    id: ConnectionId,
    since: Option<Cursor>,
    duplex: bool,
    /// When the first frame came. None: no frame has come yet.
    first_frame_at: Option<Duration>,
    /// The connection is lost unless a message comes before.
    deadline: Duration,
    heartbeat: Duration,
    /// The read models for which the server sends notices. None: the stream is not narrowed yet and reports all of
    /// them.
    narrowed: Option<BTreeSet<Watched>>,
    /// The set in the last unanswered `watch`, and the deadline for the answer.
    asked: Option<(BTreeSet<Watched>, Duration)>,
}

impl ConnectionState {
    pub(super) fn new(settings: EngineSettings, random: Random) -> Self {
        Self {
            settings,
            random,
            phase: Phase::Waiting { until: Duration::ZERO },
            offline: false,
            untried: true,
            losses: 0,
            ids: 0,
            resume_cursor: None,
            last_cursor: None,
            last_message_at: None,
            to_close: None,
        }
    }

    pub(super) fn handle_connected(&mut self, id: ConnectionId, duplex: bool, now: Duration) {
        let patience = self.settings.patience;
        if let Some(link) = self.link(id) {
            link.duplex = duplex;
            link.deadline = now + patience;
        }
    }

    pub(super) fn handle_disconnected(&mut self, id: ConnectionId, loss: Loss, now: Duration) {
        if self.link(id).is_none() {
            return;
        }
        match loss {
            Loss::Lost => self.lose(None, now),
            Loss::Refused(reason) => self.phase = Phase::Closed(reason),
        }
        self.to_close = None;
    }

    pub(super) fn handle_message(&mut self, id: ConnectionId, now: Duration) -> FrameOrder {
        let Some(link) = self.link(id) else { return FrameOrder::OtherConnection };
        let first = link.first_frame_at.is_none();
        link.first_frame_at.get_or_insert(now);
        link.deadline = now + link.silence();
        self.untried = false;
        self.last_message_at = Some(now);
        if first { FrameOrder::First } else { FrameOrder::Later }
    }

    pub(super) fn handle_heartbeat_interval(&mut self, ms: u32, now: Duration) {
        if let Phase::Linked(link) = &mut self.phase {
            link.heartbeat = Duration::from_millis(ms.into()).clamp(HEARTBEAT_LEAST, HEARTBEAT_MOST);
            link.deadline = now + link.silence();
        }
    }

    /// The server answered the last `watch`.
    pub(super) fn handle_watching(&mut self) {
        if let Phase::Linked(link) = &mut self.phase
            && let Some((asked, _)) = link.asked.take()
        {
            link.narrowed = Some(asked);
        }
    }

    pub(super) fn handle_closing(&mut self, retry_ms: u32, now: Duration) {
        let most = Duration::from_millis(retry_ms.into()).min(self.settings.longest_wait);
        let wait = self.random.share(most);
        self.lose(Some(wait), now);
    }

    /// A frame with this cursor came. With `more` the next frame has the same cursor, so the stream cannot continue there
    /// yet.
    pub(super) fn handle_cursor(&mut self, cursor: &Cursor, more: bool) {
        self.last_cursor = Some(cursor.clone());
        if !more {
            self.resume_cursor = Some(cursor.clone());
        }
    }

    /// Ends the wait before the next connection: a person looks at the screen.
    pub(super) fn connect_at_once(&mut self, now: Duration) {
        if let Phase::Waiting { until } = &mut self.phase {
            *until = now.min(*until);
        }
    }

    pub(super) fn handle_offline(&mut self) {
        self.offline = true;
    }

    pub(super) fn handle_online(&mut self, now: Duration) {
        self.offline = false;
        self.connect_at_once(now);
        let last = self.last_message_at.unwrap_or_default();
        if matches!(&self.phase, Phase::Linked(link) if link.first_frame_at.is_some() && last + link.heartbeat < now) {
            // The network was away, and the stream has been silent for longer than a heartbeat.
            self.lose(Some(Duration::ZERO), now);
        }
    }

    pub(super) fn disable(&mut self) {
        if let Phase::Linked(link) = &self.phase {
            self.to_close = Some(link.id);
        }
        self.phase = Phase::Disabled;
    }

    pub(super) fn enable(&mut self, now: Duration) {
        if matches!(self.phase, Phase::Disabled | Phase::Closed(_)) {
            self.phase = Phase::Waiting { until: now };
            self.untried = true;
            self.losses = 0;
        }
    }

    /// Gives up a connection that has been silent for too long.
    pub(super) fn handle_time(&mut self, now: Duration) {
        if matches!(&self.phase, Phase::Linked(link) if link.due() <= now) {
            self.lose(None, now);
        }
    }

    pub(super) fn poll_disconnect(&mut self) -> Option<ConnectionId> {
        self.to_close.take()
    }

    pub(super) fn poll_connect(&mut self, now: Duration) -> Option<(ConnectionId, Option<Cursor>)> {
        let Phase::Waiting { until } = self.phase else { return None };
        if until > now || self.offline {
            return None;
        }
        self.ids = self.ids.wrapping_add(1);
        let id = ConnectionId(self.ids);
        self.phase = Phase::Linked(Box::new(Link {
            id,
            since: self.resume_cursor.clone(),
            duplex: false,
            first_frame_at: None,
            deadline: now + self.settings.patience,
            heartbeat: limits::HEARTBEAT,
            narrowed: None,
            asked: None,
        }));
        Some((id, self.resume_cursor.clone()))
    }

    /// Whether a `watch` can be sent; only one may be unanswered.
    pub(super) fn may_narrow(&self) -> bool {
        matches!(&self.phase, Phase::Linked(link) if link.duplex && link.first_frame_at.is_some() && link.asked.is_none())
    }

    /// Narrows the stream to `watched`, unless it is narrowed to that set already.
    pub(super) fn narrow(&mut self, watched: &BTreeSet<Watched>, now: Duration) -> Option<ConnectionId> {
        let Phase::Linked(link) = &mut self.phase else { return None };
        if link.narrowed.as_ref() == Some(watched) {
            return None;
        }
        link.asked = Some((watched.clone(), now + self.settings.patience));
        Some(link.id)
    }

    /// Whether the stream sends a notice if `model` changes.
    pub(super) fn sends_notices_of(&self, model: &ReadModel) -> bool {
        let Phase::Linked(link) = &self.phase else { return false };
        let asked = link.asked.as_ref().map(|(asked, _)| asked);
        let includes = |set: &BTreeSet<Watched>| set.iter().any(|one| one.includes(model));
        link.first_frame_at.is_some() && [link.narrowed.as_ref(), asked].into_iter().flatten().all(includes)
    }

    /// The cursor at which this connection continued.
    pub(super) fn since(&self) -> Option<&Cursor> {
        match &self.phase {
            Phase::Linked(link) => link.since.as_ref(),
            Phase::Waiting { .. } | Phase::Closed(_) | Phase::Disabled => None,
        }
    }

    pub(super) fn last_cursor(&self) -> Option<&Cursor> {
        self.last_cursor.as_ref()
    }

    pub(super) fn last_message_at(&self) -> Option<Duration> {
        self.last_message_at
    }

    /// Whether fetches must wait: the server cannot be reached, or the application disabled the engine.
    pub(super) fn is_barred(&self) -> bool {
        match &self.phase {
            Phase::Waiting { .. } => self.offline,
            Phase::Linked(link) => self.offline && link.first_frame_at.is_none(),
            Phase::Closed(_) | Phase::Disabled => true,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Waiting { until } if !self.offline => Some(*until),
            Phase::Linked(link) => Some(link.due()),
            Phase::Waiting { .. } | Phase::Closed(_) | Phase::Disabled => None,
        }
    }

    pub(super) fn status(&self, behind: bool) -> Status {
        match &self.phase {
            Phase::Linked(link) if link.first_frame_at.is_some() && behind => Status::CatchingUp,
            Phase::Linked(link) if link.first_frame_at.is_some() => Status::Live,
            Phase::Closed(reason) => Status::Closed { reason: reason.clone() },
            Phase::Disabled => Status::Disabled,
            Phase::Linked(_) | Phase::Waiting { .. } if self.offline => Status::Offline,
            Phase::Linked(_) | Phase::Waiting { .. } if self.untried => Status::Connecting,
            Phase::Linked(_) => Status::Reconnecting { next_try: None },
            Phase::Waiting { until } => Status::Reconnecting { next_try: Some(*until) },
        }
    }

    fn link(&mut self, id: ConnectionId) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Linked(link) if link.id == id => Some(link),
            _ => None,
        }
    }

    fn lose(&mut self, wait: Option<Duration>, now: Duration) {
        let Phase::Linked(link) = &self.phase else { return };
        if link.first_frame_at.is_some_and(|at| now.saturating_sub(at) >= self.settings.stable) {
            self.losses = 0;
        }
        self.losses = self.losses.saturating_add(1);
        self.untried = false;
        self.to_close = Some(link.id);
        let wait = wait.unwrap_or_else(|| self.random.backoff(&self.settings, self.losses));
        self.phase = Phase::Waiting { until: now + wait };
    }
}

/// A shorter announced interval counts as this: it would lose good connections.
const HEARTBEAT_LEAST: Duration = Duration::from_secs(1);
/// A longer announced interval counts as this: it would keep dead connections.
const HEARTBEAT_MOST: Duration = Duration::from_secs(300);

impl Link {
    /// The longest silence of a live connection: two missed heartbeats, and half of one for a slow network.
    fn silence(&self) -> Duration {
        self.heartbeat * 5 / 2
    }

    fn due(&self) -> Duration {
        self.asked.as_ref().map_or(self.deadline, |(_, deadline)| self.deadline.min(*deadline))
    }
}
