//! The state of the work that a record tells: the model of the agent, its own list, and the outcome in version control.
//!
//! The runtimes report none of these as a change of the task. The model is a field of some hooks, the list is the input
//! of tools and hooks of their own, and a commit is a command of the terminal.

use super::record::HookRecord;
use crate::agent::hook_catalogue::HookName;
use crate::protocol::model::Todo;
use crate::server::ingest::task::WorkChanges;

mod command_line;
mod git;
pub(super) mod todo;

pub use git::GitOutcome;

/// The longest name of a model, in bytes. A longer text is no name.
const MAX_MODEL_BYTES: usize = 256;

/// The state of the work on a task, as it is stored.
#[derive(Clone, Debug, Default)]
pub struct StoredWork {
    /// The agent's own list.
    pub todos: Vec<Todo>,
    /// The model of the agent.
    pub model: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The hash of the last commit.
    pub commit: Option<String>,
    /// The address of the last pull request.
    pub pull_request: Option<String>,
}

impl StoredWork {
    /// The changes by a record. `is_newest` is whether the hook ran after the hooks of all records that were taken
    /// before: an older hook only adds entries to the list.
    pub fn changes(&self, record: &HookRecord, git: &GitOutcome, is_newest: bool) -> WorkChanges {
        let mut todos = self.todos.clone();
        todo::take(&mut todos, record, is_newest);
        let newer = |told: Option<&str>, stored: &Option<String>| {
            told.filter(|told| is_newest && stored.as_deref() != Some(told)).map(str::to_owned)
        };
        WorkChanges {
            todos: (todos != self.todos).then_some(todos),
            model: newer(model(record), &self.model),
            branch: newer(git.branch.as_deref(), &self.branch),
            commit: newer(git.commit.as_deref(), &self.commit),
            pull_request: newer(git.pull_request.as_deref(), &self.pull_request),
        }
    }
}

/// The model that answers on the main thread. A subagent can have another one.
pub fn model(record: &HookRecord) -> Option<&str> {
    let field = if record.hook == HookName::PostModelSwitch { "to_model" } else { "model" };
    let named = record.value(field).filter(|_| record.thread().is_none())?;
    let name = named.as_str().or_else(|| named.get("id")?.as_str())?.trim();
    (1..=MAX_MODEL_BYTES).contains(&name.len()).then_some(name)
}
