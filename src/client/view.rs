//! The view of a read model: its newest body, and how far the body can be trusted.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::clock::Clock;
use crate::engine::HeldState;
use crate::protocol::Cursor;

/// The content of the store for one read model, at one moment. A clone costs no copy of the body.
#[non_exhaustive]
pub struct View<T> {
    /// The newest body, parsed once for all views. None: no answer came yet. A deleted task keeps its last body.
    pub value: Option<Arc<T>>,
    /// The JSON of the body: one text for each request. The overlays of the application are absent here.
    ///
    /// The text of an answer is byte for byte as the server sent it. A body that came with a message of the stream is
    /// written anew, without the fields that this version does not know.
    pub parts: Arc<[Bytes]>,
    /// Whether `value` shows a write of the application that the server's answers do not contain yet.
    pub is_overlaid: bool,
    /// How far the body can be trusted. A view that is limited to some changes
    /// ([`WatchHandle::only`](super::WatchHandle::only)) is fresh while it lacks none of those.
    pub state: HeldState,
    /// The set of changes that the body contains. None: no answer came yet.
    pub cursor: Option<Cursor>,
    /// The number of failed fetches since the last successful one.
    pub failures: u32,
    /// The reason why the last fetch failed, with its causes. None: it succeeded.
    pub error: Option<Arc<str>>,
    /// The cause of the last fetch: the kind of a message, or another word of the contract. None: no fetch began yet.
    pub why: Option<Arc<str>>,
    /// The last moment at which the body was known to be current.
    pub(super) true_at: Option<Duration>,
    pub(super) clock: Clock,
}

impl<T> View<T> {
    /// The time since the body was last known to be current. None: no answer came yet.
    ///
    /// While the state is [`HeldState::Fresh`] and the stream is open, the age starts again with every message of the
    /// server, so it stays below the interval of the heartbeats. Otherwise it counts from the moment at which the
    /// answer was asked for, or from the first sign of a change. The time during which the machine slept counts.
    /// Changes that no handle of the read model asks for do not count.
    pub fn age(&self) -> Option<Duration> {
        self.true_at.map(|at| self.clock.now().saturating_sub(at))
    }

    /// Whether no change of the body is known, and every change would be: every change for which a handle of the read
    /// model asks.
    pub fn is_fresh(&self) -> bool {
        self.state == HeldState::Fresh
    }
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            parts: self.parts.clone(),
            is_overlaid: self.is_overlaid,
            state: self.state,
            cursor: self.cursor.clone(),
            failures: self.failures,
            error: self.error.clone(),
            why: self.why.clone(),
            true_at: self.true_at,
            clock: self.clock,
        }
    }
}

impl<T: Debug> Debug for View<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("value", &self.value)
            .field("state", &self.state)
            .field("cursor", &self.cursor.as_ref().map(ToString::to_string))
            .field("age", &self.age())
            .field("failures", &self.failures)
            .field("error", &self.error)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}
