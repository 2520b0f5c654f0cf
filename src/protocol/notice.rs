//! The catalogue of notices. A kind's text appears here and nowhere else.
//!
//! A notice carries ids only, never rows: it says where to look again. The read models that a kind makes stale are in
//! [`engine::invalidation`](crate::engine::invalidation).
//!
//! A new kind is one entry in the catalogue. Its accessors, its way from a row of the change log and its schema follow
//! from its fields; the compiler then demands a [sample](NoticeKind::sample) and an arm in `engine::invalidation`.

mod columns;
pub use columns::NoticeColumns;

mod details;

mod fields;
pub use fields::{NoticeFields, NoticeSubject};

mod samples;

use serde::{Deserialize, Serialize};

use super::model::{FinalStatus, Lane};
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

        /// A change that was committed, and the place where it happened.
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
            /// Every kind, in the order of the catalogue.
            pub const ALL: &'static [NoticeKind] = &[$(NoticeKind::$name),*];

            /// The text in `type`.
            pub fn as_str(self) -> &'static str {
                match self { $(NoticeKind::$name => $kind,)* }
            }

            /// The kind with this text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($kind => Some(NoticeKind::$name),)* _ => None }
            }

            /// The row or project that this kind reports on. It follows from the names of the kind's fields.
            pub fn subject(self) -> NoticeSubject {
                match self {
                    $(NoticeKind::$name => const { NoticeSubject::of_fields(&[$(stringify!($field)),*]) },)*
                }
            }
        }

        impl Notice {
            /// The text of every kind, in the order of the catalogue.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The kind.
            pub fn notice_kind(&self) -> NoticeKind {
                match self { $(Notice::$name(_) => NoticeKind::$name,)* }
            }

            /// The text in `type`.
            pub fn kind(&self) -> &'static str {
                self.notice_kind().as_str()
            }

            /// The project in which the change happened. Every kind has one: a stream may be limited to one project.
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

            /// Makes the notice of one row of the change log. None for a kind of a later version, and for a row that
            /// lacks a field of its kind.
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
        /// The project of the task.
        project: String,
        /// The parent task.
        parent_task_id: Option<TaskId>,
    }

    /// A task changed: its own row, its usage, or one of its sessions in another way than a start or an end.
    "task.updated" TaskUpdated {
        /// The task.
        task_id: TaskId,
        /// The project of the task.
        project: String,
        /// The parent task.
        parent_task_id: Option<TaskId>,
        /// Whether the `status` of the task changed. `null`: not known.
        status_changed: Option<bool>,
    }

    /// A task became completed or errored.
    "task.completed" TaskCompleted {
        /// The task.
        task_id: TaskId,
        /// The project of the task.
        project: String,
        /// The parent task.
        parent_task_id: Option<TaskId>,
        /// The new status.
        status: FinalStatus,
    }

    /// A task was deleted, together with its sessions, events and bookmarks.
    "task.deleted" TaskDeleted {
        /// The task.
        task_id: TaskId,
        /// The project of the task.
        project: String,
        /// The parent task.
        parent_task_id: Option<TaskId>,
    }

    /// Finished tasks were purged. One notice for each project.
    "tasks.purged" TasksPurged {
        /// The number of purged tasks of this project.
        count: u64,
        /// The project.
        project: String,
    }

    /// A session of a task began.
    "session.started" SessionStarted {
        /// The session.
        session_id: SessionId,
        /// The task of the session.
        task_id: TaskId,
        /// The project of the task.
        project: String,
    }

    /// A session of a task ended.
    "session.ended" SessionEnded {
        /// The session.
        session_id: SessionId,
        /// The task of the session.
        task_id: TaskId,
        /// The project of the task.
        project: String,
    }

    /// An event was added to the timeline of a task.
    "event.logged" EventLogged {
        /// The event.
        event_id: EventId,
        /// The task of the event.
        task_id: TaskId,
        /// The project of the task.
        project: String,
        /// The kinds of the events, sorted; of an event that changed, also the kind before. `null`: not known.
        kinds: Option<Vec<String>>,
        /// The lanes of the events, likewise.
        lanes: Option<Vec<Lane>>,
    }

    /// An event changed or was deleted.
    "event.updated" EventUpdated {
        /// The event.
        event_id: EventId,
        /// The task of the event.
        task_id: TaskId,
        /// The project of the task.
        project: String,
        /// The kinds of the events, sorted; of an event that changed, also the kind before. `null`: not known.
        kinds: Option<Vec<String>>,
        /// The lanes of the events, likewise.
        lanes: Option<Vec<Lane>>,
    }

    /// A bookmark was created or changed.
    "bookmark.saved" BookmarkSaved {
        /// The bookmark.
        bookmark_id: BookmarkId,
        /// The marked task, or the task of the marked event.
        task_id: TaskId,
        /// The project of the task.
        project: String,
    }

    /// A bookmark was deleted.
    "bookmark.deleted" BookmarkDeleted {
        /// The bookmark.
        bookmark_id: BookmarkId,
        /// The marked task, or the task of the marked event.
        task_id: TaskId,
        /// The project of the task.
        project: String,
    }

    /// A coding agent was registered, or was heard for the first time in a project.
    "agent.registered" AgentRegistered {
        /// The runtime of the agent.
        source: String,
        /// The project in which the agent was heard. Empty for an agent that was not heard yet.
        project: String,
    }

    /// A coding agent changed: its version, its installed hooks, or the minute in which it was last heard.
    "agent.changed" AgentChanged {
        /// The runtime of the agent.
        source: String,
        /// The project in which the agent was heard. Empty for an agent that was not heard yet.
        project: String,
    }
}

