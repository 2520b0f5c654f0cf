//! Bookmarks.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::page::pages;
use crate::protocol::{BookmarkId, EventId, TaskId};

/// A mark on a task or on an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Bookmark {
    /// The id of the bookmark.
    pub bookmark_id: BookmarkId,
    /// The marked task, or the task of the marked event.
    pub task_id: TaskId,
    /// The marked event; `null` for a mark on the task itself.
    pub event_id: Option<EventId>,
    /// The title that the person gives the bookmark.
    pub title: String,
    /// The note of the person.
    pub note: Option<String>,
    /// The time at which the bookmark was created.
    pub created_at: Timestamp,
    /// The time of the last change.
    pub updated_at: Timestamp,
}

pages! {
    /// Bookmarks, the last changed first.
    BookmarkPage(Bookmark)
}
