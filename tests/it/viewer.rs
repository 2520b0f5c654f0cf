//! A client, the read models that it watches, and the comparison of its state with the server and the database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use requery::client::{AgentBody, Client, ClientConfig, HeldState, Status, View, WatchHandle};
use requery::engine::EngineSettings;
use requery::protocol::{Cursor, ReadModel};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::store::Store;

/// The longest time until all viewers show the state of the database again.
pub const SETTLE_LIMIT: Duration = Duration::from_secs(20);

/// Settings without the safety refetch, which would hide a lost notice from the test.
pub fn without_safety_refetch(mut settings: EngineSettings) -> EngineSettings {
    settings.safety = Duration::from_secs(24 * 3600);
    settings
}

/// A client and its watched read models.
pub struct Viewer {
    pub name: &'static str,
    pub client: Client,
    watches: Arc<Mutex<BTreeMap<ReadModel, WatchHandle<AgentBody>>>>,
    regressions: Arc<Mutex<Vec<String>>>,
    _observer: AbortOnDropHandle<()>,
}

impl Viewer {
    /// Connects without a watched read model.
    pub fn connect(name: &'static str, server: &str, settings: EngineSettings) -> Self {
        Self::open(name, server, settings, false)
    }

    /// Watches the overview, the bookmarks, and each task that appears in the overview.
    pub fn follow(name: &'static str, server: &str, settings: EngineSettings) -> Self {
        let viewer = Self::open(name, server, settings, true);
        viewer.watch(ReadModel::Overview);
        viewer.watch(ReadModel::Bookmarks);
        viewer
    }

