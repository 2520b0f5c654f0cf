//! Sessions.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::words::words;
use crate::protocol::{SessionId, TaskId};

words! {
    /// The status of a session.
    SessionStatus {
        /// The session goes on.
        Running = "running",
        /// The session ended.
        Completed = "completed",
        /// The session failed.
        Errored = "errored",
        /// The session ended, and its end was not reported.
        Lost = "lost",
    }
}

/// One run of an agent on a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Session {
    /// The id of the session.
    pub session_id: SessionId,
    /// The task of the session.
    pub task_id: TaskId,
    /// The runtime that the session comes from.
    pub source: String,
    /// The name that the runtime gives the session.
    pub runtime_session_id: Option<String>,
    /// The status.
    pub status: SessionStatus,
    /// The outcome of the session.
    pub summary: Option<String>,
    /// The time at which the session began.
    pub started_at: Timestamp,
    /// The time at which the session ended.
    pub ended_at: Option<Timestamp>,
    /// The model that answers in the session, as the runtime names it; `null` if it is not known.
    pub model: Option<String>,
    /// The name of the machine on which the session runs; `null` if it is not known.
    pub host: Option<String>,
}
