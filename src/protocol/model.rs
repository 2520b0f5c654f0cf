//! What the REST API answers with.
//!
//! In every object all fields are present; one that says nothing is `null`. A model holds nothing that could change
//! without a notice that makes it stale: a child's figures are left out of its parent, an event's text out of the
//! overview.

use serde::{Deserialize, Serialize};

use super::{SessionId, TaskId};

#[cfg(any(feature = "server", feature = "client"))]
mod detail;
#[cfg(any(feature = "server", feature = "client"))]
pub use detail::{
    Bookmark, BookmarkPage, Event, EventPage, EventsLogged, Metadata, Purged, TaskDetail, TaskFigures, TaskPage,
    Timeline,
};
#[cfg(any(feature = "server", feature = "client"))]
mod search;
#[cfg(any(feature = "server", feature = "client"))]
pub use search::{SearchHit, SearchResults, Snippet};

mod usage;
pub use usage::{Imported, ModelUsage, SkippedLine, Usage};

/// A time: RFC 3339 in UTC with milliseconds, as in `2026-01-31T09:30:00.000Z`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "server")]
mod timestamp {
    use chrono::{DateTime, SecondsFormat, Utc};

    use super::Timestamp;

    impl Timestamp {
        /// The time `ms` milliseconds after 1970; what no calendar holds becomes its nearest end.
        pub fn from_ms(ms: i64) -> Self {
            let time = DateTime::<Utc>::from_timestamp_millis(ms.clamp(Self::MIN_MS, Self::MAX_MS)).unwrap_or_default();
            Self(time.to_rfc3339_opts(SecondsFormat::Millis, true))
        }

        /// Milliseconds since 1970.
        pub fn as_ms(&self) -> i64 {
            DateTime::parse_from_rfc3339(&self.0).map(|time| time.timestamp_millis()).unwrap_or_default()
        }

        /// The first millisecond of the year 0.
        const MIN_MS: i64 = -62_167_219_200_000;
        /// The last millisecond of the year 9999.
        const MAX_MS: i64 = 253_402_300_799_999;
    }

    impl std::fmt::Display for Timestamp {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl std::str::FromStr for Timestamp {
        type Err = chrono::ParseError;

        /// Takes any RFC 3339 time, keeps it in UTC with milliseconds.
        fn from_str(text: &str) -> Result<Self, Self::Err> {
            DateTime::parse_from_rfc3339(text).map(|time| Self::from_ms(time.timestamp_millis()))
        }
    }

    super::super::openapi_text!(Timestamp, "date-time");
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "server", derive(poem_openapi::Enum))]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $text)] #[cfg_attr(feature = "server", oai(rename = $text))] $word,)*
        }

        impl $name {
            /// Every word there is.
            pub const ALL: &'static [$name] = &[$($name::$word),*];

            /// The text on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$word => $text,)* }
            }

            /// The word that `text` is.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some($name::$word),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

words! {
    /// What a search finds.
    SearchKind {
        /// A task, by its title or its summary.
        Task = "task",
        /// An event, by its title or its body.
        Event = "event",
        /// A bookmark, by its title or its note.
        Bookmark = "bookmark",
    }

    /// Where a task stands.
    TaskStatus {
        /// An agent works on it.
        Running = "running",
        /// It waits for a person; why is in `status_reason`.
        Waiting = "waiting",
        /// Done.
        Completed = "completed",
        /// Failed.
        Errored = "errored",
    }

    /// How a task ended.
    FinalStatus {
        /// Done.
        Completed = "completed",
        /// Failed.
        Errored = "errored",
    }

    /// Whether a person looks at a task's agent.
    TaskMode {
        /// A person started it and talks to it.
        Primary = "primary",
        /// It runs on its own.
        Background = "background",
    }

    /// Why a task is flagged stale.
    StaleReason {
        /// Nothing was heard of its agent for a while.
        Silent = "silent",
        /// The process of its agent is gone.
        Gone = "gone",
    }

    /// Where a run of an agent stands.
    SessionStatus {
        /// It goes on.
        Running = "running",
        /// It ended.
        Completed = "completed",
        /// It failed.
        Errored = "errored",
        /// It ended without saying so.
        Lost = "lost",
    }

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

/// A piece of agent work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Task {
    /// The task.
    pub task_id: TaskId,
    /// What it is about.
    pub title: String,
    /// The project it belongs to.
    pub project: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Whether a person looks at its agent.
    pub mode: TaskMode,
    /// The task it is part of.
    pub parent_task_id: Option<TaskId>,
    /// The session that began it.
    pub parent_session_id: Option<SessionId>,
    /// The folder its agent works in.
    pub workspace: Option<String>,
    /// The runtime it came from: `claude-code`, `codex`, `api` or any other.
    pub source: String,
    /// Why it stands so: it waits for being `ready`, for a `permission`, a `question`, being `idle`, having `finished` its
    /// turn, or for anything else; it errored for being `lost`, or for what its agent said.
    pub status_reason: Option<String>,
    /// Since when it waits, while it does.
    pub waiting_since: Option<Timestamp>,
    /// Flagged stale: since when nothing was heard of its agent, so that its status may no longer be true.
    pub stale_since: Option<Timestamp>,
    /// Why it is flagged stale, while it is.
    pub stale_reason: Option<StaleReason>,
    /// How it ended or what it found.
    pub summary: Option<String>,
    /// How many events were ever logged on it.
    pub event_count: u64,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When its own row changed last, or its newest event was logged.
    pub changed_at: Timestamp,
    /// When it was completed or errored.
    pub ended_at: Option<Timestamp>,
}

