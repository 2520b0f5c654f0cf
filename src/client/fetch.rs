//! Requests over REST: fetches of read models, conditional and bounded in time and size, and single reads.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use reqwest::header::{ACCEPT, ETAG, HeaderMap, IF_NONE_MATCH};
use reqwest::{Response, StatusCode, Url};

use super::error_text;
use super::retry_after::retry_after;
use super::source::{BodyError, ModelRequest, Source};
use super::store::{HeldParts, PartTag};
use crate::protocol::{AT_LEAST_HEADER, CURSOR_HEADER, Cursor};

/// The timeout of each request. A busy server needs less, and a person would not wait longer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept for the next request. The server closes an idle connection after
/// [`HEADER_TIME`](crate::protocol::limits::HEADER_TIME), and a request that meets the close fails.
const MAX_IDLE: Duration = Duration::from_secs(10);
/// The largest accepted answer, in bytes. A page of events with full texts is smaller.
const MAX_ANSWER_BODY: usize = 16 * 1024 * 1024;
/// The largest part of an error's body that is read for its text, in bytes.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// The address of the server, and the HTTP client for it.
#[derive(Clone, Debug)]
pub(super) struct ServerEndpoint {
    pub(super) http: reqwest::Client,
    /// The path ends with a slash.
    pub(super) address: Url,
    pub(super) project: Option<String>,
}

/// The result of a fetch.
pub(super) enum FetchAnswer<S: Source> {
    Fresh {
        cursor: Cursor,
        body: S::Body,
        parts: Vec<Bytes>,
        tags: Vec<PartTag>,
    },
    /// The parts with which the request was made are current.
    NotModified {
        cursor: Cursor,
        held: HeldParts,
        /// The cursor of each part.
        cursors: Vec<Cursor>,
    },
    Gone {
        cursor: Cursor,
    },
    Failed {
        error: Arc<str>,
        retry_after: Option<Duration>,
    },
}

/// The reason why a request has no usable answer.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server could not be reached, or the connection broke. The sources name the cause.
    #[error("could not reach the server")]
    NotReached(#[source] Box<dyn Error + Send + Sync>),
    /// The server did not answer in time.
    #[error("the server took longer than {} s", FETCH_TIMEOUT.as_secs())]
    Slow,
    /// The server answered with an error.
    #[error("the server answered {status}{}", detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default())]
    Status {
        /// The HTTP status.
        status: u16,
        /// The explanation of the server, if it gave one.
        detail: Option<String>,
        /// The wait that the server demands before the next request.
        retry_after: Option<Duration>,
    },
    /// The resource does not exist, or does not exist any more. Holds the cursor of the answer.
    #[error("the server knows no such resource")]
    NotFound(Cursor),
    /// The answer is larger than the client accepts.
    #[error("the answer is larger than {} MiB", MAX_ANSWER_BODY / 1024 / 1024)]
    Large,
    /// The answer names no cursor, so it cannot come from the server itself.
    #[error("the answer names no cursor")]
    NoCursor,
    /// The requests for one read model were answered from different databases.
    #[error("the parts of the answer come from different databases")]
    Torn,
    /// The answer has another form than the types of the client.
    #[error(transparent)]
    Unreadable(#[from] BodyError),
}

/// The answer to one request.
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
        .pool_idle_timeout(MAX_IDLE)
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

    /// Fetches `key`. The server does not send parts of `held` again if they are current, and sends only the changes of
    /// a part where it knows them.
    pub(super) async fn fetch<S: Source>(
        self,
        source: S,
        key: S::Key,
        held: HeldParts,
        at_least: Option<Cursor>,
    ) -> FetchAnswer<S> {
        let requests = source.requests(&key);
        let conditional = held.parts.len() == requests.len();
        let (source_ref, key_ref, endpoint) = (&source, &key, &self);
        let asked = requests.iter().enumerate().map(|(at, request)| {
            let part = held.parts.get(at).zip(held.tags.get(at)).filter(|_| conditional);
            let at_least = at_least.as_ref();
            async move { endpoint.ask_for_part(source_ref, key_ref, at, request, part, at_least).await }
        });
        let answered = try_join_all(asked).await;
        match answered.and_then(|parts| combine(&source, &key, parts, &held)) {
            Ok(answer) => answer,
            Err(RequestError::NotFound(cursor)) => FetchAnswer::Gone { cursor },
            Err(error) => {
                let text = error_text::with_causes(&error);
                let retry_after = match error {
                    RequestError::Status { retry_after, .. } => retry_after,
                    _ => None,
                };
                FetchAnswer::Failed { error: format!("could not load {key}: {text}").into(), retry_after }
            }
        }
    }

    /// Makes one request outside of the watched read models.
    pub(super) async fn read(&self, request: &ModelRequest, at_least: Option<&Cursor>) -> Result<Bytes, RequestError> {
        let part = self.ask(request, &PartTag::default(), at_least).await?;
        part.json.ok_or(RequestError::Torn)
    }

    /// Asks for one part of a read model: for its changes if they can be applied to the held part.
    async fn ask_for_part<S: Source>(
        &self,
        source: &S,
        key: &S::Key,
        at: usize,
        request: &ModelRequest,
        held: Option<(&Bytes, &PartTag)>,
        at_least: Option<&Cursor>,
    ) -> Result<AnswerPart, RequestError> {
        let Some((held, tag)) = held else { return self.ask(request, &PartTag::default(), at_least).await };
        let (etag, mut since) = (tag.etag.clone(), tag.cursor.clone());
        since = since.filter(|_| source.knows_changes(key, at));
        let has_since = since.is_some();
        let part = self.ask(request, &PartTag { etag, cursor: since }, at_least).await?;
        let Some(json) = part.json.as_ref().filter(|json| has_since && are_changes(json)) else { return Ok(part) };
        match source.apply_changes(key, at, held, json) {
            Some(whole) => Ok(AnswerPart { json: Some(whole), etag: None, ..part }),
            // The held part is not the one whose changes these are.
            None => self.ask(request, &PartTag::default(), Some(&part.cursor)).await,
        }
    }

    async fn ask(
        &self,
        request: &ModelRequest,
        held: &PartTag,
        at_least: Option<&Cursor>,
    ) -> Result<AnswerPart, RequestError> {
        let answered = tokio::time::timeout(FETCH_TIMEOUT, self.ask_without_timeout(request, held, at_least));
        answered.await.map_err(|_| RequestError::Slow)?
    }

    async fn ask_without_timeout(
        &self,
        request: &ModelRequest,
        held: &PartTag,
        at_least: Option<&Cursor>,
    ) -> Result<AnswerPart, RequestError> {
        let mut url = self.url(&request.path);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        if let Some(cursor) = &held.cursor {
            url.query_pairs_mut().append_pair("since", &cursor.to_string());
        }
        let mut request = self.http.get(url).header(ACCEPT, "application/json");
        if let Some(etag) = &held.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(cursor) = at_least {
            request = request.header(AT_LEAST_HEADER, cursor.to_string());
        }
        let response = request.send().await.map_err(not_reached)?;
        let headers = response.headers();
        let cursor = header_text(headers, CURSOR_HEADER).and_then(|text| text.parse::<Cursor>().ok());
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if held.etag.is_some() => {
                let etag = held.etag.clone();
                return Ok(AnswerPart { cursor: cursor.ok_or(RequestError::NoCursor)?, json: None, etag });
            }
            // Only the server itself knows that a resource is gone. A 404 without a cursor comes from a proxy, or from
            // another server.
            StatusCode::NOT_FOUND if let Some(cursor) = cursor => return Err(RequestError::NotFound(cursor)),
            status => {
                let retry_after = retry_after(headers, SystemTime::now());
                let detail = problem_detail(response).await;
                return Err(RequestError::Status { status: status.as_u16(), detail, retry_after });
            }
        }
        let cursor = cursor.ok_or(RequestError::NoCursor)?;
        let etag = header_text(headers, ETAG.as_str()).map(str::to_owned);
        Ok(AnswerPart { cursor, json: Some(whole_body(response, MAX_ANSWER_BODY).await?), etag })
    }
}