    fn open(name: &'static str, server: &str, settings: EngineSettings, follow: bool) -> Self {
        let config = ClientConfig::new(server).with_settings(without_safety_refetch(settings));
        let client = Client::connect(config).unwrap();
        let (watches, regressions) = (Arc::default(), Arc::default());
        let observer = observe(client.clone(), Arc::clone(&watches), Arc::clone(&regressions), follow);
        Self { name, client, watches, regressions, _observer: AbortOnDropHandle::new(tokio::spawn(observer)) }
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

    /// The state and the cursor of each view.
    pub fn held(&self) -> Vec<(ReadModel, HeldState, Option<Cursor>)> {
        let watches = self.watches.lock().unwrap();
        let views = watches.iter().map(|(model, watch)| (model, watch.view()));
        views.map(|(model, view)| (model.clone(), view.state, view.cursor)).collect()
    }

    /// The figures of the held overview, or null before the first answer.
    pub fn stats(&self) -> Value {
        self.body(&ReadModel::Overview).map_or(Value::Null, |mut parts| parts[0]["stats"].take())
    }

    /// The titles of the held first page of tasks.
    pub fn titles(&self) -> Vec<String> {
        let Some(parts) = self.body(&ReadModel::Overview) else { return Vec::new() };
        parts[1]["items"].as_array().unwrap().iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect()
    }

    fn body(&self, model: &ReadModel) -> Option<Parts> {
        parts(&self.watches.lock().unwrap().get(model)?.view())
    }

    /// The read models that differ from the server's answers or are not fresh, and each cursor that went back.
    async fn differences(&self, rest: &Rest) -> Vec<String> {
        let mut differences = self.regressions.lock().unwrap().clone();
        if self.client.status() != Status::Live {
            differences.push(format!("the status is {:?}", self.client.status()));
        }
        for model in self.watched() {
            let answer = rest.body(&model).await;
            let Some(view) = self.watches.lock().unwrap().get(&model).map(WatchHandle::view) else { continue };
            let state = if answer.is_none() { HeldState::Gone } else { HeldState::Fresh };
            if view.state != state {
                differences.push(format!("{model} is {:?} for {:?} at {:?}", view.state, view.why, view.cursor));
            } else if answer.is_some() && parts(&view) != answer {
                differences.push(format!(
                    "{model} at {:?} is {}\ninstead of {}",
                    view.cursor,
                    body_text(&parts(&view)),
                    body_text(&answer)
                ));
            }
        }
        differences.iter().map(|difference| format!("{}: {difference}", self.name)).collect()
    }
}

/// Watches the tasks that appear, and records each cursor that goes back within an epoch.
async fn observe(
    client: Client,
    watches: Arc<Mutex<BTreeMap<ReadModel, WatchHandle<AgentBody>>>>,
    regressions: Arc<Mutex<Vec<String>>>,
    follow: bool,
) {
    let mut held: BTreeMap<ReadModel, Cursor> = BTreeMap::new();
    let mut changes = client.changes();
    while changes.next().await {
        let mut watches = watches.lock().unwrap();
        let mut appeared = Vec::new();
        for (model, watch) in watches.iter() {
            let view = watch.view();
            if let (true, Some(AgentBody::Overview(body))) = (follow, view.value.as_deref()) {
                appeared.extend(body.tasks.items.iter().map(|task| ReadModel::Task(task.task_id.clone())));
            }
            let Some(cursor) = view.cursor else { continue };
            if let Some(before) = held.insert(model.clone(), cursor.clone())
                && before.epoch() == cursor.epoch()
                && !cursor.covers(&before)
            {
                regressions.lock().unwrap().push(format!("{model} went back from {before} to {cursor}"));
            }
        }
        for model in appeared {
            watches.entry(model.clone()).or_insert_with(|| client.watch(model));
        }
    }
}

/// Waits until the state of every viewer equals the answers of the server, and checks these against the database.
pub async fn settle(viewers: &[&Viewer], rest: &Rest, database: &Store) {
    let began = Instant::now();
    loop {
        let mut differences = Vec::new();
        for viewer in viewers {
            differences.extend(viewer.differences(rest).await);
        }
        if differences.is_empty() {
            break;
        }
        assert!(began.elapsed() < SETTLE_LIMIT, "not settled:\n{}", differences.join("\n"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let models = viewers.iter().flat_map(|viewer| viewer.watched()).collect::<std::collections::BTreeSet<_>>();
    for model in models {
        assert_eq!(
            stored(database, &model),
            rest.body(&model).await.map(|parts| comparable(&model, &parts)),
            "{model}"
        );
    }
}

/// Requests to the server without the client module.
#[derive(Clone)]
pub struct Rest {
    http: reqwest::Client,
    root: String,
    bears_outages: bool,
}

impl Rest {
    pub fn at(root: impl Into<String>) -> Self {
        Self { http: reqwest::Client::new(), root: root.into(), bears_outages: false }
    }

    /// A read that gets 503 is repeated: the server can still be in doubt about its file for a moment.
    pub fn bearing_outages(self) -> Self {
        Self { bears_outages: true, ..self }
    }

    /// A body as a client holds it, or `None` for 404.
    pub async fn body(&self, model: &ReadModel) -> Option<Parts> {
        match model {
            ReadModel::Overview => Some(vec![self.get("/api/v1/overview").await?, self.get("/api/v1/tasks").await?]),
            ReadModel::Task(id) => Some(vec![self.get(&format!("/api/v1/tasks/{id}")).await?]),
            ReadModel::Bookmarks => Some(vec![self.get("/api/v1/bookmarks").await?]),
            other => panic!("add the request for {other} here"),
        }
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let began = Instant::now();
        loop {
            let answer = self.http.get(format!("{}{path}", self.root)).send().await.unwrap();
            match answer.status().as_u16() {
                200 => return Some(read(&answer.bytes().await.unwrap())),
                404 => return None,
                503 if self.bears_outages && began.elapsed() < SETTLE_LIMIT => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                status => panic!("{path}: {status}"),
            }
        }
    }

    /// Sends a write and returns the status, or `None` without an answer.
    pub async fn write(&self, method: &str, path: &str, body: Value) -> Option<u16> {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.root));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        assert!(status < 500 || status == 503, "{method} {path} {body}: {status} {:?}", answer.text().await);
        Some(status)
    }
}

/// The part of a body that [`stored`] selects from the database.
fn comparable(model: &ReadModel, parts: &Parts) -> Value {
    let rows = |items: &Value, keys: &[&str]| -> Vec<Value> {
        items.as_array().unwrap().iter().map(|row| keys.iter().map(|key| row[key].clone()).collect()).collect()
    };
    let body = &parts[0];
    match model {
        ReadModel::Overview => {
            let stats = &body["stats"];
            let total_events = &stats["total_events"];
            let stats = ["total_tasks", "running_tasks", "waiting_tasks", "completed_tasks", "errored_tasks"]
                .map(|figure| stats[figure].clone());
            json!([stats, total_events, rows(&parts[1]["items"], &["task_id", "title", "status"])])
        }
        ReadModel::Task(_) => json!([
            rows(&json!([body["task"]]), &["title", "status", "project"]),
            rows(&body["sessions"], &["session_id", "status"]),
            rows(&body["children"], &["task_id", "title", "status"]),
            rows(&body["timeline"]["items"], &["event_id", "kind", "state", "title"]),
        ]),
        ReadModel::Bookmarks => json!(rows(&body["items"], &["bookmark_id", "title", "note"])),
        other => panic!("add the read model {other} here"),
    }
}

/// The same values selected from the database, or `None` for a task that does not exist.
fn stored(database: &Store, model: &ReadModel) -> Option<Value> {
    let (array, of_rows) = match database {
        Store::File(_) => ("json_array", "json_group_array(json(shown))"),
        Store::Postgres(_) => ("json_build_array", "coalesce(json_agg(shown), '[]')"),
    };
    let list = |rows: &str| format!("(select {of_rows} from ({rows}) as listed)");
    let sql = match model {
        ReadModel::Overview => {
            let count = |status: &str| format!("(select count(*) from tasks where status like '{status}')");
            format!(
                "select {array}({array}({}, {}, {}, {}, {}), (select coalesce(sum(event_count), 0) from task_counts), {})",
                count("%"),
                count("running"),
                count("waiting"),
                count("completed"),
                count("errored"),
                list(&format!(
                    "select {array}(id, title, status) as shown from tasks join task_counts using (id)
                        order by task_counts.changed_at desc, id desc limit 50"
                ))
            )
        }
        ReadModel::Task(id) => format!(
            "select {array}({array}({array}(title, status, project)), {}, {}, {}) from tasks where id = '{id}'",
            list(&format!(
                "select {array}(id, status) as shown from sessions where task_id = '{id}' \
                 order by started_at desc, id desc limit 100"
            )),
            list(&format!(
                "select {array}(id, title, status) as shown from tasks where parent_task_id = '{id}' \
                 order by created_at desc, id desc limit 100"
            )),
            list(&format!(
                "select {array}(id, kind, state, title) as shown from events where task_id = '{id}' \
                 order by position desc limit 50"
            )),
        ),
        ReadModel::Bookmarks => format!(
            "select {}",
            list(&format!(
                "select {array}(id, title, note) as shown from bookmarks order by updated_at desc, id desc limit 50"
            ))
        ),
        other => panic!("add the statement for {other} here"),
    };
    let text = database.sql(&sql);
    (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
}

fn read(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

fn body_text(body: &Option<Parts>) -> String {
    body.as_ref().map_or_else(|| "no body".to_owned(), |parts| json!(parts).to_string())
}

/// The JSON of a body: one value for each request.
pub type Parts = Vec<Value>;

fn parts(view: &View<AgentBody>) -> Option<Parts> {
    view.value.as_ref().map(|_| view.parts.iter().map(|part| read(part)).collect())
}
