//! Events, and the timelines they are in. An event holds its writer's own JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::page::pages;
use super::words::words;
use crate::protocol::{EventId, SessionId, TaskId};

/// The known event kinds; the set is open.
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
    /// What a tool call works on.
    ToolFamily {
        /// Commands.
        Terminal = "terminal",
        /// Changes to files.
        File = "file",
        /// Reading and searching.
        Explore = "explore",
        /// Other agents.
        Agent = "agent",
        /// Tools of an MCP server.
        Mcp = "mcp",
        /// Lists of what is to be done.
        Todo = "todo",
        /// Questions to the person.
        Question = "question",
    }

    /// The row of a timeline an event is drawn in.
    Lane {
        /// What the person says.
        User = "user",
        /// What the agent says.
        Assistant = "assistant",
        /// Reading and searching.
        Exploration = "exploration",
        /// Changes to files.
        Implementation = "implementation",
        /// Commands.
        Terminal = "terminal",
        /// Plans.
        Planning = "planning",
        /// Questions and requests for permission.
        Questions = "questions",
        /// Lists of what is to be done.
        Todos = "todos",
        /// Version control.
        Git = "git",
        /// Work of other agents on behalf of this one.
        Background = "background",
        /// Calls to other agents and tools.
        Coordination = "coordination",
        /// Everything else.
        System = "system",
    }

    /// How far a tool call, a subagent or a todo is.
    EventState {
        /// Not ended yet.
        Running = "running",
        /// Ended well.
        Ok = "ok",
        /// Ended badly.
        Failed = "failed",
        /// Not allowed.
        Denied = "denied",
        /// Its turn ended without an end of its own.
        Abandoned = "abandoned",
    }
}

impl Lane {
    /// The lane of an event that names none.
    pub fn of(kind: &str, family: Option<ToolFamily>) -> Lane {
        match (kind, family) {
            ("user.message", _) => Lane::User,
            ("assistant.response" | "assistant.error", _) => Lane::Assistant,
            ("tool", Some(ToolFamily::Terminal)) => Lane::Terminal,
            ("tool", Some(ToolFamily::File)) => Lane::Implementation,
            ("tool", Some(ToolFamily::Explore)) => Lane::Exploration,
            ("tool", Some(ToolFamily::Agent | ToolFamily::Mcp) | None) => Lane::Coordination,
            ("tool", Some(ToolFamily::Todo)) | ("todo", _) => Lane::Todos,
            ("tool", Some(ToolFamily::Question)) => Lane::Questions,
            ("question" | "permission.requested" | "permission.denied", _) => Lane::Questions,
            ("plan", _) => Lane::Planning,
            ("subagent", _) => Lane::Background,
            ("git.status" | "git.commit" | "git.push" | "pull_request", _) => Lane::Git,
            _ => Lane::System,
        }
    }
}

/// A JSON object whose keys are the writer's own.
pub type Metadata = BTreeMap<String, serde_json::Value>;

/// An entry of a task's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
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

/// The newest page of a timeline, the newest event first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Timeline {
    /// The events.
    pub items: Vec<Event>,
    /// Where the older ones begin: the `before` of the next request for the timeline.
    pub next: Option<String>,
}

pages! {
    /// Events, the newest first.
    EventPage(Event)
}

/// What a batch of events became.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct EventsLogged {
    /// The events, in the order they were sent.
    pub items: Vec<Event>,
}
