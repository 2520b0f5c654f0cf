//! The values that the output of `requery watch` shows: plain values, so that a picture needs neither a client nor a
//! clock.

use std::sync::Arc;
use std::time::Duration;

use requery::client::{HeldState, OverviewBody};
use requery::protocol::model::{BookmarkPage, TaskDetail};

use super::connection_words::ConnectionWords;

/// One moment of the client.
#[derive(Clone, Debug)]
pub(super) struct ShownMoment {
    /// The address of the server, as the person typed it.
    pub(super) server: String,
    /// The project that limits the output.
    pub(super) project: Option<String>,
    /// `false` if the server has no task of the project.
    pub(super) is_project_known: bool,
    /// The state of the connection.
    pub(super) connection: ConnectionWords,
    pub(super) overview: ShownView<OverviewBody>,
    /// The task that is open, if any.
    pub(super) task: Option<ShownView<TaskDetail>>,
    /// The bookmarks, while they are open.
    pub(super) bookmarks: Option<ShownView<BookmarkPage>>,
    /// The wall clock, in milliseconds since 1970.
    pub(super) now_ms: i64,
}

/// The newest answer of one read model, and how far it can be trusted.
#[derive(Debug)]
pub(super) struct ShownView<T> {
    pub(super) value: Option<Arc<T>>,
    pub(super) state: HeldState,
    /// The time since the value was last known to be current.
    pub(super) age: Option<Duration>,
    /// Why the last fetch failed.
    pub(super) error: Option<String>,
    /// Why the read model is stale and what its next fetch waits for, with `--explain`.
    pub(super) explanation: Option<String>,
}

impl<T> Clone for ShownView<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            state: self.state,
            age: self.age,
            error: self.error.clone(),
            explanation: self.explanation.clone(),
        }
    }
}

impl<T> Default for ShownView<T> {
    fn default() -> Self {
        Self { value: None, state: HeldState::Loading, age: None, error: None, explanation: None }
    }
}
