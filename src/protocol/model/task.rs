//! Tasks.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::page::pages;
use super::words::words;
use crate::protocol::{SessionId, TaskId};

words! {
    /// Where a task stands.
    TaskStatus {
        /// An agent works on it.
        Running = "running",
        /// It waits for a person; why is in `status_reason`.
        Waiting = "waiting",
        /// Done.
        Completed = "completed",
        /// Failed.
        Errored = "errored",
    }

    /// How a task ended.
    FinalStatus {
        /// Done.
        Completed = "completed",
        /// Failed.
        Errored = "errored",
    }

    /// Whether a person looks at a task's agent.
    TaskMode {
        /// A person started it and talks to it.
        Primary = "primary",
        /// It runs on its own.
        Background = "background",
    }

    /// Why a task is flagged stale.
    StaleReason {
        /// Nothing was heard of its agent for a while.
        Silent = "silent",
        /// The process of its agent is gone.
        Gone = "gone",
    }
}

/// A piece of agent work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Task {
    /// The task.
    pub task_id: TaskId,
    /// What it is about.
    pub title: String,
    /// The project it belongs to.
    pub project: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Whether a person looks at its agent.
    pub mode: TaskMode,
    /// The task it is part of.
    pub parent_task_id: Option<TaskId>,
    /// The session that began it.
    pub parent_session_id: Option<SessionId>,
    /// The folder its agent works in.
    pub workspace: Option<String>,
    /// The runtime it came from: `claude-code`, `codex`, `api` or any other.
    pub source: String,
    /// Why it stands so: it waits for being `ready`, for a `permission`, a `question`, being `idle`, having `finished` its
    /// turn, or for anything else; it errored for being `lost`, or for what its agent said.
    pub status_reason: Option<String>,
    /// Since when it waits, while it does.
    pub waiting_since: Option<Timestamp>,
    /// Flagged stale: since when nothing was heard of its agent, so that its status may no longer be true.
    pub stale_since: Option<Timestamp>,
    /// Why it is flagged stale, while it is.
    pub stale_reason: Option<StaleReason>,
    /// How it ended or what it found.
    pub summary: Option<String>,
    /// How many events were ever logged on it.
    pub event_count: u64,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When its own row changed last, or its newest event was logged.
    pub changed_at: Timestamp,
    /// When it was completed or errored.
    pub ended_at: Option<Timestamp>,
}

/// A part of a task: what its parent shows of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct ChildTask {
    /// The task.
    pub task_id: TaskId,
    /// What it is about.
    pub title: String,
    /// The project it belongs to.
    pub project: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Whether a person looks at its agent.
    pub mode: TaskMode,
    /// Why it waits or errored.
    pub status_reason: Option<String>,
    /// Flagged stale: since when nothing was heard of its agent.
    pub stale_since: Option<Timestamp>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was completed or errored.
    pub ended_at: Option<Timestamp>,
}

pages! {
    /// Tasks, the last changed first.
    TaskPage(Task)
}

/// What a purge cleared away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Purged {
    /// How many tasks.
    pub count: u64,
}
