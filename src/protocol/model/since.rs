//! The answers to a read with `since`: the difference between the answer that the caller holds and the answer of now.

use serde::{Deserialize, Serialize};

use super::{Bookmark, ChildTask, Session, Task};
#[cfg(any(feature = "server", feature = "client"))]
use super::{Event, ModelUsage, OpenCall, TaskFigures, Todo, TouchedFile, Usage};

/// Declares a row with its place, and the changes of a list of such rows.
macro_rules! lists {
    ($($(#[$cfg:meta])* $changes:ident $placed:ident($item:ty))*) => {$(
        /// A row of a list, with its place in the list of now.
        $(#[$cfg])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "server", derive(poem_openapi::Object))]
        #[non_exhaustive]
        pub struct $placed {
            /// The place, counted from 0.
            pub at: u32,
            /// The row.
            pub item: $item,
        }

        /// The changes of a list since a cursor.
        $(#[$cfg])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "server", derive(poem_openapi::Object))]
        #[non_exhaustive]
        pub struct $changes {
            /// Always `false`. The whole list has no such field.
            pub full: bool,
            /// The rows to put in their place, in the order of the list.
            pub changed: Vec<$placed>,
            /// The ids of the rows to take out.
            pub removed: Vec<String>,
            /// The number of rows of the list.
            pub length: u32,
            /// The `next` of the list.
            pub next: Option<String>,
            /// The `previous` of the list.
            pub previous: Option<String>,
        }
    )*};
}

lists! {
    TasksSince PlacedTask(Task)
    BookmarksSince PlacedBookmark(Bookmark)
    SessionsSince PlacedSession(Session)
    ChildrenSince PlacedChild(ChildTask)
    #[cfg(any(feature = "server", feature = "client"))]
    EventsSince PlacedEvent(Event)
}

/// The changes of a task detail since a cursor. A part that is `null` did not change.
#[cfg(any(feature = "server", feature = "client"))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct TaskDetailSince {
    /// Always `false`. The whole detail has no such field.
    pub full: bool,
    /// The task.
    pub task: Option<Task>,
    /// The changes of the sessions.
    pub sessions: Option<SessionsSince>,
    /// The changes of the children.
    pub children: Option<ChildrenSince>,
    /// The counts of the task.
    pub figures: Option<TaskFigures>,
    /// The usage of models on the task.
    pub usage: Option<Usage>,
    /// The usage of each model.
    pub models: Option<Vec<ModelUsage>>,
    /// The agent's own list of the work.
    pub todos: Option<Vec<Todo>>,
    /// The calls that run now.
    pub open_calls: Option<Vec<OpenCall>>,
    /// The files that the agent changed.
    pub files: Option<Vec<TouchedFile>>,
    /// The changes of the newest events.
    pub timeline: Option<EventsSince>,
}
