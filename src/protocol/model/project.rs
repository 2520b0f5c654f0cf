//! Projects.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::page::pages;

/// A project that has tasks, with the numbers of its tasks by status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Project {
    /// The name. The empty text is a project too.
    pub project: String,
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
    /// The last activity: the latest `changed_at` of the tasks.
    pub changed_at: Timestamp,
}

pages! {
    /// Projects, the last changed first.
    ProjectPage(Project)
}
