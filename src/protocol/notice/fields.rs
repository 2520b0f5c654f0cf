//! The fields of a notice by name, and the subject of each kind. Both follow from the catalogue, so code that treats
//! all kinds alike needs no arm for each kind.

use crate::protocol::model::{FinalStatus, Lane};
use crate::protocol::{BookmarkId, EventId, SessionId, TaskId};

macro_rules! fields {
    (
        { $($(#[$doc:meta])* $field:ident: $type:ty,)* }
        { $($(#[$set_doc:meta])* $set:ident: $set_type:ty,)* }
    ) => {
        /// The fields of one notice of any kind. A field that the kind lacks is none.
        ///
        /// A kind with a field of another name or type does not compile until the field has a place here.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct NoticeFields<'a> {
            $($(#[$doc])* pub $field: Option<&'a $type>,)*
            $($(#[$set_doc])* pub $set: Option<&'a $set_type>,)*
        }

        impl NoticeFields<'_> {
            /// The text of the field with this name, as the wire has it. None where the kind lacks the field, or where
            /// its value is `null`. A set has no text.
            pub fn text(&self, name: &str) -> Option<String> {
                match name { $(stringify!($field) => self.$field.map(ToString::to_string),)* _ => None }
            }
        }
    };
}

fields! {
    {
        /// The task that changed, or to which the changed row belongs.
        task_id: TaskId,
        /// The parent task.
        parent_task_id: TaskId,
        /// The session that changed.
        session_id: SessionId,
        /// The event that changed.
        event_id: EventId,
        /// The bookmark that changed.
        bookmark_id: BookmarkId,
        /// The runtime of the agent that changed.
        source: String,
        /// The project in which the change happened.
        project: String,
        /// How the task ended.
        status: FinalStatus,
        /// How many tasks the notice stands for.
        count: u64,
        /// Whether the status of the task changed.
        status_changed: bool,
    }
    {
        /// The kinds of the events.
        kinds: Vec<String>,
        /// The lanes of the events.
        lanes: Vec<Lane>,
    }
}

/// The row or project that a kind of notice reports on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoticeSubject {
    /// Many tasks of one project, without their ids.
    Project,
    /// One task.
    Task,
    /// One session of a task.
    Session,
    /// One event of a task.
    Event,
    /// One bookmark.
    Bookmark,
    /// The agents of one runtime.
    Agent,
}

impl NoticeSubject {
    /// The subject of a kind with these fields: the row that the kind names, or else the task, or else the project.
    pub(super) const fn of_fields(fields: &[&str]) -> Self {
        if contains(fields, "session_id") {
            NoticeSubject::Session
        } else if contains(fields, "event_id") {
            NoticeSubject::Event
        } else if contains(fields, "bookmark_id") {
            NoticeSubject::Bookmark
        } else if contains(fields, "source") {
            NoticeSubject::Agent
        } else if contains(fields, "task_id") {
            NoticeSubject::Task
        } else {
            NoticeSubject::Project
        }
    }
}

/// `fields.contains(&wanted)`, which is not `const`.
const fn contains(fields: &[&str], wanted: &str) -> bool {
    let mut at = 0;
    while at < fields.len() {
        if is_same(fields[at].as_bytes(), wanted.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

/// `one == other`, which is not `const`.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
