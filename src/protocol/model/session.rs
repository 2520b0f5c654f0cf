//! Sessions.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::words::words;
use crate::protocol::{SessionId, TaskId};

words! {
    /// Where a run of an agent stands.
    SessionStatus {
        /// It goes on.
        Running = "running",
        /// It ended.
        Completed = "completed",
        /// It failed.
        Errored = "errored",
        /// It ended without saying so.
        Lost = "lost",
    }
}

/// One run of an agent on a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Session {
    /// The session.
    pub session_id: SessionId,
    /// The task it works on.
    pub task_id: TaskId,
    /// The runtime it came from.
    pub source: String,
    /// What the runtime calls it.
    pub runtime_session_id: Option<String>,
    /// Where it stands.
    pub status: SessionStatus,
    /// How it ended or what it did.
    pub summary: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}
