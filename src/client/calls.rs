//! Single reads: later pages, filters and searches. A read is one request, and its answer is not kept current.

use serde::de::DeserializeOwned;

use super::fetch::{RequestError, ServerEndpoint};
use super::source::{BodyError, ModelRequest};
use crate::protocol::model::{BookmarkPage, EventPage, SearchResults, TaskPage, TaskStatus};
use crate::protocol::{Cursor, TaskId};

/// The part of a list to read. The default is the first page, with the usual number of rows.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// The rows that follow: the `next` of the page before.
    pub before: Option<String>,
    /// The rows that precede: the `previous` of the page after.
    pub after: Option<String>,
    /// The largest number of rows. None: the server chooses.
    pub limit: Option<u32>,
}

/// The tasks to read. The default is the first page of all tasks of the client's project.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskQuery {
    /// Only tasks with this status.
    pub status: Option<TaskStatus>,
    /// Only children of this task.
    pub parent: Option<TaskId>,
    /// The page.
    pub page: PageQuery,
}

/// The words to search for, in the client's project.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchQuery {
    /// Any text. The contract says how words, phrases and beginnings are written.
    pub text: String,
    /// Only this task, its events and its bookmarks.
    pub task: Option<TaskId>,
    /// The largest number of results. None: the server chooses.
    pub limit: Option<u32>,
}

impl PageQuery {
    /// The page that follows a page with this `next`.
    pub fn before(next: impl Into<String>) -> Self {
        Self { before: Some(next.into()), ..Self::default() }
    }

    /// The page that precedes a page with this `previous`.
    pub fn after(previous: impl Into<String>) -> Self {
        Self { after: Some(previous.into()), ..Self::default() }
    }

    /// At most so many rows.
    #[must_use]
    pub fn limited_to(self, rows: u32) -> Self {
        Self { limit: Some(rows), ..self }
    }
}

impl TaskQuery {
    /// Tasks with this status.
    pub fn with_status(status: TaskStatus) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// Children of this task.
    pub fn children_of(parent: TaskId) -> Self {
        Self { parent: Some(parent), ..Self::default() }
    }

    /// This page of them.
    #[must_use]
    pub fn on_page(self, page: PageQuery) -> Self {
        Self { page, ..self }
    }
}

impl SearchQuery {
    /// A search in all tasks.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A search in one task, its events and its bookmarks.
    #[must_use]
    pub fn in_task(self, task: TaskId) -> Self {
        Self { task: Some(task), ..self }
    }

    /// At most so many results.
    #[must_use]
    pub fn limited_to(self, results: u32) -> Self {
        Self { limit: Some(results), ..self }
    }
}

/// Reads of one server. Each answer contains the writes of the application, if it has told them.
pub(super) struct Reads<'a> {
    pub(super) endpoint: &'a ServerEndpoint,
    pub(super) at_least: Option<Cursor>,
}

impl Reads<'_> {
    pub(super) async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, RequestError> {
        let mut request = page_request("api/v1/tasks".to_owned(), &query.page);
        add(&mut request, "status", query.status.map(|status| status.to_string()));
        add(&mut request, "parent", query.parent.as_ref().map(ToString::to_string));
        self.read_as(&request).await
    }

    pub(super) async fn timeline(&self, task: &TaskId, page: &PageQuery) -> Result<EventPage, RequestError> {
        self.read_as(&page_request(format!("api/v1/tasks/{task}/timeline"), page)).await
    }

    pub(super) async fn bookmark_page(&self, page: &PageQuery) -> Result<BookmarkPage, RequestError> {
        self.read_as(&page_request("api/v1/bookmarks".to_owned(), page)).await
    }

    pub(super) async fn search(&self, query: &SearchQuery) -> Result<SearchResults, RequestError> {
        let mut request = ModelRequest::new("api/v1/search");
        add(&mut request, "q", Some(query.text.clone()));
        add(&mut request, "task_id", query.task.as_ref().map(ToString::to_string));
        add(&mut request, "limit", query.limit.map(|limit| limit.to_string()));
        self.read_as(&request).await
    }

    async fn read_as<T: DeserializeOwned>(&self, request: &ModelRequest) -> Result<T, RequestError> {
        let json = self.endpoint.read(request, self.at_least.as_ref()).await?;
        Ok(serde_json::from_slice(&json).map_err(BodyError::new)?)
    }
}

fn page_request(path: String, page: &PageQuery) -> ModelRequest {
    let mut request = ModelRequest::new(path);
    add(&mut request, "before", page.before.clone());
    add(&mut request, "after", page.after.clone());
    add(&mut request, "limit", page.limit.map(|limit| limit.to_string()));
    request
}

fn add(request: &mut ModelRequest, name: &str, value: Option<String>) {
    request.query.extend(value.map(|value| (name.to_owned(), value)));
}
