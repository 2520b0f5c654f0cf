//! A day of agents from the recordings. Meanwhile the server is killed twice, and another program writes to its database. In
//! the end no record is lost or stored twice, and every client shows the state of the database without a reload.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use requery::engine::EngineSettings;
use requery::protocol::ReadModel;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::app::by_engine;
use crate::proxy::Proxy;
use crate::store::Store;
use crate::viewer::{Rest, Viewer, settle};

/// A bound far above the time that each step takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// The number of records in the recordings, and the number of events that they make.
const RECORDS: u64 = 622 + 54;
const EVENTS: u64 = 349 + 36;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn screens_converge_after_the_server_is_killed_while_sqlite3_writes() {
    let mut server = Server::start().await;
    let mut quick_retry = EngineSettings::default();
    quick_retry.backoff_most = Duration::from_secs(2);
    let by_socket = Viewer::follow("by WebSocket", &server.url(), quick_retry.clone());
    let proxy = Proxy::start(server.address, false).await;
    let by_events = Viewer::follow("by events", &proxy.url(), quick_retry);
    let viewers = [&by_socket, &by_events];
    let rest = Rest::at(server.url());

    let sql = "insert into tasks (title) values ('written beside'); select id from tasks where source = 'sql'";
    let beside = server.database().sql(sql);
    wait_for_title(&viewers, "written beside").await;
    // One of 20 answers is lost: the server has stored the record, and the agent gets no confirmation.
    let lossy = Proxy::start(server.address, false).await;
    lossy.lose_one_answer_of(20);
    let replays = [
        replay("claude-code-busy-day.jsonl", &lossy.url(), "1000"),
        replay("codex-two-sessions.jsonl", &lossy.url(), "60"),
    ];

    wait_for_events(&by_socket, 60).await;
    server.kill_in_the_middle().await;
    // No server runs during this write. The trigger logs the change, so the next server finds it.
    server.database().sql(&format!("update tasks set title = 'while it was away' where id = '{beside}'"));
    server.serve().await;
    wait_for_title(&viewers, "while it was away").await;
    let bookmark = json!({ "task_id": beside, "note": "look here" });
    assert_eq!(rest.write("PUT", "/api/v1/bookmarks", bookmark).await, Some(201));

    wait_for_events(&by_events, 180).await;
    server.kill_in_the_middle().await;
    server.serve().await;
    server.database().sql(&format!("update tasks set title = 'and back' where id = '{beside}'"));
    wait_for_title(&viewers, "and back").await;

    let mut retried = 0;
    for replay in replays {
        retried += replay.await.unwrap();
    }
    assert!(retried > RECORDS / 20, "{retried} records were sent again");
    settle(&viewers, &rest, &server.database()).await;
    for viewer in viewers {
        assert_eq!(viewer.stats()["total_events"], EVENTS, "{}", viewer.name);
        // The overview, the bookmarks, seven tasks of agents and the task that `sqlite3` inserted.
        assert_eq!(viewer.watched().len(), 2 + 7 + 1, "{}", viewer.name);
    }

    let undisturbed = Server::start().await;
    replay("claude-code-busy-day.jsonl", &undisturbed.url(), "max").await.unwrap();
    replay("codex-two-sessions.jsonl", &undisturbed.url(), "max").await.unwrap();
    for database in [server.database(), undisturbed.database()] {
        assert_eq!(database.sql("select count(*) from deliveries"), RECORDS.to_string());
    }
    assert_eq!(contents(&server.database()), contents(&undisturbed.database()));

    // A write by `sqlite3` to a task of an agent reaches the viewers too.
    server.database().sql("update tasks set title = 'renamed' where source = 'codex' and status = 'completed'");
    wait_for_title(&viewers, "renamed").await;
    settle(&viewers, &rest, &server.database()).await;
}

/// A client fetches each read model that a write of `sqlite3` changed exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sql_write_causes_one_refetch_of_each_watched_read_model() {
    let server = Server::start().await;
    let insert = "insert into tasks (title) values ('one'), ('two'); select id from tasks where title = 'one'";
    let id = server.database().sql(insert);
    let task = ReadModel::Task(id.parse().unwrap());
    let proxy = Proxy::start(server.address, true).await;
    let mut watching = WatchCommand::start(&["--task", &id, "--server", &proxy.url()]);
    let mut fresh = BTreeSet::new();
    while fresh.len() < 2 {
        let line = watching.fresh_line().await;
        fresh.insert(line["read_model"].as_str().unwrap().to_owned());
    }
    assert_eq!(fresh, BTreeSet::from(["overview".to_owned(), task.to_string()]));
    let before = proxy.requests().len();

    server.database().sql(&format!("update tasks set title = 'x' where id = '{id}'"));
    let mut lines = [watching.fresh_line().await, watching.fresh_line().await];
    lines.sort_by_key(|line| line["read_model"].to_string());
    for line in &lines {
        assert_eq!(line["why"], "task.updated");
    }
    assert_eq!(lines[0]["body"]["tasks"]["items"][0]["title"], "x");
    assert_eq!(lines[1]["body"]["task"]["title"], "x");
    // No further line may come. One second is enough for a wrong refetch to show.
    let more = timeout(Duration::from_secs(1), watching.fresh_line()).await;
    assert!(more.is_err(), "a further line: {more:?}");
    let mut requests = proxy.requests().split_off(before);
    requests.sort();
    assert_eq!(requests, ["GET /api/v1/overview", "GET /api/v1/tasks", &format!("GET /api/v1/tasks/{id}")]);
}

/// The binary with a database of its own, at an address that stays the same after a restart.
struct Server {
    address: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Server {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = serve(address, &Store::of(folder.path())).await;
        Self { address, folder, child }
    }

