//! The API of a server for commands that write: one request at a time, and its outcome.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use requery::protocol::model::Imported;
use requery::protocol::{CURSOR_HEADER, Cursor, DELIVERY_HEADER};
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

/// The timeout of a request. A healthy server answers within milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The first wait for a server that is away. Each following wait is twice as long, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait. It is short because a person watches the progress.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How many characters of an answer are shown if it is not a problem document.
const MAX_SHOWN_CHARS: usize = 200;

/// An HTTP client for one server.
#[derive(Clone)]
pub struct Api {
    base: Url,
    http: reqwest::Client,
}

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server cannot be reached, or cannot serve the request now. The same request may succeed later.
    #[error("{why}")]
    Away {
        /// The cause, in words.
        why: String,
        /// The time to wait before the next attempt, from the header `Retry-After`.
        after: Option<Duration>,
    },
    /// The server rejected the request. It would reject the same request again.
    #[error("{status}: {detail}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// The reason, from the answer.
        detail: String,
    },
}

impl Api {
    /// A client for the server at `url`.
    ///
    /// # Errors
    /// `url` is not an `http:` URL with a host.
    pub fn at(url: &str) -> anyhow::Result<Self> {
        let mut base = Url::parse(url).with_context(|| format!("--server {url}: not a URL"))?;
        anyhow::ensure!(base.scheme() == "http" && base.has_host(), "--server {url}: expected http://host:port");
        // `Url::join` replaces the part behind the last slash, so the base ends with a slash.
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .tcp_nodelay(true)
            .no_proxy()
            .user_agent(concat!("requery/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { base, http })
    }

    /// The URL of the server.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Sends the input of an agent's hook.
    ///
    /// # Errors
    /// The server did not accept it.
    pub async fn hook(&self, source: &str, delivery: &str, body: String) -> Result<(), CallError> {
        let request = self.request(Method::POST, &format!("api/v1/hooks/{source}"), "application/json");
        answered(request.header(DELIVERY_HEADER, delivery).body(body)).await.map(drop)
    }

    /// Sends lines of a transcript.
    ///
    /// # Errors
    /// The server did not accept them.
    pub async fn import(&self, lines: Bytes) -> Result<Imported, CallError> {
        let request = self.request(Method::POST, "api/v1/transcripts/claude-code", "application/octet-stream");
        let (text, _) = answered(request.body(lines)).await?;
        serde_json::from_str(&text).map_err(|error| CallError::Refused {
            status: StatusCode::OK,
            detail: format!("the answer is not that of a server of this version: {error}"),
        })
    }

    /// Sends a request with a JSON body, and returns the JSON of the answer. An answer without JSON becomes `null`.
    ///
    /// # Errors
    /// The request failed.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(method, path, body).await.map(|changed| changed.body)
    }

    /// Sends a request with a JSON body, and returns the JSON and the cursor of the answer.
    ///
    /// # Errors
    /// The request failed.
    pub async fn change(&self, method: Method, path: &str, body: &Value) -> Result<ChangeAnswer, CallError> {
        let mut request = self.request(method, path, "application/json");
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let (text, headers) = answered(request).await?;
        let cursor = headers.get(CURSOR_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(ChangeAnswer { body: serde_json::from_str(&text).unwrap_or(Value::Null), cursor })
    }

    /// Fetches a body again, unless the server still has the body with this tag.
    ///
    /// # Errors
    /// The request failed.
    pub async fn fetch(&self, path: &str, tag: Option<&str>) -> Result<Fetched, CallError> {
        let mut request = self.request(Method::GET, path, "application/json");
        if let Some(tag) = tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let (status, _, headers) = received(request).await?;
        let tag = headers.get(header::ETAG).and_then(|value| value.to_str().ok().map(str::to_owned));
        Ok(Fetched { is_unchanged: status == StatusCode::NOT_MODIFIED, tag })
    }

    /// The text of an answer.
    ///
    /// # Errors
    /// The request failed.
    pub async fn text(&self, method: Method, path: &str) -> Result<String, CallError> {
        answered(self.request(method, path, "application/json")).await.map(|(text, _)| text)
    }

    fn request(&self, method: Method, path: &str, media_type: &str) -> reqwest::RequestBuilder {
        // All paths are constants or contain ids, so the join cannot fail.
        let url = self.base.join(path).unwrap_or_else(|_| self.base.clone());
        self.http.request(method, url).header(header::CONTENT_TYPE, media_type)
    }
}

/// The answer to a write.
pub struct ChangeAnswer {
    /// The JSON of the answer. An answer without JSON is `null`.
    pub body: Value,
    /// The cursor that contains the write.
    pub cursor: Option<Cursor>,
}

/// The answer to a fetch, without its body.
pub struct Fetched {
    /// Whether the body is the one that the caller has.
    pub is_unchanged: bool,
    /// The tag of the body.
    pub tag: Option<String>,
}

/// The waits between the attempts to reach a server that is away.
pub struct Waits {
    next: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { next: FIRST_WAIT }
    }
}

impl Waits {
    /// The next wait. It is at least `after`, the time that the server asked for, but that only up to [`LONGEST_WAIT`].
    pub fn next(&mut self, after: Option<Duration>) -> Duration {
        let jittered = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(LONGEST_WAIT);
        jittered.max(after.unwrap_or_default().min(LONGEST_WAIT))
    }
}

/// The text and the headers of an answer that says success.
async fn answered(request: reqwest::RequestBuilder) -> Result<(String, HeaderMap), CallError> {
    match received(request).await? {
        (status, text, headers) if status.is_success() => Ok((text, headers)),
        (status, text, _) => Err(CallError::Refused { status, detail: detail(&text) }),
    }
}

/// An answer that says success, or that the body is unchanged.
async fn received(request: reqwest::RequestBuilder) -> Result<(StatusCode, String, HeaderMap), CallError> {
    let away = |error: reqwest::Error| CallError::Away { why: reason(&error), after: None };
    let response = request.send().await.map_err(away)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.text().await.map_err(away)?;
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok((status, text, headers));
    }
    if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
        let why = format!("the server answers {}", described(status, &text));
        return Err(CallError::Away { why, after: after.map(Duration::from_secs) });
    }
    Err(CallError::Refused { status, detail: detail(&text) })
}

fn described(status: StatusCode, text: &str) -> String {
    match detail(text) {
        detail if detail.is_empty() => status.to_string(),
        detail => format!("{status}: {detail}"),
    }
}

/// The detail of a problem document, or the beginning of an answer that is not a problem document.
fn detail(text: &str) -> String {
    let problem: Option<Value> = serde_json::from_str(text).ok();
    match problem.as_ref().and_then(|problem| problem.get("detail").or_else(|| problem.get("title"))?.as_str()) {
        Some(detail) => detail.to_owned(),
        None => text.chars().take(MAX_SHOWN_CHARS).collect::<String>().trim().to_owned(),
    }
}

/// The innermost cause of an error. The messages that reqwest wraps around the cause do not help a user.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
