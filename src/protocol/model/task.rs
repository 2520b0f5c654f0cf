//! Tasks.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::TodoProgress;
use super::page::pages;
use super::words::{by_default_certain, words};
use crate::protocol::{SessionId, TaskId};

words! {
    /// The status of a task.
    TaskStatus {
        /// An agent works on the task.
        Running = "running",
        /// The task waits for a person. `status_reason` has the reason.
        Waiting = "waiting",
        /// The task is done.
        Completed = "completed",
        /// The task failed.
        Errored = "errored",
    }

    /// The status of a finished task.
    FinalStatus {
        /// The task is done.
        Completed = "completed",
        /// The task failed.
        Errored = "errored",
    }

    /// How a task runs.
    TaskMode {
        /// A person started the agent and talks to it.
        Primary = "primary",
        /// The agent runs on its own.
        Background = "background",
    }

    /// The reason of the stale flag of a task.
    StaleReason {
        /// The agent sent no hook for the time of `--stale-after`.
        Silent = "silent",
        /// The process of the agent no longer exists.
        Gone = "gone",
    }
}

/// A piece of agent work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Task {
    /// The id of the task.
    pub task_id: TaskId,
    /// The title: one line.
    pub title: String,
    /// The project of the task.
    pub project: String,
    /// The status.
    pub status: TaskStatus,
    /// How the task runs.
    pub mode: TaskMode,
    /// The parent task.
    pub parent_task_id: Option<TaskId>,
    /// The session that began the task.
    pub parent_session_id: Option<SessionId>,
    /// The folder in which the agent works.
    pub workspace: Option<String>,
    /// The runtime that the task comes from: `claude-code`, `codex`, `api`, `sql` or another text.
    pub source: String,
    /// The reason of the status. For `waiting`: `ready`, `permission`, `question`, `idle`, `finished` or another text.
    /// For `errored`: `lost`, the error of the agent or another text.
    pub status_reason: Option<String>,
    /// The question that a waiting task asks, the command that it asks for, or the text of the error: at most 500
    /// characters.
    pub status_detail: Option<String>,
    /// Whether the status is known to be true. `false` for a permission that was asked for and may be given already: an
    /// approval runs no hook. `true` also if the server is of a version that does not say it.
    #[serde(default = "by_default_certain")]
    pub status_certain: bool,
    /// The time from which the task waits; `null` if it does not wait.
    pub waiting_since: Option<Timestamp>,
    /// The time from which the task counts as stale, so that its status may no longer be true; `null` without a stale
    /// flag.
    pub stale_since: Option<Timestamp>,
    /// The reason of the stale flag; `null` without a stale flag.
    pub stale_reason: Option<StaleReason>,
    /// The outcome of the task.
    pub summary: Option<String>,
    /// The number of events ever logged on the task. A deleted event is still counted.
    pub event_count: u64,
    /// The time at which the task began.
    pub created_at: Timestamp,
    /// The later of the last change of the task's own row and the time of its newest event.
    pub changed_at: Timestamp,
    /// The time at which the task was completed or errored.
    pub ended_at: Option<Timestamp>,
    /// How far the agent's own list of the work is done; `null` if the agent made no list.
    pub progress: Option<TodoProgress>,
    /// The model that works on the task, as the runtime names it.
    pub model: Option<String>,
    /// The branch of the last commit, push or change of the branch.
    pub branch: Option<String>,
    /// The hash of the last commit, as short as version control wrote it.
    pub commit: Option<String>,
    /// The address of the last pull request.
    pub pull_request: Option<String>,
}

/// A child of a task, with the fields that the parent shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct ChildTask {
    /// The id of the task.
    pub task_id: TaskId,
    /// The title: one line.
    pub title: String,
    /// The project of the task.
    pub project: String,
    /// The status.
    pub status: TaskStatus,
    /// How the task runs.
    pub mode: TaskMode,
    /// The reason of `waiting` or `errored`.
    pub status_reason: Option<String>,
    /// Whether the status is known to be true, as in a task.
    #[serde(default = "by_default_certain")]
    pub status_certain: bool,
    /// The time from which the task counts as stale; `null` without a stale flag.
    pub stale_since: Option<Timestamp>,
    /// The time at which the task began.
    pub created_at: Timestamp,
    /// The time at which the task was completed or errored.
    pub ended_at: Option<Timestamp>,
}

pages! {
    /// Tasks, the last changed first.
    TaskPage(Task)
}

/// The result of a purge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Purged {
    /// The number of purged tasks; with `dry_run` the number of tasks that a purge would delete.
    pub count: u64,
    /// With `dry_run` the first of these tasks, at most 50; otherwise `null`.
    pub tasks: Option<Vec<Task>>,
}
