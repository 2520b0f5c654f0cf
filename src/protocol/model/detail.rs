//! A task's detail: the task with its sessions, its children, its usage and its newest events.

use serde::{Deserialize, Serialize};

use super::{ChildTask, ModelUsage, Session, Task, Timeline, Usage};

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
    /// The newest events of the task.
    pub timeline: Timeline,
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
