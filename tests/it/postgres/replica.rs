//! One of the servers on a Postgres database, and short calls to it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use requery::protocol::Cursor;
use requery::server::config::ServerConfig;
use serde_json::{Value, json};

use crate::app::{App, PATIENCE, Ws};
use crate::cluster::TestDatabase;
use crate::rest::{Answer, Client};
use crate::store::Store;
use crate::viewer::{Rest, Viewer, settle};

/// A server in this process.
pub struct Replica {
    pub app: App,
    pub client: Client,
    database: TestDatabase,
}

impl Replica {
    pub async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, |_| ()).await
    }

    /// The same with other settings.
    pub async fn start_with(database: &TestDatabase, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let change = |config: &mut ServerConfig| {
            config.database = database.url.parse().unwrap();
            change(config);
        };
        let app = App::start_with(change).await;
        let client = Client::of(&app);
        Self { app, client, database: database.clone() }
    }

    /// A GET whose answer contains the changes of `cursor`.
    pub async fn get_at_least(&self, path: &str, cursor: &Cursor) -> Answer {
        self.client.send("GET", path, None::<String>, &[("requery-at-least", cursor.to_string())]).await
    }

    /// Starts a task and returns its id and the cursor of the answer.
    pub async fn add(&self, title: &str) -> (String, Cursor) {
        let answer = self.client.post("/api/v1/tasks", json!({ "title": title })).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        (answer.text_at("/task_id"), cursor_of(&answer))
    }

    /// A stream from its first frame on.
    pub async fn stream(&self, query: &str) -> (Ws, Value) {
        let mut ws = self.app.ws(query).await;
        let first = ws.frame().await;
        (ws, first)
    }

    /// How often the server read a read model from the database.
    pub async fn queries(&self, operation: &str) -> u64 {
        let text = self.client.get("/metrics").await.text;
        let name = format!("requery_queries_total{{operation=\"{operation}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
    }

    /// Waits until the server answers from the database, and until each later answer has every write so far.
    pub async fn until_known(&self) {
        let until = Instant::now() + PATIENCE;
        let path = format!("/api/v1/tasks/{}", uuid::Uuid::now_v7());
        while self.client.get(&path).await.status != 404 {
            assert!(Instant::now() < until, "the server does not reach its database in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Checks that the viewers of this server show the state of the database.
    pub async fn settle(&self, viewers: &[&Viewer]) {
        self.until_known().await;
        let rest = Rest::at(self.app.url("")).bearing_outages();
        settle(viewers, &rest, &Store::Postgres(self.database.clone())).await;
    }
}

/// The cursor of an answer.
pub fn cursor_of(answer: &Answer) -> Cursor {
    answer.header("requery-cursor").parse().unwrap_or_else(|_| panic!("no cursor: {} {}", answer.status, answer.text))
}

pub fn kind(frame: &Value) -> &str {
    frame["type"].as_str().unwrap()
}

/// The frames up to the notice that the task was started.
pub async fn until_started(ws: &mut Ws, task: &str) -> Vec<Value> {
    let mut frames = Vec::new();
    loop {
        let frame = ws.frame().await;
        let is_last = kind(&frame) == "task.started" && frame["payload"]["task_id"] == task;
        frames.push(frame);
        if is_last {
            return frames;
        }
    }
}

/// The read models that the first frame of a stream that was resumed lists.
pub fn resumed(first: &Value) -> BTreeSet<String> {
    assert_eq!(kind(first), "resumed", "{first}");
    let listed = first["payload"]["stale"].as_array().unwrap();
    listed.iter().map(|model| model.as_str().unwrap_or_else(|| panic!("{first}")).to_owned()).collect()
}

/// The same read models as a text with the names of the changed tasks.
pub fn models(tasks: &[&str]) -> BTreeSet<String> {
    tasks.iter().map(|task| format!("task:{task}")).chain(["overview".to_owned()]).collect()
}