    /// Starts the server again at the same address.
    async fn serve(&mut self) {
        self.child = serve(self.address, &self.database()).await;
    }

    /// Kills the server while records are still to come.
    async fn kill_in_the_middle(&mut self) {
        self.child.kill().await.unwrap();
        let taken: u64 = self.database().sql("select count(*) from deliveries").parse().unwrap();
        assert!((1..RECORDS).contains(&taken), "{taken} of {RECORDS} records were taken");
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn database(&self) -> Store {
        Store::of(self.folder.path())
    }
}

async fn serve(address: SocketAddr, database: &Store) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_requery"))
        .args(["serve", "--listen", &address.to_string(), "--database-url"])
        .arg(database.argument())
        .env("REQUERY_LOG", "error")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, lines.next_line()).await.expect("the server prints a line in time").unwrap();
    assert_eq!(first.expect("a line"), format!("requery serves http://{address}"));
    // A full or closed pipe would disturb the server, so its further output is read and dropped.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    child
}

/// Replays a recording to its end, and returns the number of records that were sent again.
fn replay(file: &'static str, url: &str, speed: &'static str) -> tokio::task::JoinHandle<u64> {
    let url = url.to_owned();
    tokio::spawn(async move {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hooks").join(file);
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.arg("replay").arg(&file).args(["--speed", speed, "--server", &url]).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.expect("it ends in time").unwrap();
        let summary = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && summary.contains(" 0 failed, "), "{summary}");
        let retried = summary.split(" retried").next().and_then(|text| text.rsplit(' ').next());
        retried.unwrap().parse().unwrap()
    })
}

/// Waits until `viewer` shows at least so many events.
async fn wait_for_events(viewer: &Viewer, events: u64) {
    until(viewer, |viewer| viewer.stats()["total_events"].as_u64().is_some_and(|logged| logged >= events)).await;
}

/// Waits until every viewer shows a task with this title.
async fn wait_for_title(viewers: &[&Viewer], title: &str) {
    for viewer in viewers {
        until(viewer, |viewer| viewer.titles().iter().any(|shown| shown == title)).await;
    }
}

async fn until(viewer: &Viewer, shown: impl Fn(&Viewer) -> bool) {
    let mut changes = viewer.client.changes();
    let waited = async {
        while !shown(viewer) {
            assert!(changes.next().await, "{} has ended", viewer.name);
        }
    };
    let waited = timeout(PATIENCE, waited).await;
    assert!(waited.is_ok(), "{} shows {:?} {}", viewer.name, viewer.titles(), viewer.stats());
}

/// The rows made from the records of agents, without ids and times, which differ in each run.
fn contents(database: &Store) -> Vec<Value> {
    let sql = by_engine(
"
        select json_array('task', source, external_id, title, project, status, mode, workspace, status_reason, summary,
            task_counts.event_count, created_at <= status_since)
            from tasks join task_counts using (id) where source <> 'sql' order by source, external_id;
        select json_array('session', tasks.external_id, row_number() over of_task, sessions.source,
            runtime_session_id, sessions.status, sessions.summary, ended_at is not null)
            from sessions join tasks on tasks.id = task_id
            window of_task as (partition by task_id order by sessions.rowid)
            order by tasks.external_id, sessions.rowid;
        select json_array('event', tasks.external_id, row_number() over of_task, kind, family, lane, state,
            events.title, body, json(metadata), truncated, events.external_id,
            (select count(*) from sessions before where before.task_id = events.task_id and before.rowid <=
                (select rowid from sessions own where own.id = session_id)))
            from events join tasks on tasks.id = task_id
            window of_task as (partition by task_id order by position)
            order by tasks.external_id, position;
        select json_array('rows', kind, state, count(*)) from events group by kind, state order by kind, state;",
"
        select jsonb_build_array('task', source, external_id, title, project, status, mode, workspace, status_reason, summary,
            task_counts.event_count, created_at <= status_since)
            from tasks join task_counts using (id) where source <> 'sql' order by source, external_id;
        select jsonb_build_array('session', tasks.external_id, row_number() over of_task, sessions.source,
            runtime_session_id, sessions.status, sessions.summary, ended_at is not null)
            from sessions join tasks on tasks.id = task_id
            window of_task as (partition by task_id order by sessions.started_at, sessions.id)
            order by tasks.external_id, sessions.started_at, sessions.id;
        select jsonb_build_array('event', tasks.external_id, row_number() over of_task, kind, family, lane, state,
            events.title, body, metadata::jsonb, truncated, events.external_id,
            (select count(*) from sessions before where before.task_id = events.task_id and (before.started_at, before.id) <=
                (select own.started_at, own.id from sessions own where own.id = session_id)))
            from events join tasks on tasks.id = task_id
            window of_task as (partition by task_id order by position)
            order by tasks.external_id, position;
        select jsonb_build_array('rows', kind, state, count(*)) from events group by kind, state order by kind, state;",
    );
    let rows = database.sql(sql);
    rows.lines().map(|row| serde_json::from_str(row).unwrap_or_else(|error| panic!("{error}: {row}"))).collect()
}

/// `requery watch --json` and its output.
struct WatchCommand {
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    _child: Child,
}

impl WatchCommand {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(["watch", "--json", "--body"]).args(args).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        Self { lines: BufReader::new(child.stdout.take().unwrap()).lines(), _child: child }
    }

    /// The next line of a fresh read model. The lines of the connection and of stale read models are passed over.
    async fn fresh_line(&mut self) -> Value {
        loop {
            let line: Value = serde_json::from_str(&self.lines.next_line().await.unwrap().expect("a line")).unwrap();
            if line["state"] == "fresh" {
                return line;
            }
        }
    }
}
