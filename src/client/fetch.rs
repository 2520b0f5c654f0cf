//! Fetches a read model over REST, with conditional requests and with bounds for time and size.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use reqwest::header::{ACCEPT, ETAG, HeaderMap, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{StatusCode, Url};

use super::store::HeldBody;
use super::view::Body;
use crate::protocol::{AT_LEAST_HEADER, CURSOR_HEADER, Cursor, ReadModel};

/// The timeout of each request. A busy server needs less, and a person would not wait longer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest accepted answer, in bytes. A page of events with full texts is smaller.
const MAX_ANSWER_BODY: usize = 16 * 1024 * 1024;

/// The address of the server, and the HTTP client for it.
#[derive(Clone, Debug)]
pub(super) struct ServerEndpoint {
    pub(super) http: reqwest::Client,
    /// The path ends with a slash.
    pub(super) address: Url,
    pub(super) project: Option<String>,
}

/// The result of a fetch.
#[derive(Debug)]
pub(super) enum FetchAnswer {
    Fresh { cursor: Cursor, body: Body, etags: Vec<Option<String>> },
    NotModified { cursor: Cursor },
    NotFound { cursor: Option<Cursor> },
    Failed { error: Arc<str>, retry_after: Option<Duration> },
}

/// The reason why a fetch has no usable answer.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("could not reach the server")]
    Http(#[from] reqwest::Error),
    #[error("the server took longer than {} s", FETCH_TIMEOUT.as_secs())]
    Slow,
    #[error("the server answered {status}")]
    Status { status: StatusCode, retry_after: Option<Duration> },
    #[error("the answer is larger than {} MiB", MAX_ANSWER_BODY / 1024 / 1024)]
    Large,
    #[error("the answer names no cursor")]
    NoCursor,
    #[error("the answer is not JSON")]
    NotJson,
    #[error("the parts of the answer come from different databases")]
    Torn,
    #[error("the server knows no such resource")]
    Missing(Option<Cursor>),
}

/// The answer to one request. The overview has two such parts.
struct AnswerPart {
    cursor: Cursor,
    /// `None` after `304 Not Modified`: the part that the store holds is current.
    json: Option<Bytes>,
    etag: Option<String>,
}

/// An HTTP client for one server.
pub(super) fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(FETCH_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        // The stream connects to the server directly. Fetches have to reach the same server.
        .no_proxy()
        .user_agent(concat!("requery/", env!("CARGO_PKG_VERSION")))
        .build()
}