/// Joins the parts of a read model. The answer takes the cursor of the oldest part, because it contains no more changes
/// than that part.
fn combine<S: Source>(
    source: &S,
    key: &S::Key,
    fetched: Vec<AnswerPart>,
    held: &HeldParts,
) -> Result<FetchAnswer<S>, RequestError> {
    let mut cursors = fetched.iter().map(|part| &part.cursor);
    let mut cursor = cursors.next().ok_or(RequestError::Torn)?;
    for other in cursors {
        if !other.covers(cursor) {
            cursor = Some(other).filter(|other| cursor.covers(other)).ok_or(RequestError::Torn)?;
        }
    }
    let cursor = cursor.clone();
    if fetched.iter().all(|part| part.json.is_none()) {
        let cursors = fetched.into_iter().map(|part| part.cursor).collect();
        return Ok(FetchAnswer::NotModified { cursor, held: held.clone(), cursors });
    }
    let (mut parts, mut tags) = (Vec::new(), Vec::new());
    for (at, part) in fetched.into_iter().enumerate() {
        parts.push(part.json.or_else(|| held.parts.get(at).cloned()).ok_or(RequestError::Torn)?);
        tags.push(PartTag { etag: part.etag, cursor: Some(part.cursor) });
    }
    let body = source.parse(key, &parts)?;
    Ok(FetchAnswer::Fresh { cursor, body, parts, tags })
}

/// Whether an answer has the changes of the held one alone: then its field `full` is `false`.
fn are_changes(json: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Answer {
        full: Option<bool>,
    }
    serde_json::from_slice::<Answer>(json).is_ok_and(|answer| answer.full == Some(false))
}

async fn whole_body(mut response: Response, most: usize) -> Result<Bytes, RequestError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(not_reached)? {
        if body.len() + chunk.len() > most {
            return Err(RequestError::Large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The text of a problem document (RFC 9457), if the body is one.
async fn problem_detail(response: Response) -> Option<String> {
    let body = whole_body(response, MAX_ERROR_BODY).await.ok()?;
    let problem: serde_json::Value = serde_json::from_slice(&body).ok()?;
    problem.get("detail")?.as_str().map(error_text::cut)
}

/// The error text of the HTTP library repeats the address, so the text of its cause is used.
fn not_reached(error: reqwest::Error) -> RequestError {
    RequestError::NotReached(error.without_url().into())
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
