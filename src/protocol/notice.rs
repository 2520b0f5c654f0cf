//! The catalogue of notices. A kind's text appears here and nowhere else.
//!
//! A notice carries ids only, never rows: it says where to look again. What each makes stale is in
//! [`engine::invalidation`](crate::engine::invalidation).

use serde::{Deserialize, Serialize};

use super::model::FinalStatus;
use super::{BookmarkId, EventId, SessionId, TaskId};

macro_rules! notices {
    ($($(#[$doc:meta])* $kind:literal $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            #[cfg_attr(feature = "server", derive(poem_openapi::Object))]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        )*

        /// Something changed, and where.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "type", content = "payload")]
        pub enum Notice {
            $($(#[$doc])* #[serde(rename = $kind)] $name($name),)*
        }

        /// What a notice is about, without where.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum NoticeKind { $($(#[$doc])* $name,)* }

        impl NoticeKind {
            /// Every kind there is, in the order of the catalogue.
            pub const ALL: &'static [NoticeKind] = &[$(NoticeKind::$name),*];

            /// The text in `type`.
            pub fn as_str(self) -> &'static str {
                match self { $(NoticeKind::$name => $kind,)* }
            }

            /// The kind whose text this is.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($kind => Some(NoticeKind::$name),)* _ => None }
            }
        }

        impl Notice {
            /// The text of every kind there is, in the order of the catalogue.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The text in `type`.
            pub fn kind(&self) -> &'static str {
                match self { $(Notice::$name(_) => $kind,)* }
            }

            /// Each kind with the schema of its payload.
            #[cfg(feature = "server")]
            pub(super) fn schemas(registry: &mut poem_openapi::registry::Registry) -> Vec<(&'static str, poem_openapi::registry::MetaSchemaRef)> {
                use poem_openapi::types::Type;
                $($name::register(registry);)*
                vec![$(($kind, $name::schema_ref())),*]
            }
        }
    };
}

notices! {
    /// An agent began a task.
    "task.started" TaskStarted {
        /// The task.
        task_id: TaskId,
        /// The task's project.
        project: String,
        /// The task it is part of.
        parent_task_id: Option<TaskId>,
    }

    /// A task, or something that belongs to its row, changed.
    "task.updated" TaskUpdated {
        /// The task.
        task_id: TaskId,
        /// The task's project.
        project: String,
        /// The task it is part of.
        parent_task_id: Option<TaskId>,
    }

    /// A task became completed or errored.
    "task.completed" TaskCompleted {
        /// The task.
        task_id: TaskId,
        /// The task's project.
        project: String,
        /// The task it is part of.
        parent_task_id: Option<TaskId>,
        /// What it became.
        status: FinalStatus,
    }

    /// A task is gone, and with it everything that belonged to it.
    "task.deleted" TaskDeleted {
        /// The task.
        task_id: TaskId,
        /// The task's project.
        project: String,
        /// The task it was part of.
        parent_task_id: Option<TaskId>,
    }

    /// Finished tasks were cleared away; one notice for each project.
    "tasks.purged" TasksPurged {
        /// How many tasks of this project went.
        count: u64,
        /// The project.
        project: String,
    }

    /// A run of an agent on a task began.
    "session.started" SessionStarted {
        /// The session.
        session_id: SessionId,
        /// The task it works on.
        task_id: TaskId,
        /// The task's project.
        project: String,
    }

    /// A run of an agent on a task ended.
    "session.ended" SessionEnded {
        /// The session.
        session_id: SessionId,
        /// The task it worked on.
        task_id: TaskId,
        /// The task's project.
        project: String,
    }

    /// An entry was added to a task's timeline.
    "event.logged" EventLogged {
        /// The event.
        event_id: EventId,
        /// The task whose timeline it is in.
        task_id: TaskId,
        /// The task's project.
        project: String,
    }

    /// An entry of a task's timeline changed or went.
    "event.updated" EventUpdated {
        /// The event.
        event_id: EventId,
        /// The task whose timeline it is in.
        task_id: TaskId,
        /// The task's project.
        project: String,
    }

    /// A bookmark was made or changed.
    "bookmark.saved" BookmarkSaved {
        /// The bookmark.
        bookmark_id: BookmarkId,
        /// The task it marks, or whose event it marks.
        task_id: TaskId,
        /// The task's project.
        project: String,
    }

    /// A bookmark is gone.
    "bookmark.deleted" BookmarkDeleted {
        /// The bookmark.
        bookmark_id: BookmarkId,
        /// The task it marked, or whose event it marked.
        task_id: TaskId,
        /// The task's project.
        project: String,
    }
}

impl Notice {
    /// The project in which something changed.
    pub fn project(&self) -> &str {
        match self {
            Notice::TaskStarted(n) => &n.project,
            Notice::TaskUpdated(n) => &n.project,
            Notice::TaskCompleted(n) => &n.project,
            Notice::TaskDeleted(n) => &n.project,
            Notice::TasksPurged(n) => &n.project,
            Notice::SessionStarted(n) => &n.project,
            Notice::SessionEnded(n) => &n.project,
            Notice::EventLogged(n) => &n.project,
            Notice::EventUpdated(n) => &n.project,
            Notice::BookmarkSaved(n) => &n.project,
            Notice::BookmarkDeleted(n) => &n.project,
        }
    }

    /// The task it is about; none where it is about a whole project.
    pub fn task_id(&self) -> Option<&TaskId> {
        match self {
            Notice::TaskStarted(n) => Some(&n.task_id),
            Notice::TaskUpdated(n) => Some(&n.task_id),
            Notice::TaskCompleted(n) => Some(&n.task_id),
            Notice::TaskDeleted(n) => Some(&n.task_id),
            Notice::TasksPurged(_) => None,
            Notice::SessionStarted(n) => Some(&n.task_id),
            Notice::SessionEnded(n) => Some(&n.task_id),
            Notice::EventLogged(n) => Some(&n.task_id),
            Notice::EventUpdated(n) => Some(&n.task_id),
            Notice::BookmarkSaved(n) => Some(&n.task_id),
            Notice::BookmarkDeleted(n) => Some(&n.task_id),
        }
    }
}
