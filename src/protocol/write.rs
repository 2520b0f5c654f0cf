//! The request bodies of the REST API.
//!
//! In a body that makes a row, a missing field and `null` mean the same. In a body that changes a row, a missing field
//! keeps the value, and `null` removes it. Unknown fields are ignored.

use serde::{Deserialize, Serialize};

use super::model::{
    EventState, FinalStatus, Lane, Metadata, SessionStatus, TaskMode, TaskStatus, Timestamp, ToolFamily,
};
use super::{BookmarkId, EventId, SessionId, TaskId};

mod change;
pub use change::Change;

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "server", derive(poem_openapi::Object))]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(skip_serializing_if = "skip::Skip::skip")]
                pub $field: $type,
            )*
        }

        field_by_field! { $name { $($field: $type,)* } serde::Deserialize::deserialize }
    )*};
}

/// Declares bodies that change a row: `null` is a value, and is refused where the row always has one.
macro_rules! changes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "server", derive(poem_openapi::Object))]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(skip_serializing_if = "skip::Skip::skip", deserialize_with = "change::Changed::read")]
                pub $field: $type,
            )*
        }

        field_by_field! { $name { $($field: $type,)* } change::Changed::read }
    )*};
}

/// Implements the reading of a body whose fields are not all right.
macro_rules! field_by_field {
    ($name:ident { $($field:ident: $type:ty,)* } $read:path) => {
        #[cfg(feature = "server")]
        const _: () = {
            use serde_json::value::RawValue;

            #[derive(Deserialize)]
            struct Texts<'a> {
                $(#[serde(borrow, default, deserialize_with = "text_of_field")] $field: Option<&'a RawValue>,)*
            }

            impl FieldByField for $name {
                fn read_fields(object: &str, wrong: &mut dyn FnMut(&'static str, serde_json::Error)) -> Self {
                    let mut body = Self::default();
                    match serde_json::from_str::<Texts<'_>>(object) {
                        Ok(texts) => {$(
                            if let Some(text) = texts.$field {
                                let read: serde_json::Result<$type> =
                                    $read(&mut serde_json::Deserializer::from_str(text.get()));
                                match read {
                                    Ok(value) => body.$field = value,
                                    Err(error) => wrong(stringify!($field), error),
                                }
                            }
                        )*}
                        Err(error) => wrong("body", error),
                    }
                    body
                }
            }
        };
    };
}

/// A body that can be read field by field, to find every wrong field of it.
#[cfg(feature = "server")]
pub trait FieldByField: Sized {
    /// Reads the fields of `object`, and leaves out each wrong one after a call of `wrong`. The object itself is named
    /// `body`.
    fn read_fields(object: &str, wrong: &mut dyn FnMut(&'static str, serde_json::Error)) -> Self;
}

/// The text of a field that is there. An `Option` alone would take `null` for a missing field.
#[cfg(feature = "server")]
fn text_of_field<'de, D: serde::Deserializer<'de>>(
    field: D,
) -> Result<Option<&'de serde_json::value::RawValue>, D::Error> {
    Deserialize::deserialize(field).map(Some)
}

/// Whether a field is left out of the JSON: an optional field without a value is.
mod skip {
    pub trait Skip {
        fn skip(&self) -> bool;
    }

    impl<T> Skip for Option<T> {
        fn skip(&self) -> bool {
            self.is_none()
        }
    }

    impl<T> Skip for super::Change<T> {
        fn skip(&self) -> bool {
            matches!(self, super::Change::Keep)
        }
    }