impl ServerEndpoint {
    /// The URL of `path` with the project.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.address.clone();
        url.set_path(&format!("{}{path}", self.address.path()));
        if let Some(project) = &self.project {
            url.query_pairs_mut().append_pair("project", project);
        }
        url
    }

    /// Fetches `model`. The server does not send parts of `held` again if they are current.
    pub(super) async fn fetch(self, model: ReadModel, held: HeldBody, at_least: Option<Cursor>) -> FetchAnswer {
        let urls = match &model {
            ReadModel::Overview => vec![self.url("api/v1/overview"), self.url("api/v1/tasks")],
            ReadModel::Task(id) => vec![Self { project: None, ..self.clone() }.url(&format!("api/v1/tasks/{id}"))],
            ReadModel::Bookmarks => vec![self.url("api/v1/bookmarks")],
        };
        let held_parts = held.body.as_ref().map(body_parts).unwrap_or_default();
        let asked = urls.into_iter().enumerate().map(|(at, url)| {
            let etag = held.etags.get(at).filter(|_| held_parts.len() > at).cloned().flatten();
            self.ask(url, etag, at_least.as_ref())
        });
        match try_join_all(asked).await.and_then(|fetched| combine(&model, fetched, held_parts)) {
            Ok(answer) => answer,
            Err(FetchError::Missing(cursor)) if matches!(model, ReadModel::Task(_)) => FetchAnswer::NotFound { cursor },
            Err(error) => {
                let retry_after = match &error {
                    FetchError::Status { retry_after, .. } => *retry_after,
                    _ => None,
                };
                FetchAnswer::Failed { error: format!("could not load {model}: {error}").into(), retry_after }
            }
        }
    }

    async fn ask(&self, url: Url, etag: Option<String>, at_least: Option<&Cursor>) -> Result<AnswerPart, FetchError> {
        tokio::time::timeout(FETCH_TIMEOUT, self.ask_without_timeout(url, etag, at_least))
            .await
            .map_err(|_| FetchError::Slow)?
    }

    async fn ask_without_timeout(
        &self,
        url: Url,
        etag: Option<String>,
        at_least: Option<&Cursor>,
    ) -> Result<AnswerPart, FetchError> {
        let mut request = self.http.get(url).header(ACCEPT, "application/json");
        if let Some(etag) = &etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(cursor) = at_least {
            request = request.header(AT_LEAST_HEADER, cursor.to_string());
        }
        let mut response = request.send().await?;
        let headers = response.headers();
        let cursor = header_text(headers, CURSOR_HEADER).and_then(|text| text.parse::<Cursor>().ok());
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if etag.is_some() => {
                return Ok(AnswerPart { cursor: cursor.ok_or(FetchError::NoCursor)?, json: None, etag });
            }
            StatusCode::NOT_FOUND => return Err(FetchError::Missing(cursor)),
            status => {
                let seconds = header_text(headers, RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
                return Err(FetchError::Status { status, retry_after: seconds.map(Duration::from_secs) });
            }
        }
        let cursor = cursor.ok_or(FetchError::NoCursor)?;
        let etag = header_text(headers, ETAG.as_str()).map(str::to_owned);
        let mut json = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if json.len() + chunk.len() > MAX_ANSWER_BODY {
                return Err(FetchError::Large);
            }
            json.extend_from_slice(&chunk);
        }
        serde_json::from_slice::<serde::de::IgnoredAny>(&json).map_err(|_| FetchError::NotJson)?;
        Ok(AnswerPart { cursor, json: Some(json.freeze()), etag })
    }
}

/// Joins the parts of a read model. The answer takes the cursor of the oldest part, because it contains no more changes
/// than that part.
fn combine(model: &ReadModel, fetched: Vec<AnswerPart>, held: Vec<Bytes>) -> Result<FetchAnswer, FetchError> {
    let mut cursors = fetched.iter().map(|part| &part.cursor);
    let mut cursor = cursors.next().ok_or(FetchError::Torn)?;
    for other in cursors {
        if !other.covers(cursor) {
            cursor = Some(other).filter(|other| cursor.covers(other)).ok_or(FetchError::Torn)?;
        }
    }
    let cursor = cursor.clone();
    if fetched.iter().all(|part| part.json.is_none()) {
        return Ok(FetchAnswer::NotModified { cursor });
    }
    let mut held = held.into_iter();
    let mut json = Vec::new();
    let mut etags = Vec::new();
    for part in fetched {
        let old = held.next();
        json.push(part.json.or(old).ok_or(FetchError::Torn)?);
        etags.push(part.etag);
    }
    let mut json = json.into_iter();
    let mut next = || json.next().ok_or(FetchError::Torn);
    let body = match model {
        ReadModel::Overview => Body::Overview { figures: next()?, tasks: next()? },
        ReadModel::Task(_) => Body::Task(next()?),
        ReadModel::Bookmarks => Body::Bookmarks(next()?),
    };
    Ok(FetchAnswer::Fresh { cursor, body, etags })
}

/// The inverse of [`combine`].
fn body_parts(body: &Body) -> Vec<Bytes> {
    match body {
        Body::Overview { figures, tasks } => vec![figures.clone(), tasks.clone()],
        Body::Task(json) | Body::Bookmarks(json) => vec![json.clone()],
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
