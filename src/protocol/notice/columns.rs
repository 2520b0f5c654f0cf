//! A notice as a row of the change log: how the columns become the fields of a kind.

use crate::protocol::model::FinalStatus;
use crate::protocol::{BookmarkId, EventId, SessionId, TaskId};

/// The columns of one row of the change log. [`Notice::from_columns`](super::Notice::from_columns) makes a notice from
/// them.
///
/// A session, an event and a bookmark share the column `object_id`; the kind says which of the three the id names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeColumns<'a> {
    /// The text of the kind.
    pub kind: &'a str,
    /// The project in which the change happened.
    pub project: &'a str,
    /// The task.
    pub task_id: Option<&'a str>,
    /// The parent task.
    pub parent_task_id: Option<&'a str>,
    /// The session, the event or the bookmark.
    pub object_id: Option<&'a str>,
    /// How the task ended.
    pub status: Option<&'a str>,
    /// How many tasks the row stands for.
    pub count: Option<i64>,
}

/// One method for each field of the catalogue, named like the field: the value in the columns, or none where the
/// columns hold no such value. A kind with a field of another name does not compile until the field has a method here.
impl NoticeColumns<'_> {
    pub(super) fn task_id(&self) -> Option<TaskId> {
        self.task_id?.parse().ok()
    }

    /// Always a value. A parent that is not an id becomes none, because the notice is still right for its own task.
    pub(super) fn parent_task_id(&self) -> Option<Option<TaskId>> {
        Some(self.parent_task_id.and_then(|id| id.parse().ok()))
    }

    pub(super) fn session_id(&self) -> Option<SessionId> {
        self.object_id?.parse().ok()
    }

    pub(super) fn event_id(&self) -> Option<EventId> {
        self.object_id?.parse().ok()
    }

    pub(super) fn bookmark_id(&self) -> Option<BookmarkId> {
        self.object_id?.parse().ok()
    }

    pub(super) fn project(&self) -> Option<String> {
        Some(self.project.to_owned())
    }

    pub(super) fn status(&self) -> Option<FinalStatus> {
        FinalStatus::parse(self.status?)
    }

    pub(super) fn count(&self) -> Option<u64> {
        Some(self.count?.unsigned_abs())
    }
}
