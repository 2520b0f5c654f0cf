//! A notice as a row of the change log: how the columns become the fields of a kind.

use super::details;
use crate::protocol::limits;
use crate::protocol::model::{FinalStatus, Lane, ToolFamily};
use crate::protocol::{BookmarkId, EventId, SessionId, TaskId};

/// The columns of one row of the change log. [`Notice::from_columns`](super::Notice::from_columns) makes a notice from
/// them.
///
/// A session, an event, a bookmark and the runtime of an agent share the column `object_id`; the kind says which of them
/// the text names.
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
    /// The session, the event or the bookmark; of an agent its runtime.
    pub object_id: Option<&'a str>,
    /// How the task ended.
    pub status: Option<&'a str>,
    /// How many tasks the row stands for.
    pub count: Option<i64>,
    /// The kind, family and lane of the event with a slash between them, as in `tool/terminal/`. After a space the same
    /// from before the change, if that differs.
    pub event_class: Option<&'a str>,
    /// Whether the status of the task changed: 0 or 1.
    pub status_changed: Option<i64>,
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

    pub(super) fn source(&self) -> Option<String> {
        self.object_id.map(str::to_owned)
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

    /// Always a value, as all details: the notice is right without them.
    pub(super) fn status_changed(&self) -> Option<Option<bool>> {
        Some(self.status_changed.map(|changed| changed != 0))
    }

    pub(super) fn kinds(&self) -> Option<Option<Vec<String>>> {
        Some(self.event_classes().map(|classes| {
            let mut kinds = Vec::new();
            classes.iter().for_each(|class| details::add(&mut kinds, class.kind.to_owned()));
            kinds
        }))
    }

    pub(super) fn lanes(&self) -> Option<Option<Vec<Lane>>> {
        Some(self.event_classes().map(|classes| {
            let mut lanes = Vec::new();
            classes.iter().for_each(|class| details::add(&mut lanes, class.lane));
            lanes
        }))
    }

    /// None if a part of the text has another form: no part of it is relied on then.
    fn event_classes(&self) -> Option<Vec<EventClass<'_>>> {
        self.event_class?.split(' ').map(EventClass::parse).collect()
    }
}

/// The kind of an event, and its lane: its own one, or the one that follows from kind and family.
struct EventClass<'a> {
    kind: &'a str,
    lane: Lane,
}

impl<'a> EventClass<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let (kind, family, lane) = (parts.next()?, parts.next()?, parts.next()?);
        let is_of_a_kind = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_');
        let has_form = (1..=limits::EVENT_KIND_CHARACTERS).contains(&kind.len()) && kind.bytes().all(is_of_a_kind);
        let lane = Lane::parse(lane).unwrap_or_else(|| Lane::of(kind, ToolFamily::parse(family)));
        (has_form && parts.next().is_none()).then_some(Self { kind, lane })
    }
}
