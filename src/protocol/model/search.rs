//! The results of a search.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::words::words;
use crate::protocol::{BookmarkId, EventId, TaskId};

words! {
    /// The kind of a search result.
    SearchKind {
        /// A task, found by its title or its summary.
        Task = "task",
        /// An event, found by its title or its body.
        Event = "event",
        /// A bookmark, found by its title or its note.
        Bookmark = "bookmark",
    }
}

/// The results of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct SearchResults {
    /// The results, the best first. Only the newest 1,000 matches are ranked.
    pub items: Vec<SearchHit>,
    /// Whether the index contained every change of the snapshot. `false` for moments after many writes, and while the
    /// index is built: the results are right then, and there may be more.
    pub complete: bool,
}

/// A task, an event or a bookmark that contains all words of the query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct SearchHit {
    /// The kind of the result.
    pub kind: SearchKind,
    /// The task, the task of the event, or the task of the bookmark.
    pub task_id: TaskId,
    /// The event, or the event that the bookmark marks.
    pub event_id: Option<EventId>,
    /// The bookmark.
    pub bookmark_id: Option<BookmarkId>,
    /// The project of the task.
    pub project: String,
    /// The whole title.
    pub title: String,
    /// The places of the words in `title`: the start and the end of each place, in code points.
    pub title_marks: Vec<[u32; 2]>,
    /// The part of the text with the most words of the query.
    pub snippet: Snippet,
    /// The time of the last change of the task or bookmark; the time at which the event happened.
    pub at: Timestamp,
}

/// A part of a text: plain text and never markup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Snippet {
    /// At most 200 code points, with `…` where the text was cut. The text is the summary of a task, the body of an
    /// event or the note of a bookmark.
    pub text: String,
    /// The places of the words in `text`: the start and the end of each place, in code points.
    pub marks: Vec<[u32; 2]>,
}
