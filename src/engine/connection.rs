//! Whether there is a stream, when it counts as lost, and when to try again.
//!
//! Every connection has a name, and what comes under an old name is not heard: a driver cannot mix them up.

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
    /// No try has succeeded or failed yet since the application wanted a connection.
    untried: bool,
    /// Losses in a row without a good connection between them.
    losses: u32,
    ids: u32,
    /// Where a new connection continues.
    resume_cursor: Option<Cursor>,
    /// What the last frame spoke of.
    last_cursor: Option<Cursor>,
    last_message_at: Option<Duration>,
    to_close: Option<ConnectionId>,
}

/// Names one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(u32);

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// It failed, or was closed for a reason that passes.
    Lost,
    /// The server does not want us, and would not the next time either.
    Refused(String),
}

/// How things stand with the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The first try is under way.
    Connecting,
    /// Connected, and nothing is missing but what is being asked for.
    Live,
    /// Connected, and what was missed is being asked for.
    CatchingUp,
    /// Not connected.
    Reconnecting {
        /// When the next try is made; none while it is under way.
        next_try: Option<Duration>,
    },
    /// Not connected, and the device has no network.
    Offline,
    /// The server does not want us.
    Closed {
        /// What it said.
        reason: String,
    },
    /// The application wants no connection.
    Disabled,
}

/// Which message of its connection a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameOrder {
    /// A message of an earlier connection: it does not count.
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
    /// When the first frame came.
    first_frame_at: Option<Duration>,
    /// Lost unless something comes before.
    deadline: Duration,
    heartbeat: Duration,
    /// What the server sends notices for; none is everything.
    narrowed: Option<BTreeSet<Watched>>,
    /// What it was asked to send notices for, and until when it has to answer.
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

    /// The server answered what it was asked for last.
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

    /// Everything up to this was heard; not yet all of it where `more` follows.
    pub(super) fn handle_cursor(&mut self, cursor: &Cursor, more: bool) {
        self.last_cursor = Some(cursor.clone());
        if !more {
            self.resume_cursor = Some(cursor.clone());
        }
    }

    /// A person looks: no waiting.
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
            // The network went and came, and nothing was heard for longer than it should be.
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

    /// Gives up on a connection that is silent for too long.
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

    /// Whether the server can be told what to send notices for; one request at a time.
    pub(super) fn may_narrow(&self) -> bool {
        matches!(&self.phase, Phase::Linked(link) if link.duplex && link.first_frame_at.is_some() && link.asked.is_none())
    }

    /// Asks for notices of `watched` alone, unless that is what comes already.
    pub(super) fn narrow(&mut self, watched: &BTreeSet<Watched>, now: Duration) -> Option<ConnectionId> {
        let Phase::Linked(link) = &mut self.phase else { return None };
        if link.narrowed.as_ref() == Some(watched) {
            return None;
        }
        link.asked = Some((watched.clone(), now + self.settings.patience));
        Some(link.id)
    }

    /// Whether a change to `model` would be heard of.
    pub(super) fn sends_notices_of(&self, model: &ReadModel) -> bool {
        let Phase::Linked(link) = &self.phase else { return false };
        let asked = link.asked.as_ref().map(|(asked, _)| asked);
        let includes = |set: &BTreeSet<Watched>| set.iter().any(|one| one.includes(model));
        link.first_frame_at.is_some() && [link.narrowed.as_ref(), asked].into_iter().flatten().all(includes)
    }

    /// Where this connection continued.
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

    /// Whether asking would be in vain, or is not wanted.
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

/// No shorter interval is believed: it would lose good connections.
const HEARTBEAT_LEAST: Duration = Duration::from_secs(1);
/// Nor a longer one: it would keep dead ones.
const HEARTBEAT_MOST: Duration = Duration::from_secs(300);

impl Link {
    /// Two heartbeats missed, and half of one for those that are slow.
    fn silence(&self) -> Duration {
        self.heartbeat * 5 / 2
    }

    fn due(&self) -> Duration {
        self.asked.as_ref().map_or(self.deadline, |(_, deadline)| self.deadline.min(*deadline))
    }
}
