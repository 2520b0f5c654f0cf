//! A task's detail: the task with its sessions, its children, its usage and its newest events.

use serde::{Deserialize, Serialize};

use super::{ChildTask, ModelUsage, Session, Task, Timeline, Timestamp, Todo, ToolFamily, Usage};
use crate::protocol::{EventId, SessionId};

/// A task with its sessions, its children, its usage and its newest events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct TaskDetail {
    /// The task.
    pub task: Task,
    /// The sessions of the task, the newest first; at most 100.
    pub sessions: Vec<Session>,
    /// The children of the task, the newest first; at most 100.
    pub children: Vec<ChildTask>,
    /// The counts of the task.
    pub figures: TaskFigures,
    /// The usage of models on the task.
    pub usage: Usage,
    /// The usage of each model, the model with the most answers first; at most 20.
    pub models: Vec<ModelUsage>,
    /// The agent's own list of the work, in its order; at most 100 entries. `task.progress` has the figures. Empty also
    /// if the server is of a version that does not say it; so are the two lists below.
    #[serde(default)]
    pub todos: Vec<Todo>,
    /// The calls of tools and the subagents that run now, the oldest first; at most 100.
    #[serde(default)]
    pub open_calls: Vec<OpenCall>,
    /// The files that the agent changed, the last changed first; at most 100, of the newest 1,000 changes.
    #[serde(default)]
    pub files: Vec<TouchedFile>,
    /// The newest events of the task.
    pub timeline: Timeline,
}

/// A call of a tool or a subagent that runs now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct OpenCall {
    /// The event of the call in the timeline.
    pub event_id: EventId,
    /// The session that made the call.
    pub session_id: Option<SessionId>,
    /// The kind of the event: `tool` or `subagent`.
    pub kind: String,
    /// The family of the tool; `null` for a subagent and for an unknown tool.
    pub family: Option<ToolFamily>,
    /// The call in one line.
    pub title: String,
    /// The time at which the call began.
    pub since: Timestamp,
}

/// A file that the agent changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct TouchedFile {
    /// The path, as the agent wrote it.
    pub path: String,
    /// The number of changes.
    pub changes: u64,
    /// The time of the last change.
    pub changed_at: Timestamp,
}

/// The counts of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct TaskFigures {
    /// The number of events ever logged on the task.
    pub events: u64,
    /// The number of sessions of the task.
    pub sessions: u64,
    /// The number of children of the task.
    pub children: u64,
}
