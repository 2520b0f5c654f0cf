//! Short calls for requests in tests.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::DropGuard;

use crate::app::App;

/// The task that the examples of the documents and most tests use.
pub const TASK: &str = "0190b0a0-0000-7000-8000-000000000001";

/// A client of one server.
pub struct Client {
    http: reqwest::Client,
    root: String,
    /// Keeps the folder of the database for a test that drops its [`App`].
    _folder: Arc<TempDir>,
    /// Keeps the server.
    _server: Arc<DropGuard>,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    pub fn of(app: &App) -> Self {
        // The server closes an idle connection after 15 s, and a request that meets the close fails.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(10)).build().unwrap();
        Self { http, root: app.url(""), _folder: app.folder.clone(), _server: app.ends.clone() }
    }

    /// Sends a body as JSON, unless a header says otherwise.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<impl Into<reqwest::Body>>,
        headers: &[(&str, String)],
    ) -> Answer {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.root));
        if let Some(body) = body {
            request = request.body(body);
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                request = request.header("content-type", "application/json");
            }
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None::<String>, &[]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None::<String>, &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body.to_string()), &[]).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, Some(body.to_string()), &[]).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Some(body.to_string()), &[]).await
    }

    /// Starts a task with this title and the other fields in `more`, and returns its id.
    pub async fn task(&self, title: &str, more: Value) -> String {
        let mut body = serde_json::json!({ "title": title });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.post("/api/v1/tasks", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.text_at("/task_id")
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The value at a JSON pointer in the body.
    pub fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or_else(|| panic!("no {pointer}: {}", self.text))
    }

    pub fn text_at(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_else(|| panic!("{pointer} is no text: {}", self.text)).to_owned()
    }

    /// The value of a header, or an empty text without the header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status of a problem answer and the fields that it names, as in `422 title`.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.text);
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/"), "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
        let fields = problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap());
        [self.status.to_string().as_str()].into_iter().chain(fields).collect::<Vec<_>>().join(" ")
    }
}
