//! Events and timelines. An event holds JSON of its writer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::page::pages;
use super::words::words;
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
    /// The family of a tool.
    ToolFamily {
        /// Runs commands.
        Terminal = "terminal",
        /// Changes files.
        File = "file",
        /// Reads and searches.
        Explore = "explore",
        /// Calls other agents.
        Agent = "agent",
        /// Calls a tool of an MCP server.
        Mcp = "mcp",
        /// Writes a todo list.
        Todo = "todo",
        /// Asks the person a question.
        Question = "question",
    }

    /// The row of a timeline in which an event is drawn.
    Lane {
        /// Messages of the person.
        User = "user",
        /// Answers of the agent.
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
        /// Todo lists.
        Todos = "todos",
        /// Version control.
        Git = "git",
        /// Work of subagents.
        Background = "background",
        /// Calls to other agents and tools.
        Coordination = "coordination",
        /// All other events.
        System = "system",
    }

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

impl Lane {
    /// The lane of an event without a lane of its own.
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
