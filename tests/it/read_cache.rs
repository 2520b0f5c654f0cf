//! The cache of answers, in a real server over HTTP. The figures of the server count its work, so the bounds are exact
//! and no clock is in them.

use std::net::SocketAddr;

use bytes::Bytes;
use requery::protocol::Cursor;
use requery::server::access::scope::Scope;
use requery::server::config::ServerConfig;
use requery::server::database::Database;
use requery::server::metrics::{AnswerSource, Answered, Operation};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::Ws;
use crate::store::Store;

mod codings;
mod equal;
mod flights;
mod storms;
mod writes;

const OVERVIEW: &str = "/api/v1/overview";

/// A server in the process of the test, which reads the figures of the server.
struct Cached {
    database: Database,
    address: SocketAddr,
    http: reqwest::Client,
    store: Store,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

/// The answer to a request, with its bytes as they were sent.
struct Got {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Bytes,
}

/// Figures of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Work {
    queries: u64,
    encoded: u64,
    compressed: u64,
    not_modified: u64,
    memory: u64,
    database: u64,
}

impl Cached {
    async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::of(folder.path());
        let mut config = ServerConfig::new(store.location());
        change(&mut config);
        let database = Database::open(config.database.clone()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let (served, ending) = (database.clone(), shutdown.clone());
        let serving = tokio::spawn(async move {
            let ready = || ready.send(()).unwrap();
            requery::server::run_on(served, listener, config, ending, ready).await.unwrap();
        });
        is_ready.await.unwrap();
        let http = reqwest::Client::new();
        Self { database, address, http, store, shutdown, serving, _folder: folder }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap();
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Got {
        let mut request = self.http.get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Got { status, headers, body: answer.bytes().await.unwrap() }
    }

    /// Sends a write and returns its cursor and its body.
    async fn write(&self, method: &str, path: &str, body: Value) -> (Cursor, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("http://{}{path}", self.address));
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        let cursor = answer.headers()["requery-cursor"].to_str().unwrap().parse().unwrap();
        (cursor, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// Begins a task and returns its id.
    async fn task(&self, title: &str, project: &str) -> String {
        let (_, row) = self.write("POST", "/api/v1/tasks", json!({"title": title, "project": project})).await;
        row["task_id"].as_str().unwrap().to_owned()
    }

    async fn rename(&self, task: &str, title: &str) -> Cursor {
        self.write("PATCH", &format!("/api/v1/tasks/{task}"), json!({ "title": title })).await.0
    }

    /// Logs an event on a task.
    async fn log(&self, task: &str) -> Cursor {
        self.write("POST", &format!("/api/v1/tasks/{task}/events"), json!({"kind": "log", "title": "one more"})).await.0
    }

    /// Runs SQL in another process.
    async fn sql(&self, sql: &str) -> String {
        let (store, sql) = (self.store.clone(), sql.to_owned());
        tokio::task::spawn_blocking(move || store.sql(&sql)).await.unwrap()
    }

    async fn ws(&self) -> Ws {
        let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", self.address)).await.unwrap();
        let mut ws = Ws(socket);
        ws.frame().await;
        ws
    }

    /// Waits until a stream has sent every change so far: the cache has noted them before.
    async fn until_told(&self, ws: &mut Ws) {
        let now = self.database.snapshot(Scope::All).await.unwrap().cursor().clone();
        loop {
            let frame = ws.frame().await;
            let cursor: Cursor = frame["cursor"].as_str().unwrap().parse().unwrap();
            if cursor.covers(&now) {
                return;
            }
        }
    }

    fn work(&self) -> Work {
        let metrics = self.database.metrics();
        let operations = [
            "overview",
            "tasks",
            "projects",
            "task",
            "timeline",
            "bookmarks",
            "agents",
            "hooks_heard",
            "purge_dry_run",
            "search",
        ];
        let queries = |operation| metrics.queries.get_or_create(&Operation { operation }).get();
        let reads = |by| metrics.reads.get_or_create(&Answered { by }).get();
        Work {
            queries: operations.into_iter().map(queries).sum(),
            encoded: metrics.answers_encoded.get(),
            compressed: metrics.answers_compressed.get(),
            not_modified: reads(AnswerSource::NotModified),
            memory: reads(AnswerSource::Memory),
            database: reads(AnswerSource::Database),
        }
    }
}

impl Work {
    /// The work that was done since `before`.
    fn since(self, before: Work) -> Work {
        Work {
            queries: self.queries - before.queries,
            encoded: self.encoded - before.encoded,
            compressed: self.compressed - before.compressed,
            not_modified: self.not_modified - before.not_modified,
            memory: self.memory - before.memory,
            database: self.database - before.database,
        }
    }
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn cursor(&self) -> Cursor {
        self.header("requery-cursor").parse().unwrap()
    }
}
