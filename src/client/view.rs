//! What a program sees of a read model: the newest body, and how far it can be trusted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::engine::Why;
use crate::protocol::Cursor;
use crate::protocol::model::{BookmarkPage, Overview, TaskDetail, TaskPage};

/// The JSON of a read model, as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Of the overview.
    Overview {
        /// An [`Overview`].
        figures: Bytes,
        /// The first [`TaskPage`].
        tasks: Bytes,
    },
    /// A [`TaskDetail`].
    Task(Bytes),
    /// A [`BookmarkPage`].
    Bookmarks(Bytes),
}

impl Body {
    /// The overview, if this is one.
    pub fn overview(&self) -> Option<serde_json::Result<(Overview, TaskPage)>> {
        let Body::Overview { figures, tasks } = self else { return None };
        Some(serde_json::from_slice(figures).and_then(|figures| Ok((figures, serde_json::from_slice(tasks)?))))
    }

    /// The task, if this is one.
    pub fn task(&self) -> Option<serde_json::Result<TaskDetail>> {
        let Body::Task(json) = self else { return None };
        Some(serde_json::from_slice(json))
    }

    /// The bookmarks, if this is them.
    pub fn bookmarks(&self) -> Option<serde_json::Result<BookmarkPage>> {
        let Body::Bookmarks(json) = self else { return None };
        Some(serde_json::from_slice(json))
    }
}

/// How far a view can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ViewState {
    /// Nothing came yet.
    #[default]
    Loading,
    /// As far as anybody has said, it is right.
    Fresh,
    /// Something changed; it is asked for again.
    Stale,
    /// There is no such thing (any more).
    NotFound,
}

impl ViewState {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ViewState::Loading => "loading",
            ViewState::Fresh => "fresh",
            ViewState::Stale => "stale",
            ViewState::NotFound => "gone",
        }
    }
}

/// What is held of a read model.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The newest body; of what is gone, the last it had.
    pub body: Option<Body>,
    /// The changes that it contains.
    pub cursor: Option<Cursor>,
    /// How far it can be trusted.
    pub state: ViewState,
    /// How many fetches failed since the last that did not.
    pub failures: u32,
    /// Why the last fetch failed, if it did.
    pub error: Option<Arc<str>>,
    /// Why it was last asked for.
    pub why: Option<Why>,
    /// When it was last known to be true.
    pub(super) true_at: Option<Instant>,
}

impl View {
    /// How long ago it was last known to be true.
    pub fn age(&self) -> Option<Duration> {
        self.true_at.map(|at| at.elapsed())
    }
}
