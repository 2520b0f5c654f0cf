//! The change log: the only source of notices.
//!
//! The database's triggers append to `changes`. [`tail`] follows the log and hands its notices to the hub, [`since`]
//! asks it for the changes that a returning client has missed, [`fold`] adds it to the figures and [`prune`] cuts its
//! old end. Every follower remembers a [`Position`](super::database::Position) and asks for the changes [`between`] two of them.

use requery_entities::change;

use crate::protocol::model::FinalStatus;
use crate::protocol::{
    BookmarkDeleted, BookmarkSaved, EventLogged, EventUpdated, Notice, NoticeKind, SessionEnded, SessionStarted,
    TaskCompleted, TaskDeleted, TaskStarted, TaskUpdated, TasksPurged,
};

mod between;
pub use between::{Between, between};

mod sqlite;
pub use sqlite::reaches_back_to;

mod tail;
pub use tail::tail;

mod since;
pub use since::since;

pub mod fold;
pub mod prune;

/// The notice that a row of the log is. None for a kind that came later.
fn notice(row: &change::Model) -> Option<Notice> {
    let project = row.project.clone();
    let task_id = || row.task_id.as_deref()?.parse().ok();
    let parent_task_id = row.parent_task_id.as_deref().and_then(|id| id.parse().ok());
    let object = row.object_id.as_deref();
    macro_rules! of_task {
        ($name:ident) => {
            Notice::$name($name { task_id: task_id()?, project, parent_task_id })
        };
    }
    macro_rules! of_object {
        ($name:ident, $id:ident) => {
            Notice::$name($name { $id: object?.parse().ok()?, task_id: task_id()?, project })
        };
    }
    let found = match NoticeKind::parse(&row.kind)? {
        NoticeKind::TaskStarted => of_task!(TaskStarted),
        NoticeKind::TaskUpdated => of_task!(TaskUpdated),
        NoticeKind::TaskDeleted => of_task!(TaskDeleted),
        NoticeKind::TaskCompleted => {
            let status = FinalStatus::parse(row.status.as_deref()?)?;
            Notice::TaskCompleted(TaskCompleted { task_id: task_id()?, project, parent_task_id, status })
        }
        NoticeKind::TasksPurged => Notice::TasksPurged(TasksPurged { count: row.count?.unsigned_abs(), project }),
        NoticeKind::SessionStarted => of_object!(SessionStarted, session_id),
        NoticeKind::SessionEnded => of_object!(SessionEnded, session_id),
        NoticeKind::EventLogged => of_object!(EventLogged, event_id),
        NoticeKind::EventUpdated => of_object!(EventUpdated, event_id),
        NoticeKind::BookmarkSaved => of_object!(BookmarkSaved, bookmark_id),
        NoticeKind::BookmarkDeleted => of_object!(BookmarkDeleted, bookmark_id),
    };
    Some(found)
}
