//! The view of a read model: its newest body, and how far the body can be trusted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::engine::Why;
use crate::protocol::Cursor;
use crate::protocol::model::{BookmarkPage, Overview, TaskDetail, TaskPage};

/// The JSON of a read model, byte for byte as the server sent it.
///
/// Each field holds one complete and valid JSON text. [`Bytes`] is cheap to clone.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The body of [`ReadModel::Overview`](crate::protocol::ReadModel::Overview), which comes from two requests.
    Overview {
        /// The figures: the JSON of an [`Overview`].
        figures: Bytes,
        /// The first page of tasks: the JSON of a [`TaskPage`].
        tasks: Bytes,
    },
    /// The body of [`ReadModel::Task`](crate::protocol::ReadModel::Task): the JSON of a [`TaskDetail`].
    Task(Bytes),
    /// The body of [`ReadModel::Bookmarks`](crate::protocol::ReadModel::Bookmarks): the JSON of a [`BookmarkPage`].
    Bookmarks(Bytes),
}

impl Body {
    /// Parses the overview and its tasks. `None` if the body belongs to another read model.
    pub fn overview(&self) -> Option<Result<(Overview, TaskPage), BodyError>> {
        let Body::Overview { figures, tasks } = self else { return None };
        Some(parse(figures).and_then(|figures| Ok((figures, parse(tasks)?))))
    }

    /// Parses the task. `None` if the body belongs to another read model.
    pub fn task(&self) -> Option<Result<TaskDetail, BodyError>> {
        let Body::Task(json) = self else { return None };
        Some(parse(json))
    }

    /// Parses the bookmarks. `None` if the body belongs to another read model.
    pub fn bookmarks(&self) -> Option<Result<BookmarkPage, BodyError>> {
        let Body::Bookmarks(json) = self else { return None };
        Some(parse(json))
    }

    /// The whole body as one JSON text.
    ///
    /// The overview becomes an object with the members `overview` and `tasks`. Every other body is returned unchanged.
    pub fn to_json(&self) -> Bytes {
        match self {
            Body::Overview { figures, tasks } => {
                [b"{\"overview\":", &figures[..], b",\"tasks\":", &tasks[..], b"}"].concat().into()
            }
            Body::Task(json) | Body::Bookmarks(json) => json.clone(),
        }
    }
}

/// The JSON of a [`Body`] does not match the types of this crate: the server speaks a newer version of the protocol.
///
/// The display text is the parser's message with the line and the column. The bytes of the body stay available.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(serde_json::Error);

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, BodyError> {
    serde_json::from_slice(json).map_err(BodyError)
}

/// How far a [`View`] can be trusted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ViewState {
    /// No answer has arrived yet.
    #[default]
    Loading,
    /// The body is current: no change to it is known.
    Fresh,
    /// The body may be outdated: a change was announced or may have been missed. A new fetch is due or under way.
    Stale,
    /// The server answered that the task does not exist, or does not exist any more.
    NotFound,
}

impl ViewState {
    /// The state as one lower-case word: `loading`, `fresh`, `stale` or `gone`.
    pub fn as_str(self) -> &'static str {
        match self {
            ViewState::Loading => "loading",
            ViewState::Fresh => "fresh",
            ViewState::Stale => "stale",
            // The output of `requery watch` uses this word, and programs read it.
            ViewState::NotFound => "gone",
        }
    }
}

/// The content of the store for one read model, at one moment.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The newest body. `None` before the first answer. A deleted task keeps its last body.
    pub body: Option<Body>,
    /// The set of changes that the body contains. `None` before the first answer.
    pub cursor: Option<Cursor>,
    /// How far the body can be trusted.
    pub state: ViewState,
    /// The number of failed fetches since the last successful one.
    pub failures: u32,
    /// The reason why the last fetch failed, in words. `None` if it succeeded.
    pub error: Option<Arc<str>>,
    /// The cause of the last fetch. `None` before the first one.
    pub why: Option<Why>,
    /// The last moment at which the body was known to be current.
    pub(super) true_at: Option<Instant>,
}

impl View {
    /// The time since the body was last known to be current. `None` before the first answer.
    ///
    /// While the state is [`ViewState::Fresh`] and the stream is open, the age starts again with every message of the
    /// server, so it stays below the interval of the heartbeats.
    pub fn age(&self) -> Option<Duration> {
        self.true_at.map(|at| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::Body;

    #[test]
    fn a_body_becomes_one_json_text() {
        let overview = Body::Overview { figures: r#"{"a":1}"#.into(), tasks: r#"{"items":[]}"#.into() };
        assert_eq!(overview.to_json(), r#"{"overview":{"a":1},"tasks":{"items":[]}}"#);
        assert_eq!(Body::Task("{}".into()).to_json(), "{}");
    }

    #[test]
    fn a_body_of_another_shape_is_an_error_with_its_place() {
        let error = Body::Bookmarks(r#"{"items":1}"#.into()).bookmarks().expect("bookmarks").expect_err("no list");
        assert_eq!(error.to_string(), "invalid type: integer `1`, expected a sequence at line 1 column 10");
        assert!(Body::Bookmarks("{}".into()).task().is_none());
    }
}
