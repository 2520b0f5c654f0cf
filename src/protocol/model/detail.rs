//! A task's timeline and what is drawn around it: the answers that hold the writers' own JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ChildTask, EventState, Lane, ModelUsage, Session, Task, Timestamp, ToolFamily, Usage};
use crate::protocol::{BookmarkId, EventId, SessionId, TaskId};

/// A JSON object whose keys are the writer's own.
pub type Metadata = BTreeMap<String, serde_json::Value>;

/// An entry of a task's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Event {
    /// The event.
    pub event_id: EventId,
    /// The task whose timeline it is in.
    pub task_id: TaskId,
    /// The session it happened in.
    pub session_id: Option<SessionId>,
    /// Its place in the timeline; later is larger.
    pub position: u64,
    /// What happened: one of the known kinds, or any text of the same form.
    pub kind: String,
    /// For a tool call, what it works on.
    pub family: Option<ToolFamily>,
    /// The row of the timeline it is drawn in.
    pub lane: Lane,
    /// For what takes time, how far it is.
    pub state: Option<EventState>,
    /// One line.
    pub title: String,
    /// The text.
    pub body: Option<String>,
    /// What else is known: an object.
    pub metadata: Metadata,
    /// Where the body was cut: its whole size in bytes.
    pub truncated: Option<u64>,
    /// When it happened.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// A marked task or event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Bookmark {
    /// The bookmark.
    pub bookmark_id: BookmarkId,
    /// The task it marks, or whose event it marks.
    pub task_id: TaskId,
    /// The event it marks; `null` where it marks the task.
    pub event_id: Option<EventId>,
    /// What the person calls it.
    pub title: String,
    /// What the person notes about it.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// A task with what is drawn around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
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
pub struct TaskFigures {
    /// How many events were ever logged on it.
    pub events: u64,
    /// How many sessions it has.
    pub sessions: u64,
    /// How many tasks it is made of.
    pub children: u64,
}

/// The newest page of a timeline, the newest event first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Timeline {
    /// The events.
    pub items: Vec<Event>,
    /// Where the older ones begin: the `before` of the next request for the timeline.
    pub next: Option<String>,
}

macro_rules! pages {
    ($($(#[$doc:meta])* $name:ident($item:ty))*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "server", derive(poem_openapi::Object))]
        pub struct $name {
            /// The rows.
            pub items: Vec<$item>,
            /// Where the rows after these begin: the `before` of the next request. Opaque.
            pub next: Option<String>,
            /// Where the rows before these end: the `after` of the next request. Opaque.
            pub previous: Option<String>,
        }
    )*};
}

pages! {
    /// Tasks, the last changed first.
    TaskPage(Task)
    /// Events, the newest first.
    EventPage(Event)
    /// Bookmarks, the last changed first.
    BookmarkPage(Bookmark)
}

/// What a batch of events became.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct EventsLogged {
    /// The events, in the order they were sent.
    pub items: Vec<Event>,
}

/// What a purge cleared away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Purged {
    /// How many tasks.
    pub count: u64,
}
