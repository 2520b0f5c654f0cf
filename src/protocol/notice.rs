//! The catalogue of notices. A kind's text appears here and nowhere else.
//!
//! A notice carries ids only, never rows: it says where to look again. The read models that a kind makes stale are in
//! [`engine::invalidation`](crate::engine::invalidation).
//!
//! A new kind is one entry in the catalogue. Its accessors, its way from a row of the change log and its schema follow
//! from its fields; the compiler then demands a [sample](NoticeKind::sample) and an arm in `engine::invalidation`.

mod columns;
pub use columns::NoticeColumns;

mod fields;
pub use fields::{NoticeFields, NoticeSubject};

mod samples;

use serde::{Deserialize, Serialize};

use super::model::FinalStatus;
use super::{BookmarkId, EventId, SessionId, TaskId};

macro_rules! notices {
    ($($(#[$doc:meta])* $kind:literal $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            #[cfg_attr(feature = "server", derive(poem_openapi::Object))]
            #[non_exhaustive]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        )*

        /// Something changed, and where.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "type", content = "payload")]
        #[non_exhaustive]
        pub enum Notice {
            $($(#[$doc])* #[serde(rename = $kind)] $name($name),)*
        }

        /// The kind of a notice, without the place of the change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
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

            /// The thing that this kind is about. It follows from the names of the kind's fields.
            pub fn subject(self) -> NoticeSubject {
                match self {
                    $(NoticeKind::$name => const { NoticeSubject::of_fields(&[$(stringify!($field)),*]) },)*
                }
            }
        }

        impl Notice {
            /// The text of every kind there is, in the order of the catalogue.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The kind.
            pub fn notice_kind(&self) -> NoticeKind {
                match self { $(Notice::$name(_) => NoticeKind::$name,)* }
            }

            /// The text in `type`.
            pub fn kind(&self) -> &'static str {
                self.notice_kind().as_str()
            }

            /// The project in which something changed. Every kind has one, because a stream can be of one project.
            pub fn project(&self) -> &str {
                match self { $(Notice::$name(notice) => &notice.project,)* }
            }

            /// The fields by name. A field that the kind lacks is none.
            pub fn fields(&self) -> NoticeFields<'_> {
                match self {
                    $(Notice::$name(notice) => NoticeFields {
                        $($field: (&notice.$field).into(),)*
                        ..NoticeFields::default()
                    },)*
                }
            }

            /// The notice that a row of the change log is. None for a kind that came later, and for a row that lacks a
            /// field of its kind.
            pub fn from_columns(columns: &NoticeColumns<'_>) -> Option<Self> {
                Some(match NoticeKind::parse(columns.kind)? {
                    $(NoticeKind::$name => Notice::$name($name { $($field: columns.$field()?,)* }),)*
                })
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
    /// The task it is about; none where it is about a whole project.
    pub fn task_id(&self) -> Option<&TaskId> {
        self.fields().task_id
    }

    /// The task that the task of this notice is part of.
    pub fn parent_task_id(&self) -> Option<&TaskId> {
        self.fields().parent_task_id
    }

    /// This notice for itself and for an `older` one of the same kind and place: the newer fields, with counts added up.
    pub fn merged_with(mut self, older: &Notice) -> Notice {
        if let (Notice::TasksPurged(newer), Notice::TasksPurged(older)) = (&mut self, older) {
            newer.count = newer.count.saturating_add(older.count);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Notice, NoticeColumns, NoticeKind, NoticeSubject};

    #[test]
    fn samples_are_one_of_each_kind_with_every_field() {
        let kinds: Vec<NoticeKind> = Notice::samples().map(|sample| sample.notice_kind()).collect();
        assert_eq!(kinds, NoticeKind::ALL);
        let texts: Vec<&str> = Notice::samples().map(|sample| sample.kind()).collect();
        assert_eq!(texts, Notice::KINDS);
    }

    /// The row that a trigger writes for a notice, read back, is the notice.
    #[test]
    fn columns_become_the_same_notice() {
        for sample in Notice::samples() {
            let fields = sample.fields();
            let object_id = ["session_id", "event_id", "bookmark_id"].iter().find_map(|name| fields.text(name));
            let columns = NoticeColumns {
                kind: sample.kind(),
                project: sample.project(),
                task_id: fields.task_id.map(|id| id.as_str()),
                parent_task_id: fields.parent_task_id.map(|id| id.as_str()),
                object_id: object_id.as_deref(),
                status: fields.status.map(|status| status.as_str()),
                count: fields.count.map(|count| count.cast_signed()),
            };
            assert_eq!(Notice::from_columns(&columns), Some(sample.clone()));
            assert_eq!(Notice::from_columns(&NoticeColumns { kind: "task.renamed", ..columns }), None);
            let without_ids = NoticeColumns { kind: columns.kind, ..NoticeColumns::default() };
            assert_eq!(Notice::from_columns(&without_ids), None, "{}", sample.kind());
        }
    }

    #[test]
    fn subject_follows_from_the_fields() {
        for sample in Notice::samples() {
            let expected = match sample.kind().split_once('.').map(|(subject, _)| subject) {
                Some("task") => NoticeSubject::Task,
                Some("tasks") => NoticeSubject::Project,
                Some("session") => NoticeSubject::Session,
                Some("event") => NoticeSubject::Event,
                Some("bookmark") => NoticeSubject::Bookmark,
                other => panic!("not a subject: {other:?}"),
            };
            assert_eq!(sample.notice_kind().subject(), expected, "{}", sample.kind());
        }
    }

    #[test]
    fn merged_purges_add_up() {
        let purged = NoticeKind::TasksPurged.sample();
        assert_eq!(purged.clone().merged_with(&purged).fields().count, Some(&12));
        let updated = NoticeKind::TaskUpdated.sample();
        assert_eq!(updated.clone().merged_with(&purged), updated);
    }
}
