//! What the REST API takes.
//!
//! A field that is left out and one that is `null` say the same; fields that are not known are ignored.

use serde::{Deserialize, Serialize};

use super::model::{
    EventState, FinalStatus, Lane, Metadata, SessionStatus, TaskMode, TaskStatus, Timestamp, ToolFamily,
};
use super::{BookmarkId, EventId, SessionId, TaskId};

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "server", derive(poem_openapi::Object))]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "skip::Skip::skip")] pub $field: $type,)*
        }
    )*};
}

/// Which fields need not be written.
mod skip {
    pub trait Skip {
        fn skip(&self) -> bool;
    }

    impl<T> Skip for Option<T> {
        fn skip(&self) -> bool {
            self.is_none()
        }
    }

    impl Skip for String {
        fn skip(&self) -> bool {
            false
        }
    }
}

bodies! {
    /// A task to begin.
    NewTask {
        /// Its id, if the caller wants to choose it: sent again, it is the same task.
        task_id: Option<TaskId>,
        /// What it is about: 1 to 500 characters.
        title: String,
        /// The project it belongs to: up to 128 characters, none of them control characters. Left out: the parent's, or the empty project.
        project: Option<String>,
        /// Where it stands. Left out: `running`.
        status: Option<TaskStatus>,
        /// Whether a person looks at its agent. Left out: `primary`.
        mode: Option<TaskMode>,
        /// The task it is part of.
        parent_task_id: Option<TaskId>,
        /// The session that began it.
        parent_session_id: Option<SessionId>,
        /// The folder its agent works in.
        workspace: Option<String>,
        /// The runtime it comes from. Left out: `api`.
        source: Option<String>,
        /// Why it waits or errored, if it does.
        status_reason: Option<String>,
        /// Since when it waits, if it does. Left out: now.
        waiting_since: Option<Timestamp>,
        /// How it ended or what it found.
        summary: Option<String>,
        /// When it was begun. Left out: now.
        created_at: Option<Timestamp>,
    }

    /// What to change about a task; what is left out stays.
    TaskPatch {
        /// What it is about: 1 to 500 characters.
        title: Option<String>,
        /// The project it belongs to.
        project: Option<String>,
        /// Where it stands.
        status: Option<TaskStatus>,
        /// Whether a person looks at its agent.
        mode: Option<TaskMode>,
        /// The folder its agent works in.
        workspace: Option<String>,
        /// Why it waits or errored, if it does; it goes when the status changes.
        status_reason: Option<String>,
        /// Since when it waits.
        waiting_since: Option<Timestamp>,
        /// How it ended or what it found.
        summary: Option<String>,
    }

    /// Which finished tasks to clear away; nothing said: all of them. A task goes only with everything below it, and only if all of that is finished too.
    Purge {
        /// Only those that ended so.
        status: Option<FinalStatus>,
        /// Only those that ended before.
        older_than: Option<Timestamp>,
        /// Only those of this project.
        project: Option<String>,
    }

    /// A run of an agent to begin.
    NewSession {
        /// Its id, if the caller wants to choose it.
        session_id: Option<SessionId>,
        /// The runtime. Left out: the task's.
        source: Option<String>,
        /// What the runtime calls it.
        runtime_session_id: Option<String>,
        /// When it began. Left out: now.
        started_at: Option<Timestamp>,
    }

    /// What to change about a session; what is left out stays.
    SessionPatch {
        /// Where it stands.
        status: Option<SessionStatus>,
        /// How it ended or what it did.
        summary: Option<String>,
        /// When it ended. Left out: now, when it ends.
        ended_at: Option<Timestamp>,
    }

    /// An event to log.
    NewEvent {
        /// Its id, if the caller wants to choose it.
        event_id: Option<EventId>,
        /// The session it happened in.
        session_id: Option<SessionId>,
        /// What happened: 1 to 64 lower-case letters, digits, `.` and `_`.
        kind: String,
        /// For a tool call, what it works on.
        family: Option<ToolFamily>,
        /// The row of the timeline it is drawn in. Left out: it follows from `kind` and `family`.
        lane: Option<Lane>,
        /// For what takes time, how far it is.
        state: Option<EventState>,
        /// One line, up to 500 characters.
        title: Option<String>,
        /// The text; beyond 64 KiB it is cut and its whole size kept in `truncated`.
        body: Option<String>,
        /// What else is known, up to 64 KiB.
        metadata: Option<Metadata>,
        /// When it happened. Left out: now.
        created_at: Option<Timestamp>,
    }

    /// What to change about an event; what is left out stays.
    EventPatch {
        /// For a tool call, what it works on.
        family: Option<ToolFamily>,
        /// The row of the timeline it is drawn in.
        lane: Option<Lane>,
        /// For what takes time, how far it is.
        state: Option<EventState>,
        /// One line, up to 500 characters.
        title: Option<String>,
        /// The text; beyond 64 KiB it is cut and its whole size kept in `truncated`.
        body: Option<String>,
        /// What else is known, up to 64 KiB.
        metadata: Option<Metadata>,
    }

    /// A bookmark to make or change: one for each task and one for each event.
    SaveBookmark {
        /// Its id, if the caller wants to choose it; where there is a bookmark already, that one keeps its own.
        bookmark_id: Option<BookmarkId>,
        /// The task to mark. Needed unless `event_id` is given.
        task_id: Option<TaskId>,
        /// The event to mark.
        event_id: Option<EventId>,
        /// What the person calls it, up to 500 characters. Left out: the title of what is marked, or what it was.
        title: Option<String>,
        /// What the person notes about it, up to 64 KiB. Left out: what it was.
        note: Option<String>,
    }
}