    impl Skip for String {
        fn skip(&self) -> bool {
            false
        }
    }
}

bodies! {
    /// A new task.
    NewTask {
        /// The id, if the caller chooses it. A repeated request with the same id creates no second task.
        task_id: Option<TaskId>,
        /// The title: 1 to 500 characters.
        title: String,
        /// The project: up to 128 characters without control characters. Default: the project of the parent task, or
        /// else the empty project.
        project: Option<String>,
        /// The status. Default: `running`.
        status: Option<TaskStatus>,
        /// How the task runs. Default: `primary`.
        mode: Option<TaskMode>,
        /// The parent task.
        parent_task_id: Option<TaskId>,
        /// The session that began the task.
        parent_session_id: Option<SessionId>,
        /// The folder in which the agent works.
        workspace: Option<String>,
        /// The runtime that the task comes from. Default: `api`.
        source: Option<String>,
        /// The reason of the status. Stored only with `waiting` and `errored`.
        status_reason: Option<String>,
        /// The question that the task asks, the command that it asks for, or the text of the error: up to 500 characters.
        /// Stored only with `waiting` and `errored`.
        status_detail: Option<String>,
        /// The time from which the task waits. Stored only with `waiting`. Default: now.
        waiting_since: Option<Timestamp>,
        /// The outcome of the task.
        summary: Option<String>,
        /// The time at which the task began. Default: now.
        created_at: Option<Timestamp>,
    }

    /// The finished tasks to purge. Without a field: all finished tasks. A tree of tasks is purged only if every task in
    /// it is finished.
    Purge {
        /// Only trees with this status at the top.
        status: Option<FinalStatus>,
        /// Only trees in which every task ended before this time.
        older_than: Option<Timestamp>,
        /// Only trees with a task of this project at the top.
        project: Option<String>,
        /// `true`: only count and list the tasks, and delete none.
        dry_run: Option<bool>,
    }

    /// A new session.
    NewSession {
        /// The id, if the caller chooses it.
        session_id: Option<SessionId>,
        /// The runtime. Default: the runtime of the task.
        source: Option<String>,
        /// The name that the runtime gives the session.
        runtime_session_id: Option<String>,
        /// The time at which the session began. Default: now.
        started_at: Option<Timestamp>,
    }

    /// A new event.
    NewEvent {
        /// The id, if the caller chooses it.
        event_id: Option<EventId>,
        /// The session in which the event happened: a session of the same task.
        session_id: Option<SessionId>,
        /// The kind: 1 to 64 lower-case letters, digits, `.` and `_`.
        kind: String,
        /// For a tool call: the family of the tool.
        family: Option<ToolFamily>,
        /// The row of the timeline in which the event is drawn. Default: derived from `kind` and `family`.
        lane: Option<Lane>,
        /// The progress of a tool call, a subagent or a todo.
        state: Option<EventState>,
        /// The title: one line of up to 500 characters.
        title: Option<String>,
        /// The text. A longer text than 64 KiB is cut, and `truncated` has its whole size.
        body: Option<String>,
        /// An object with the writer's own keys, up to 64 KiB.
        metadata: Option<Metadata>,
        /// The time at which the event happened. Default: now.
        created_at: Option<Timestamp>,
    }

    /// A bookmark to create or to change. Each task and each event has at most one bookmark. For an existing bookmark a
    /// missing field leaves its value as it is, and so does `null`, except that `null` removes the note.
    SaveBookmark {
        /// The id of a new bookmark, if the caller chooses it. An existing bookmark keeps its id.
        bookmark_id: Option<BookmarkId>,
        /// The task to mark. Required unless `event_id` is given.
        task_id: Option<TaskId>,
        /// The event to mark: an event of that task, if both are given.
        event_id: Option<EventId>,
        /// The title, up to 500 characters. Default: the title of the existing bookmark, else that of the marked row, else
        /// the kind of the marked event.
        title: Option<String>,
        /// The note, up to 64 KiB; `null` removes it. Default: the note of the existing bookmark.
        note: Change<String>,
    }

    /// The installation of a coding agent on one machine.
    RegisterAgent {
        /// The runtime: 1 to 64 characters. Required.
        source: Option<String>,
        /// The name of the machine, up to 64 characters. Default: not known.
        host: Option<String>,
        /// The version of the runtime, up to 64 characters. Default: not known.
        version: Option<String>,
        /// The number of installed hooks. Default: not known.
        hooks: Option<u32>,
    }
}

changes! {
    /// A change to a task. A missing field leaves its value as it is.
    TaskPatch {
        /// The title: 1 to 500 characters.
        title: Option<String>,
        /// The project.
        project: Option<String>,
        /// The status.
        status: Option<TaskStatus>,
        /// How the task runs.
        mode: Option<TaskMode>,
        /// The folder in which the agent works; `null` removes it.
        workspace: Change<String>,
        /// The reason of the status; `null` removes it. Stored only with `waiting` and `errored`. A change of the status
        /// removes the reason, unless the same request gives another one.
        status_reason: Change<String>,
        /// The question, the command or the error; `null` removes it. Stored only with `waiting` and `errored`. A change of
        /// the status or of its reason removes the detail, unless the same request gives one.
        status_detail: Change<String>,
        /// The time from which the task waits. Stored only with `waiting`; `null` is allowed only with another status.
        waiting_since: Change<Timestamp>,
        /// The outcome of the task; `null` removes it.
        summary: Change<String>,
    }

    /// A change to a session. A missing field leaves its value as it is.
    SessionPatch {
        /// The status.
        status: Option<SessionStatus>,
        /// The outcome of the session; `null` removes it.
        summary: Change<String>,
        /// The time at which the session ended. Default for a session that ends with this change: now. `null` is allowed
        /// only for a running session.
        ended_at: Change<Timestamp>,
    }

    /// A change to an event. A missing field leaves its value as it is.
    EventPatch {
        /// For a tool call: the family of the tool; `null` removes it.
        family: Change<ToolFamily>,
        /// The row of the timeline in which the event is drawn; `null`: derived from `kind` and `family` again.
        lane: Change<Lane>,
        /// The progress of a tool call, a subagent or a todo; `null` removes it.
        state: Change<EventState>,
        /// The title: one line of up to 500 characters.
        title: Option<String>,
        /// The text; `null` removes it. A longer text than 64 KiB is cut, and `truncated` has its whole size.
        body: Change<String>,
        /// An object with the writer's own keys, up to 64 KiB.
        metadata: Option<Metadata>,
    }
}
