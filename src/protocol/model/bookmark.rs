//! Bookmarks.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::page::pages;
use crate::protocol::{BookmarkId, EventId, TaskId};

/// A marked task or event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Bookmark {
    /// The bookmark.
    pub bookmark_id: BookmarkId,
    /// The task it marks, or whose event it marks.
    pub task_id: TaskId,
    /// The event it marks; `null` where it marks the task.
    pub event_id: Option<EventId>,
    /// What the person calls it.
    pub title: String,
    /// What the person notes about it.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

pages! {
    /// Bookmarks, the last changed first.
    BookmarkPage(Bookmark)
}