impl Notice {
    /// The task of the change. None for a notice about a whole project.
    pub fn task_id(&self) -> Option<&TaskId> {
        self.fields().task_id
    }

    /// The parent of the task of this notice.
    pub fn parent_task_id(&self) -> Option<&TaskId> {
        self.fields().parent_task_id
    }

    /// Merges an `older` notice of the same kind and place into this one: the newer fields stay, counts are added up,
    /// and the details of both are united.
    pub fn merged_with(mut self, older: &Notice) -> Notice {
        match (&mut self, older) {
            (Notice::TasksPurged(newer), Notice::TasksPurged(older)) => {
                newer.count = newer.count.saturating_add(older.count);
            }
            (Notice::TaskUpdated(newer), Notice::TaskUpdated(older)) => {
                newer.status_changed = details::either(newer.status_changed, older.status_changed);
            }
            (Notice::EventLogged(newer), Notice::EventLogged(older)) => {
                details::unite(&mut newer.kinds, &older.kinds);
                details::unite(&mut newer.lanes, &older.lanes);
            }
            (Notice::EventUpdated(newer), Notice::EventUpdated(older)) => {
                details::unite(&mut newer.kinds, &older.kinds);
                details::unite(&mut newer.lanes, &older.lanes);
            }
            _ => {}
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
        for sample in Notice::samples() {
            let json = serde_json::to_value(&sample).expect("JSON");
            let payload = json["payload"].as_object().expect("an object");
            let empty: Vec<&String> =
                payload.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name).collect();
            assert!(!payload.is_empty() && empty.is_empty(), "the sample of {} has no {empty:?}", sample.kind());
        }
    }

    /// The row that a trigger writes for a notice, read back, is the notice.
    #[test]
    fn columns_become_the_same_notice() {
        for sample in Notice::samples() {
            let fields = sample.fields();
            let object_id =
                ["session_id", "event_id", "bookmark_id", "source"].iter().find_map(|name| fields.text(name));
            let columns = NoticeColumns {
                kind: sample.kind(),
                project: sample.project(),
                task_id: fields.task_id.map(|id| id.as_str()),
                parent_task_id: fields.parent_task_id.map(|id| id.as_str()),
                object_id: object_id.as_deref(),
                status: fields.status.map(|status| status.as_str()),
                count: fields.count.map(|count| count.cast_signed()),
                event_class: fields.kinds.map(|_| "tool/terminal/"),
                status_changed: fields.status_changed.copied().map(i64::from),
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
                Some("agent") => NoticeSubject::Agent,
                other => panic!("not a subject: {other:?}"),
            };
            assert_eq!(sample.notice_kind().subject(), expected, "{}", sample.kind());
        }
    }

    /// The row of an event in the log: its kind, family and lane, and those from before the change.
    #[test]
    fn the_class_of_an_event_names_kinds_and_lanes() {
        let long = "a".repeat(64);
        for (class, kinds, lanes) in [
            (Some("tool/terminal/"), Some(vec!["tool"]), r#"["terminal"]"#),
            (Some("log//"), Some(vec!["log"]), r#"["system"]"#),
            (Some("of.tomorrow//git"), Some(vec!["of.tomorrow"]), r#"["git"]"#),
            (Some("tool/of_tomorrow/of_tomorrow"), Some(vec!["tool"]), r#"["coordination"]"#),
            (Some("user.message// plan//"), Some(vec!["plan", "user.message"]), r#"["planning","user"]"#),
            (Some("log//git log//git"), Some(vec!["log"]), r#"["git"]"#),
            (Some(&*format!("{long}//")), Some(vec![&*long]), r#"["system"]"#),
            (Some(&*format!("{long}a//")), None, "null"),
            (Some("a b//"), None, "null"),
            (Some("Log//"), None, "null"),
            (Some("//"), None, "null"),
            (Some(""), None, "null"),
            (Some("a/b/c/d"), None, "null"),
            (None, None, "null"),
        ] {
            let columns = NoticeColumns {
                kind: "event.logged",
                task_id: Some("0190b0a0-0000-7000-8000-000000000001"),
                object_id: Some("0190b0a0-0000-7000-8000-000000000002"),
                event_class: class,
                ..NoticeColumns::default()
            };
            let Some(Notice::EventLogged(logged)) = Notice::from_columns(&columns) else { panic!("{class:?}") };
            let expected = kinds.map(|kinds| kinds.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(logged.kinds, expected, "{class:?}");
            assert_eq!(serde_json::to_string(&logged.lanes).expect("JSON"), lanes, "{class:?}");
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
