//! Somebody who looks at screens: a client, what it watches, and whether that is what the server holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use requery::client::{Body, Client, Config, State, Status, Watch};
use requery::engine::EngineSettings;
use requery::protocol::{Cursor, ReadModel};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::app::sqlite3;

/// How long it may take until everything is true again: a bound, not an expectation.
pub const SETTLED: Duration = Duration::from_secs(20);

/// Nobody asks without a reason within a test: what is missed stays missed, and is seen.
pub fn without_safety(mut settings: EngineSettings) -> EngineSettings {
    settings.safety = Duration::from_secs(24 * 3600);
    settings
}

/// A client and what it watches.
pub struct Viewer {
    pub name: &'static str,
    pub client: Arc<Client>,
    watches: Arc<Mutex<BTreeMap<ReadModel, Watch>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    _observer: AbortOnDropHandle<()>,
}

impl Viewer {
    /// Looks at nothing yet.
    pub fn connect(name: &'static str, server: &str, settings: EngineSettings) -> Self {
        Self::open(name, server, settings, false)
    }

    /// Looks at the overview, the bookmarks and each task that appears.
    pub fn follow(name: &'static str, server: &str, settings: EngineSettings) -> Self {
        let viewer = Self::open(name, server, settings, true);
        viewer.watch(ReadModel::Overview);
        viewer.watch(ReadModel::Bookmarks);
        viewer
    }

    fn open(name: &'static str, server: &str, settings: EngineSettings, follow: bool) -> Self {
        let config = Config { settings: without_safety(settings), ..Config::new(server) };
        let client = Arc::new(Client::connect(config).unwrap());
        let (watches, wrong) = (Arc::default(), Arc::default());
        let observer = observe(client.clone(), Arc::clone(&watches), Arc::clone(&wrong), follow);
        Self { name, client, watches, wrong, _observer: AbortOnDropHandle::new(tokio::spawn(observer)) }
    }

    pub fn watch(&self, model: ReadModel) {
        self.watches.lock().unwrap().entry(model.clone()).or_insert_with(|| self.client.watch(model));
    }

    pub fn unwatch(&self, model: &ReadModel) {
        self.watches.lock().unwrap().remove(model);
    }

    pub fn watched(&self) -> Vec<ReadModel> {
        self.watches.lock().unwrap().keys().cloned().collect()
    }

    /// What is held of the overview's figures; null before there are any.
    pub fn stats(&self) -> Value {
        let Some(Body::Overview { figures, .. }) = self.body(&ReadModel::Overview) else { return Value::Null };
        serde_json::from_slice::<Value>(&figures).unwrap()["stats"].take()
    }

    /// The titles of the first page of tasks, as it is held.
    pub fn titles(&self) -> Vec<String> {
        let Some(body) = self.body(&ReadModel::Overview) else { return Vec::new() };
        body.overview().unwrap().unwrap().1.items.into_iter().map(|task| task.title).collect()
    }

    fn body(&self, model: &ReadModel) -> Option<Body> {
        self.watches.lock().unwrap().get(model)?.view().body
    }

    /// What is not as the server answers, or not known to be.
    async fn differences(&self, rest: &Rest) -> Vec<String> {
        let mut found = self.wrong.lock().unwrap().clone();
        if self.client.status() != Status::Live {
            found.push(format!("the status is {:?}", self.client.status()));
        }
        for model in self.watched() {
            let answer = rest.body(&model).await;
            let Some(view) = self.watches.lock().unwrap().get(&model).map(Watch::view) else { continue };
            let state = if answer.is_none() { State::Gone } else { State::Fresh };
            if view.state != state {
                found.push(format!("{model} is {:?} for {:?} at {:?}", view.state, view.why, view.cursor));
            } else if answer.is_some() && view.body != answer {
                found.push(format!(
                    "{model} at {:?} is {}\ninstead of {}",
                    view.cursor,
                    show(&view.body),
                    show(&answer)
                ));
            }
        }
        found.iter().map(|difference| format!("{}: {difference}", self.name)).collect()
    }
}

/// Watches what appears, and that no cursor ever goes back.
async fn observe(
    client: Arc<Client>,
    watches: Arc<Mutex<BTreeMap<ReadModel, Watch>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    follow: bool,
) {
    let mut held: BTreeMap<ReadModel, Cursor> = BTreeMap::new();
    let mut changes = client.changes();
    while changes.next().await {
        let mut watches = watches.lock().unwrap();
        let mut appeared = Vec::new();
        for (model, watch) in watches.iter() {
            let view = watch.view();
            if let (true, Some(Ok((_, tasks)))) = (follow, view.body.as_ref().and_then(Body::overview)) {
                appeared.extend(tasks.items.into_iter().map(|task| ReadModel::Task(task.task_id)));
            }
            let Some(cursor) = view.cursor else { continue };
            if let Some(before) = held.insert(model.clone(), cursor.clone())
                && before.epoch() == cursor.epoch()
                && !cursor.covers(&before)
            {
                wrong.lock().unwrap().push(format!("{model} went back from {before} to {cursor}"));
            }
        }
        for model in appeared {
            watches.entry(model.clone()).or_insert_with(|| client.watch(model));
        }
    }
}

