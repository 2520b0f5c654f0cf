//! A server, both of its streams, and writes with named ids.
//!
//! `{a}` in a write stands for the id named `a`. The lines of the frames write that id as `a` again, and an id without
//! a name as `?`.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jsonschema::Validator;
use requery::server::change_log::fold;
use requery::server::database::{Database, OpenError};
use requery::server::http::document;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::app::{App, Engine, PATIENCE, Sse, Ws, by_engine, engine};
use crate::rest::Client;
use crate::store::Store;

/// The beginning of every named id.
const NAMED: &str = "0190b0a0-0000-7000-8000-";
/// A write whose notice differs from the notices of all other writes.
const SENTINEL: &str = "insert into tasks (title, project) values ('sentinel', 'sentinel')";

/// A server and its two streams.
pub struct Wire {
    pub app: App,
    pub ws: Ws,
    pub sse: Sse,
    client: Client,
    schemas: Schemas,
    /// The pragmas that the `sqlite3` process sets before it writes. Empty on Postgres.
    pub pragmas: &'static str,
}

impl Wire {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// A server whose database the other process writes with these pragmas.
    pub async fn start_with(pragmas: &'static str) -> Self {
        // No heartbeat comes between two frames.
        let app = App::start_with(|config| {
            config.window = Duration::from_millis(5);
            config.heartbeat = Duration::from_secs(300);
        })
        .await;
        let (mut ws, mut sse) = (app.ws("").await, app.sse("", "").await);
        let schemas = Schemas::read();
        schemas.check(&ws.frame().await);
        schemas.check(&sse.event().await.0);
        Self { client: Client::of(&app), app, ws, sse, schemas, pragmas }
    }

    /// Runs a write, which is a request or a statement, and compares its frames.
    pub async fn check(&mut self, write: &str, expected: &str) {
        self.write(write).await;
        let mut frames = self.frames().await;
        let mut expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        // The order within a transaction is that of the engine.
        if engine() == Engine::Postgres {
            frames.sort();
            expected.sort_unstable();
        }
        assert!(frames == expected, "{write}\n  sent:\n{}\n  expected:\n{}", frames.join("\n"), expected.join("\n"));
    }

    /// Runs a write that fails with `reason` in its message and sends no frame.
    pub async fn refuses(&mut self, write: &str, reason: &str) {
        let failed = match Request::parse(write) {
            Some(request) => {
                let answer = self.send(request).await;
                assert!(answer.status >= 400, "{write}: {}", answer.text);
                format!("{} {}", answer.status, answer.text)
            }
            None => self.try_sql(write).expect_err(write),
        };
        assert!(is_reason(&failed, reason), "{write}\n{failed}\nnot: {reason}");
        assert_eq!(self.frames().await, [""; 0], "{write}");
    }

    /// Runs one write: a request such as `POST /path {}`, otherwise SQL in one transaction of another process.
    pub async fn write(&mut self, write: &str) {
        match Request::parse(write) {
            Some(request) => {
                let answer = self.send(request).await;
                assert!(answer.status < 300, "{write}: {} {}", answer.status, answer.text);
            }
            None => drop(self.try_sql(write).unwrap_or_else(|error| panic!("{write}\n{error}"))),
        }
    }

    /// The frames sent since the last call, one line for each.
    pub async fn frames(&mut self) -> Vec<String> {
        self.app.sql(SENTINEL);
        self.frames_until("task.started task_id=? project=sentinel parent_task_id=null").await
    }

    /// The frames before the one with this line.
    pub async fn frames_until(&mut self, last: &str) -> Vec<String> {
        let mut frames = Vec::new();
        loop {
            let (frame, (event, id)) = (self.ws.frame().await, self.sse.event().await);
            assert_eq!(frame.to_string(), event.to_string(), "both streams carry the same frames");
            let more = frame.get("more").is_some();
            assert_eq!(id.as_deref(), frame["cursor"].as_str().filter(|_| !more), "{frame}");
            self.schemas.check(&frame);
            let line = line(&frame);
            if line == last {
                return frames;
            }
            frames.push(line);
        }
    }

    /// The output of `sqlite3` or `psql`.
    pub fn sql(&self, sql: &str) -> String {
        self.app.sql(&format!("{}{}", self.pragmas, expand(sql)))
    }

    /// Stops the server and compares the kept figures with figures counted from the tables. `event_count` counts
    /// all events ever logged, so the test passes the number of deleted events of each task.
    pub async fn check_figures(self, deleted_events: &[(&str, i64)]) {
        let folder = self.app.stop().await;
        check_figures(&folder, deleted_events).await;
    }

