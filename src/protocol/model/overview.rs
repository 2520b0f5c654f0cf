//! The overview: the figures of the first screen.

use serde::{Deserialize, Serialize};

use super::words::by_default_certain;
use super::{TaskStatus, Timestamp, Usage};
use crate::protocol::TaskId;

/// The numbers of tasks by status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Stats {
    /// All tasks.
    pub total_tasks: u64,
    /// Tasks on which an agent works.
    pub running_tasks: u64,
    /// Tasks that wait for a person.
    pub waiting_tasks: u64,
    /// Completed tasks.
    pub completed_tasks: u64,
    /// Failed tasks.
    pub errored_tasks: u64,
    /// Events ever logged on these tasks.
    pub total_events: u64,
}

/// The figures of the first screen, and the tasks that need a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Overview {
    /// The numbers of tasks by status.
    pub stats: Stats,
    /// The tasks that need a person, in the order in which a person takes them; at most 100. First the tasks that wait
    /// for a permission or an answer, then the errored tasks and those flagged stale, then the tasks that wait for the
    /// next prompt. Within a group the longest first. A session that was never used is not listed, and neither is a task
    /// that goes on by itself, nor an errored task that was imported and never heard.
    pub needs_you: Vec<NeedsYou>,
    /// The events logged in each hour, the oldest hour first: the hours with events among the 24 that end with the
    /// newest such hour.
    pub activity: Vec<Activity>,
    /// The number of tasks of each runtime, the largest number first.
    pub sources: Vec<SourceCount>,
    /// The usage of models on these tasks.
    pub usage: Usage,
}

/// A task that needs a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct NeedsYou {
    /// The task.
    pub task_id: TaskId,
    /// The title of the task.
    pub title: String,
    /// The project of the task.
    pub project: String,
    /// The runtime that the task comes from. Empty if the server is of a version that does not say it.
    #[serde(default)]
    pub source: String,
    /// The status of the task: `waiting` or `errored`, or `running` for a task that is flagged stale. `waiting` also if the
    /// server is of a version that does not say it.
    #[serde(default = "waiting")]
    pub status: TaskStatus,
    /// Whether the status is known to be true. `false` for a permission that was asked for and may be given already: an
    /// approval runs no hook. `true` also if the server is of a version that does not say it.
    #[serde(default = "by_default_certain")]
    pub status_certain: bool,
    /// The `status_reason` of the task, or the `stale_reason` of a task that is flagged stale.
    pub reason: Option<String>,
    /// The `status_detail` of the task: the question that it asks, the command that it asks for, or its error.
    pub detail: Option<String>,
    /// The time from which the task waits or is errored, or from which it counts as stale.
    pub since: Timestamp,
}

fn waiting() -> TaskStatus {
    TaskStatus::Waiting
}

/// The activity in one hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Activity {
    /// The beginning of the hour.
    pub hour: Timestamp,
    /// The number of events logged in the hour.
    pub events: u64,
}

/// The number of tasks of one runtime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct SourceCount {
    /// The runtime.
    pub source: String,
    /// The number of its tasks.
    pub tasks: u64,
}
