//! A server as a command sees it: one request, and what came of it.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use requery::protocol::DELIVERY_HEADER;
use requery::protocol::model::Imported;
use reqwest::{Method, StatusCode, Url, header};
use serde_json::Value;

/// How long an answer may take. The server answers within milliseconds or is in trouble.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The first wait for a server that is away; each doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait: someone looks at it.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How much of an answer that is no problem document is shown.
const MAX_SHOWN_CHARS: usize = 200;

/// A server.
#[derive(Clone)]
pub struct Api {
    base: Url,
    http: reqwest::Client,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody is there, or whoever is there cannot do it now; the same request may work later.
    #[error("{why}")]
    Away {
        /// What happened.
        why: String,
        /// When to come back, where the server said so.
        after: Option<Duration>,
    },
    /// The request is wrong; it will be wrong next time too.
    #[error("{status}: {detail}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// What is wrong with it.
        detail: String,
    },
}

impl Api {
    /// The server at this URL.
    ///
    /// # Errors
    /// It is not the `http:` URL of a server.
    pub fn at(url: &str) -> anyhow::Result<Self> {
        let mut base = Url::parse(url).with_context(|| format!("--server {url}: not a URL"))?;
        anyhow::ensure!(base.scheme() == "http" && base.has_host(), "--server {url}: expected http://host:port");
        // So that joining a path to it keeps all of it.
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

    /// Where it is.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Hands over what a hook was given.
    ///
    /// # Errors
    /// The server did not take it.
    pub async fn hook(&self, source: &str, delivery: &str, body: String) -> Result<(), CallError> {
        let request = self.request(Method::POST, &format!("api/v1/hooks/{source}"), "application/json");
        answer(request.header(DELIVERY_HEADER, delivery).body(body)).await.map(drop)
    }

    /// Hands over lines of transcripts.
    ///
    /// # Errors
    /// The server did not take them.
    pub async fn import(&self, lines: Bytes) -> Result<Imported, CallError> {
        let request = self.request(Method::POST, "api/v1/transcripts/claude-code", "application/x-ndjson");
        let text = answer(request.body(lines)).await?;
        serde_json::from_str(&text).map_err(|error| CallError::Refused {
            status: StatusCode::OK,
            detail: format!("it answers something else than a server of this version: {error}"),
        })
    }

    /// A request with a body of JSON; the answer's JSON, `null` where it has none.
    ///
    /// # Errors
    /// The server did not do it.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value, CallError> {
        let mut request = self.request(method, path, "application/json");
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let text = answer(request).await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn request(&self, method: Method, path: &str, media_type: &str) -> reqwest::RequestBuilder {
        // The paths are our own, so they always join.
        let url = self.base.join(path).unwrap_or_else(|_| self.base.clone());
        self.http.request(method, url).header(header::CONTENT_TYPE, media_type)
    }
}

/// How long to wait for a server that is away before it is tried again.
pub struct Waits {
    next: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { next: FIRST_WAIT }
    }
}

impl Waits {
    /// The next wait; not shorter than the server asked for, within reason.
    pub fn next(&mut self, after: Option<Duration>) -> Duration {
        let jittered = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(LONGEST_WAIT);
        jittered.max(after.unwrap_or_default().min(LONGEST_WAIT))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<String, CallError> {
    let away = |error: reqwest::Error| CallError::Away { why: reason(&error), after: None };
    let response = request.send().await.map_err(away)?;
    let status = response.status();
    let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.text().await.map_err(away)?;
    if status.is_success() {
        return Ok(text);
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

/// What a problem document says is wrong; else the beginning of whatever was answered.
fn detail(text: &str) -> String {
    let problem: Option<Value> = serde_json::from_str(text).ok();
    match problem.as_ref().and_then(|problem| problem.get("detail").or_else(|| problem.get("title"))?.as_str()) {
        Some(detail) => detail.to_owned(),
        None => text.chars().take(MAX_SHOWN_CHARS).collect::<String>().trim().to_owned(),
    }
}

/// The innermost reason: what reqwest says around it is for programmers.
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