    fn try_sql(&self, sql: &str) -> Result<String, String> {
        let begin = by_engine("begin immediate", "begin");
        self.app.store().try_sql(&format!("{}{begin}; {}; commit", self.pragmas, expand(sql)))
    }

    async fn send(&self, Request { method, path, body }: Request) -> crate::rest::Answer {
        self.client.send(&method, &path, body, &[]).await
    }
}

/// Folds the log and compares the kept figures with figures counted from the tables.
pub async fn check_figures(folder: &Arc<TempDir>, deleted_events: &[(&str, i64)]) {
    let database = open(folder.path()).await;
    fold::fold_all(&database).await.unwrap();
    database.close("it was counted").await;
    let store = Store::of(folder.path());
    let kept = store.sql(
        "select project, figure, value from figures
         union all select project, 'hour.' || hour, events from activity order by 1, 2",
    );
    let counted = store.sql(
        "create temp view usage_of_tasks as
             select tasks.project, usage.input_tokens, usage.output_tokens, usage.cache_read_tokens,
                 usage.cache_write_tokens, usage.cost_usd_micros
             from usage join tasks on tasks.id = usage.task_id;
         select project, 'tasks.' || status as figure, count(*) from tasks group by 1, 2
         union all select project, 'source.' || source, count(*) from tasks group by 1, 2
         union all select project, 'events', sum(task_counts.event_count) from tasks join task_counts using (id)
             group by 1 having sum(task_counts.event_count) > 0
         union all select project, 'hour.' || (case when happened_at < at then happened_at else at end / 3600000), count(*) from changes
             where kind = 'event.logged' group by 1, 2
         union all select * from (
             select project, 'usage.answers', count(*) as value from usage_of_tasks group by 1
             union all select project, 'usage.answers_with_cost', count(cost_usd_micros) from usage_of_tasks group by 1
             union all select project, 'usage.cost_usd_micros', sum(cost_usd_micros) from usage_of_tasks group by 1
             union all select project, 'usage.input_tokens', sum(input_tokens) from usage_of_tasks group by 1
             union all select project, 'usage.output_tokens', sum(output_tokens) from usage_of_tasks group by 1
             union all select project, 'usage.cache_read_tokens', sum(cache_read_tokens) from usage_of_tasks group by 1
             union all select project, 'usage.cache_write_tokens', sum(cache_write_tokens) from usage_of_tasks group by 1
         ) as sums where value <> 0
         order by 1, 2",
    );
    assert_eq!(kept, counted, "the figures");
    let off = store.sql(
        "select id, gone from (
             select id, event_count - (select count(*) from events where task_id = task_counts.id) as gone
             from task_counts
         ) as counts where gone <> 0 order by id",
    );
    let expected: Vec<_> = deleted_events.iter().map(|(name, deleted)| format!("{}|{deleted}", id(name))).collect();
    assert_eq!(off.lines().collect::<Vec<_>>(), expected, "event_count");
    let orphans = "select 'session', id from sessions where task_id not in (select id from tasks)
        union all select 'event', id from events where task_id not in (select id from tasks)
        union all select 'bookmark', id from bookmarks where task_id not in (select id from tasks)
            or event_id not in (select id from events)
        union all select 'usage', answer_id from usage where task_id not in (select id from tasks)";
    assert_eq!(store.sql(orphans), "", "rows without a task");
    let elsewhere = "select bookmarks.id, bookmarks.project, tasks.project from bookmarks
        join tasks on tasks.id = bookmarks.task_id where bookmarks.project <> tasks.project";
    assert_eq!(store.sql(elsewhere), "", "bookmarks in another project than their task");
    assert_eq!(store.sql("select task_id from purging"), "");
    assert_eq!(store.sql(settling()), "");
}

/// Opens the database of the folder after its server ended. The lock of the file may outlive the server for a moment: a
/// process that another test forks at the same time inherits the lock until it executes its own program. So opening is
/// repeated.
pub async fn open(folder: &Path) -> Database {
    let opened = async {
        loop {
            match Database::open(Store::of(folder).location()).await {
                Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
                opened => return opened.unwrap(),
            }
        }
    };
    timeout(PATIENCE, opened).await.unwrap()
}

/// The rows that the triggers of SQLite note during a statement. The triggers of Postgres note none.
pub fn settling() -> &'static str {
    by_engine("select id from settling", "select 'none' where false")
}

/// The pragmas with which a test runs its writes. Postgres has none.
pub fn each_of(pragmas: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    let count = if engine() == Engine::Sqlite { pragmas.len() } else { 1 };
    pragmas.iter().take(count).copied()
}

