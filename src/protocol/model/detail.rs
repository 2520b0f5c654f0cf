//! A task's detail: the task with its sessions, its children, its usage and its newest events.

use serde::{Deserialize, Serialize};

use super::{ChildTask, ModelUsage, Session, Task, Timeline, Usage};

/// A task with what is drawn around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct TaskDetail {
    /// The task.
    pub task: Task,
    /// Its sessions, the newest first; at most 100.
    pub sessions: Vec<Session>,
    /// The tasks it is made of, the newest first; at most 100.
    pub children: Vec<ChildTask>,
    /// Its counts.
    pub figures: TaskFigures,
    /// What the answers of models cost on it.
    pub usage: Usage,
    /// The same by model, the one with the most answers first; at most 20.
    pub models: Vec<ModelUsage>,
    /// Its newest events.
    pub timeline: Timeline,
}

/// A task's counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct TaskFigures {
    /// How many events were ever logged on it.
    pub events: u64,
    /// How many sessions it has.
    pub sessions: u64,
    /// How many tasks it is made of.
    pub children: u64,
}