/// Waits until every viewer holds what the server answers, and the server answers what the database holds.
pub async fn settle(viewers: &[&Viewer], rest: &Rest, database: &Path) {
    let began = Instant::now();
    loop {
        let mut found = Vec::new();
        for viewer in viewers {
            found.extend(viewer.differences(rest).await);
        }
        if found.is_empty() {
            break;
        }
        assert!(began.elapsed() < SETTLED, "not settled:\n{}", found.join("\n"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let models = viewers.iter().flat_map(|viewer| viewer.watched()).collect::<std::collections::BTreeSet<_>>();
    for model in models {
        assert_eq!(stored(database, &model), rest.body(&model).await.as_ref().map(shown), "{model}");
    }
}

/// The server's answers, asked for directly.
#[derive(Clone)]
pub struct Rest {
    http: reqwest::Client,
    root: String,
}

impl Rest {
    pub fn at(root: impl Into<String>) -> Self {
        Self { http: reqwest::Client::new(), root: root.into() }
    }

    /// A body as a client holds it; none where there is no such thing.
    async fn body(&self, model: &ReadModel) -> Option<Body> {
        match model {
            ReadModel::Overview => {
                let figures = self.get("/api/v1/overview").await?;
                Some(Body::Overview { figures, tasks: self.get("/api/v1/tasks").await? })
            }
            ReadModel::Task(id) => self.get(&format!("/api/v1/tasks/{id}")).await.map(Body::Task),
            ReadModel::Bookmarks => self.get("/api/v1/bookmarks").await.map(Body::Bookmarks),
            other => panic!("no request for {other}"),
        }
    }

    async fn get(&self, path: &str) -> Option<bytes::Bytes> {
        let answer = self.http.get(format!("{}{path}", self.root)).send().await.unwrap();
        match answer.status().as_u16() {
            200 => Some(answer.bytes().await.unwrap()),
            404 => None,
            status => panic!("{path}: {status}"),
        }
    }

    /// Writes, and says the status; none where nobody answered.
    pub async fn write(&self, method: &str, path: &str, body: Value) -> Option<u16> {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.root));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        assert!(status < 500 || status == 503, "{method} {path} {body}: {status} {:?}", answer.text().await);
        Some(status)
    }
}

/// The part of a body that the database is asked for in other words.
fn shown(body: &Body) -> Value {
    let rows = |items: &Value, keys: &[&str]| -> Vec<Value> {
        items.as_array().unwrap().iter().map(|row| keys.iter().map(|key| row[key].clone()).collect()).collect()
    };
    match body {
        Body::Overview { figures, tasks } => {
            let (figures, tasks) = (read(figures), read(tasks));
            let stats = &figures["stats"];
            let stats = ["total_tasks", "running_tasks", "waiting_tasks", "completed_tasks", "errored_tasks"]
                .map(|figure| stats[figure].clone());
            json!([stats, figures["stats"]["total_events"], rows(&tasks["items"], &["task_id", "title", "status"])])
        }
        Body::Task(detail) => {
            let detail = read(detail);
            json!([
                rows(&json!([detail["task"]]), &["title", "status", "project"]),
                rows(&detail["sessions"], &["session_id", "status"]),
                rows(&detail["children"], &["task_id", "title", "status"]),
                rows(&detail["timeline"]["items"], &["event_id", "kind", "state", "title"]),
            ])
        }
        Body::Bookmarks(page) => json!(rows(&read(page)["items"], &["bookmark_id", "title", "note"])),
    }
}

/// The same from the database; none where there is no such thing.
fn stored(database: &Path, model: &ReadModel) -> Option<Value> {
    let list = |rows: &str| format!("(select json_group_array(json(row)) from ({rows}))");
    let sql = match model {
        ReadModel::Overview => {
            let count = |status: &str| format!("(select count(*) from tasks where status like '{status}')");
            format!(
                "select json_array(json_array({}, {}, {}, {}, {}), (select coalesce(sum(event_count), 0) from tasks), {})",
                count("%"),
                count("running"),
                count("waiting"),
                count("completed"),
                count("errored"),
                list(
                    "select json_array(id, title, status) as row from tasks order by changed_at desc, id desc limit 50"
                )
            )
        }
        ReadModel::Task(id) => format!(
            "select json_array(json_array(json_array(title, status, project)), {}, {}, {}) from tasks where id = '{id}'",
            list(&format!(
                "select json_array(id, status) as row from sessions where task_id = '{id}' \
                 order by started_at desc, id desc limit 100"
            )),
            list(&format!(
                "select json_array(id, title, status) as row from tasks where parent_task_id = '{id}' \
                 order by created_at desc, id desc limit 100"
            )),
            list(&format!(
                "select json_array(id, kind, state, title) as row from events where task_id = '{id}' \
                 order by position desc limit 50"
            )),
        ),
        ReadModel::Bookmarks => format!(
            "select {}",
            list("select json_array(id, title, note) as row from bookmarks order by updated_at desc, id desc limit 50")
        ),
        other => panic!("no statement for {other}"),
    };
    let text = sqlite3(database, &sql);
    (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
}

fn read(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

fn show(body: &Option<Body>) -> String {
    match body {
        None => "nothing".to_owned(),
        Some(Body::Overview { figures, tasks }) => {
            format!("{} {}", String::from_utf8_lossy(figures), String::from_utf8_lossy(tasks))
        }
        Some(Body::Task(json) | Body::Bookmarks(json)) => String::from_utf8_lossy(json).into_owned(),
    }
}