/// A part of a task: what its parent shows of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct ChildTask {
    /// The task.
    pub task_id: TaskId,
    /// What it is about.
    pub title: String,
    /// The project it belongs to.
    pub project: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Whether a person looks at its agent.
    pub mode: TaskMode,
    /// Why it waits or errored.
    pub status_reason: Option<String>,
    /// Flagged stale: since when nothing was heard of its agent.
    pub stale_since: Option<Timestamp>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was completed or errored.
    pub ended_at: Option<Timestamp>,
}

/// One run of an agent on a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Session {
    /// The session.
    pub session_id: SessionId,
    /// The task it works on.
    pub task_id: TaskId,
    /// The runtime it came from.
    pub source: String,
    /// What the runtime calls it.
    pub runtime_session_id: Option<String>,
    /// Where it stands.
    pub status: SessionStatus,
    /// How it ended or what it did.
    pub summary: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// How many tasks there are, and how they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Stats {
    /// All tasks.
    pub total_tasks: u64,
    /// Those an agent works on.
    pub running_tasks: u64,
    /// Those that wait for a person.
    pub waiting_tasks: u64,
    /// Those that are done.
    pub completed_tasks: u64,
    /// Those that failed.
    pub errored_tasks: u64,
    /// How many events were ever logged on these tasks.
    pub total_events: u64,
}

/// The figures of the first screen, and who needs a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Overview {
    /// How many tasks there are, and how they stand.
    pub stats: Stats,
    /// The tasks that wait for a person, the longest first; at most 100.
    pub needs_you: Vec<NeedsYou>,
    /// Events logged per hour, the oldest first: the hours that saw any among the 24 that end with the newest of them.
    pub activity: Vec<Activity>,
    /// How many tasks came from which runtime, the most first.
    pub sources: Vec<SourceCount>,
    /// What the answers of models cost on these tasks.
    pub usage: Usage,
}

/// A task that waits for a person, or whose agent is not heard of any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct NeedsYou {
    /// The task.
    pub task_id: TaskId,
    /// What it is about.
    pub title: String,
    /// The project it belongs to.
    pub project: String,
    /// Why it waits; or `silent` or `gone`, where it is flagged stale.
    pub reason: Option<String>,
    /// Since when it waits, or since when nothing was heard of its agent.
    pub since: Timestamp,
}

/// When agents were heard of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct HooksHeard {
    /// The agents whose hooks ever came.
    pub agents: Vec<AgentHeard>,
}

/// When one was heard of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct AgentHeard {
    /// The agent: `claude-code` or `codex`.
    pub agent: String,
    /// When its last hook came, or happened if it came late.
    pub heard_at: Timestamp,
}

/// How busy one hour was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct Activity {
    /// When the hour began.
    pub hour: Timestamp,
    /// How many events were logged in it.
    pub events: u64,
}

/// How many tasks one runtime brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
pub struct SourceCount {
    /// The runtime.
    pub source: String,
    /// Its tasks.
    pub tasks: u64,
}