/// The statement for the engine of this test run, or `None` if Postgres has no such statement.
pub fn portable(statement: &str) -> Option<String> {
    if engine() == Engine::Sqlite {
        return Some(statement.to_owned());
    }
    if let Some(rest) = statement.strip_prefix("insert or ignore into ") {
        return Some(format!("insert into {rest} on conflict do nothing"));
    }
    let is_of_sqlite = statement.contains("replace into ") || statement.starts_with("update or ");
    (!is_of_sqlite).then(|| statement.to_owned())
}

/// Whether an error text gives this reason, which is written as SQLite gives it.
fn is_reason(failed: &str, reason: &str) -> bool {
    if failed.contains(reason) || engine() == Engine::Sqlite {
        return failed.contains(reason);
    }
    if let Some(column) = reason.strip_prefix("NOT NULL constraint failed: ") {
        let (table, column) = column.split_once('.').unwrap();
        // The trigger that looks for the task runs before the check.
        return failed.contains(&format!("null value in column \"{column}\" of relation \"{table}\""))
            || failed.contains(&format!("{column}: there is no such"));
    }
    if reason.starts_with("UNIQUE constraint failed: ") {
        return failed.contains("duplicate key value violates unique constraint");
    }
    // A row of Postgres has no rowid.
    failed.contains(&reason.replace(", its rowid and ", " and ").replace(" and its rowid", ""))
}

/// The id with this name, of at most six letters.
pub fn id(name: &str) -> String {
    let hex = name.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    format!("{NAMED}{hex:0>12}")
}

/// Replaces each `{name}` by the id with this name.
pub fn expand(text: &str) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        expanded.push_str(before);
        match after.split_once('}') {
            Some((name, after)) if is_name(name) => {
                expanded.push_str(&id(name));
                rest = after;
            }
            _ => {
                expanded.push('{');
                rest = after;
            }
        }
    }
    expanded + rest
}

fn is_name(text: &str) -> bool {
    (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// A frame as one line: its type, its payload, and the number of changes that it stands for. The usual details are left
/// out: those of an event of the kind `log`, and of a change that leaves the status of the task.
fn line(frame: &Value) -> String {
    let usual = [("kinds", json!(["log"])), ("lanes", json!(["system"])), ("status_changed", json!(false))];
    let mut line = frame["type"].as_str().unwrap().to_owned();
    for (key, value) in frame["payload"].as_object().unwrap() {
        if usual.iter().any(|(name, usual)| name == key && usual == value) {
            continue;
        }
        let value = match value {
            Value::String(text) => name(text),
            other => other.to_string(),
        };
        write!(line, " {key}={value}").unwrap();
    }
    if let Some(count) = frame.get("count") {
        write!(line, " x{count}").unwrap();
    }
    line
}

pub fn name(text: &str) -> String {
    if let Some(hex) = text.strip_prefix(NAMED) {
        let bytes = (0..hex.len()).step_by(2).filter_map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok());
        return bytes.filter(|byte| *byte != 0).map(char::from).collect();
    }
    if text.parse::<requery::protocol::TaskId>().is_ok() { "?".to_owned() } else { text.to_owned() }
}

struct Request {
    method: String,
    path: String,
    body: Option<String>,
}

impl Request {
    fn parse(write: &str) -> Option<Self> {
        let (method, rest) = write.split_once(" /api/")?;
        let (path, body) = rest.split_once(' ').map_or((rest, None), |(path, body)| (path, Some(expand(body))));
        Some(Self { method: method.to_owned(), path: format!("/api/{}", expand(path)), body })
    }
}

/// The schemas of a frame in both documents.
pub struct Schemas {
    openapi: Validator,
    asyncapi: HashMap<String, Validator>,
}

impl Schemas {
    pub fn read() -> Self {
        let file = |name: &str| -> Value {
            let path = format!("{}/openapi/{name}", env!("CARGO_MANIFEST_DIR"));
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        let validator = |document: &Value, schema: &Value, convert: bool| {
            let mut schema = schema.clone();
            schema["components"] = document["components"].clone();
            if convert {
                document::json_schema(&mut schema);
            }
            jsonschema::validator_for(&schema).unwrap()
        };
        let (openapi, asyncapi) = (file("openapi.json"), file("asyncapi.json"));
        let messages = asyncapi["components"]["messages"].as_object().unwrap().iter();
        Self {
            openapi: validator(&openapi, &openapi["components"]["schemas"]["Frame"], true),
            asyncapi: messages
                .map(|(kind, message)| (kind.clone(), validator(&asyncapi, &message["payload"], false)))
                .collect(),
        }
    }

    pub fn check(&self, frame: &Value) {
        let kind = frame["type"].as_str().unwrap();
        for validator in [&self.openapi, &self.asyncapi[kind]] {
            let faults: Vec<String> = validator.iter_errors(frame).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{faults:?}\n{frame:#}");
        }
    }
}
