//! The results of a search.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::words::words;
use crate::protocol::{BookmarkId, EventId, TaskId};

words! {
    /// What a search finds.
    SearchKind {
        /// A task, by its title or its summary.
        Task = "task",
        /// An event, by its title or its body.
        Event = "event",
        /// A bookmark, by its title or its note.
        Bookmark = "bookmark",
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct SearchResults {
    /// The best of the newest 1,000 matches first.
    pub items: Vec<SearchHit>,
    /// Whether everything that was stored was looked at. False for moments after much was written, and while the index
    /// is built: what is found then is right, and there may be more.
    pub complete: bool,
}

/// A task, an event or a bookmark in which all words were found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct SearchHit {
    /// Which of the three.
    pub kind: SearchKind,
    /// The task; that of the event; that of what is marked.
    pub task_id: TaskId,
    /// The event, or the one that is marked.
    pub event_id: Option<EventId>,
    /// The bookmark.
    pub bookmark_id: Option<BookmarkId>,
    /// The project of the task.
    pub project: String,
    /// Its title, whole.
    pub title: String,
    /// Where in the title words were found: start and end of each place, in code points.
    pub title_marks: Vec<[u32; 2]>,
    /// The part of its text that has the most of the words.
    pub snippet: Snippet,
    /// When the task or the bookmark changed last; when the event happened.
    pub at: Timestamp,
}

/// A part of a text, as it was written: plain text and never markup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Snippet {
    /// At most 200 code points; `…` where more of the text precedes or follows. Of a task it is taken from its summary,
    /// of an event from its body, of a bookmark from its note.
    pub text: String,
    /// Where in it words were found: start and end of each place, in code points.
    pub marks: Vec<[u32; 2]>,
}
