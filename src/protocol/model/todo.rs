//! The agent's own list of the work on a task.

use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// The state of an entry of the list.
    TodoState {
        /// The work has not begun.
        Pending = "pending",
        /// The agent works on the entry.
        InProgress = "in_progress",
        /// The work is done.
        Completed = "completed",
    }
}

/// An entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Todo {
    /// The name that the runtime gives the entry; `null` if it gives none.
    pub id: Option<String>,
    /// The work to do: one line.
    pub title: String,
    /// The state.
    pub state: TodoState,
}

/// The figures of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct TodoProgress {
    /// The number of completed entries.
    pub done: u64,
    /// The number of all entries.
    pub total: u64,
    /// The title of the first entry that is in progress; `null` if there is none.
    pub active: Option<String>,
}

impl Todo {
    /// An entry that has not begun.
    pub fn new(id: Option<String>, title: String) -> Self {
        Self { id, title, state: TodoState::Pending }
    }
}

impl TodoProgress {
    /// The figures of a list. None for an empty list.
    pub fn of(todos: &[Todo]) -> Option<Self> {
        let in_state = |state| todos.iter().filter(move |todo| todo.state == state);
        (!todos.is_empty()).then(|| Self {
            done: in_state(TodoState::Completed).count() as u64,
            total: todos.len() as u64,
            active: in_state(TodoState::InProgress).next().map(|todo| todo.title.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Todo, TodoProgress, TodoState};

    #[test]
    fn progress_counts_the_list_and_names_the_first_active_entry() {
        assert_eq!(TodoProgress::of(&[]), None);
        let todo = |title: &str, state| Todo { state, ..Todo::new(None, title.to_owned()) };
        let (done, active) = (TodoState::Completed, TodoState::InProgress);
        let todos = [todo("a", done), todo("b", active), todo("c", active), todo("d", TodoState::Pending)];
        let progress = TodoProgress { done: 1, total: 4, active: Some("b".to_owned()) };
        assert_eq!(TodoProgress::of(&todos), Some(progress));
    }
}
