//! Events and timelines. An event holds JSON of its writer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::page::pages;
use super::words::words;
use super::{Lane, Timestamp, ToolFamily};
use crate::protocol::{EventId, SessionId, TaskId};

/// The known kinds of events. The set is open: a writer may use another kind.
pub const EVENT_KINDS: &[&str] = &[
    "user.message",
    "assistant.response",
    "assistant.error",
    "tool",
    "permission.requested",
    "permission.denied",
    "notification",
    "subagent",
    "todo",
    "plan",
    "question",
    "compaction",
    "context",
    "log",
    "session.started",
    "session.ended",
    "git.status",
    "git.commit",
    "git.push",
    "pull_request",
    "unknown",
];

words! {
    /// The progress of a tool call, a subagent or a todo.
    EventState {
        /// Not ended yet.
        Running = "running",
        /// Ended with success.
        Ok = "ok",
        /// Ended with a failure.
        Failed = "failed",
        /// Not permitted to run.
        Denied = "denied",
        /// Still open when its turn ended.
        Abandoned = "abandoned",
    }
}

/// A JSON object with the writer's own keys.
pub type Metadata = BTreeMap<String, serde_json::Value>;

/// An entry of a task's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Event {
    /// The id of the event.
    pub event_id: EventId,
    /// The task of the event.
    pub task_id: TaskId,
    /// The session in which the event happened.
    pub session_id: Option<SessionId>,
    /// The place in the timeline. A later event has a larger position.
    pub position: u64,
    /// The kind: one of the known kinds, or another text of the same form.
    pub kind: String,
    /// For a tool call: the family of the tool.
    pub family: Option<ToolFamily>,
    /// The row of the timeline in which the event is drawn.
    pub lane: Lane,
    /// The progress of a tool call, a subagent or a todo; `null` for an event that takes no time.
    pub state: Option<EventState>,
    /// The title: one line.
    pub title: String,
    /// The text.
    pub body: Option<String>,
    /// An object with the writer's own keys.
    pub metadata: Metadata,
    /// If the body was cut: its whole size in bytes.
    pub truncated: Option<u64>,
    /// The time at which the event happened.
    pub created_at: Timestamp,
    /// The time of the last change.
    pub updated_at: Timestamp,
}

/// The newest page of a timeline, the newest event first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Timeline {
    /// The events.
    pub items: Vec<Event>,
    /// The `before` of the next request for the timeline; `null` if there are no older events.
    pub next: Option<String>,
}

pages! {
    /// Events, the newest first.
    EventPage(Event)
}

/// The events of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct EventsLogged {
    /// The events, in the order of the request.
    pub items: Vec<Event>,
}
