//! The overview: the figures of the first screen.

use serde::{Deserialize, Serialize};

use super::{Timestamp, Usage};
use crate::protocol::TaskId;

/// How many tasks there are, and how they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Stats {
    /// All tasks.
    pub total_tasks: u64,
    /// Those an agent works on.
    pub running_tasks: u64,
    /// Those that wait for a person.
    pub waiting_tasks: u64,
    /// Those that are done.
    pub completed_tasks: u64,
    /// Those that failed.
    pub errored_tasks: u64,
    /// How many events were ever logged on these tasks.
    pub total_events: u64,
}

/// The figures of the first screen, and who needs a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Overview {
    /// How many tasks there are, and how they stand.
    pub stats: Stats,
    /// The tasks that wait for a person, the longest first; at most 100.
    pub needs_you: Vec<NeedsYou>,
    /// Events logged per hour, the oldest first: the hours that saw any among the 24 that end with the newest of them.
    pub activity: Vec<Activity>,
    /// How many tasks came from which runtime, the most first.
    pub sources: Vec<SourceCount>,
    /// What the answers of models cost on these tasks.
    pub usage: Usage,
}

/// A task that waits for a person, or whose agent is not heard of any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct NeedsYou {
    /// The task.
    pub task_id: TaskId,
    /// What it is about.
    pub title: String,
    /// The project it belongs to.
    pub project: String,
    /// Why it waits; or `silent` or `gone`, where it is flagged stale.
    pub reason: Option<String>,
    /// Since when it waits, or since when nothing was heard of its agent.
    pub since: Timestamp,
}

/// How busy one hour was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Activity {
    /// When the hour began.
    pub hour: Timestamp,
    /// How many events were logged in it.
    pub events: u64,
}

/// How many tasks one runtime brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct SourceCount {
    /// The runtime.
    pub source: String,
    /// Its tasks.
    pub tasks: u64,
}
