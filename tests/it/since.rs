//! Reads with `since`: the changes, merged by the rule of the contract, equal the whole answer.

mod merge;
mod plain;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proptest::prelude::*;
use requery::protocol::{Cursor, limits};
use requery::server::access::scope::Scope;
use requery::server::config::ServerConfig;
use requery::server::database::Database;
use requery::server::read;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{App, PATIENCE, on_sqlite_only};
use crate::property::world::{End, Sql, Write, id, request, statement};
use crate::property::{sql, write};
use crate::random_cases::with_real_server;
use crate::store::{Store, any_text, assert_same_cursor};
use merge::merge;
use plain::{PLAIN, plain};

#[derive(Clone, Debug)]
enum Step {
    Write(Write),
    Sql(Sql),
    /// A statement of [`plain`].
    Plain(u8, u8),
    Ask(prop::sample::Index),
    Restart(End),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => write().prop_map(Step::Write),
        2 => sql().prop_map(Step::Sql),
        5 => (0..PLAIN, 0..3u8).prop_map(|(which, task)| Step::Plain(which, task)),
        12 => any::<prop::sample::Index>().prop_map(Step::Ask),
        1 => prop_oneof![Just(End::Stopped), Just(End::Crashed)].prop_map(Step::Restart),
    ]
}

/// The answers of a path that callers hold, the newest first, each with its cursor.
struct Held {
    path: String,
    answers: Vec<(Value, String)>,
}

struct Client {
    app: App,
    http: reqwest::Client,
    /// How many callers hold an answer of each path, from one state and the states before.
    callers: usize,
    held: Vec<Held>,
    /// How many requests with `since` there were, by [`read_of`], and how many had an answer with changes.
    asked: [u32; READS.len()],
    merged: [u32; READS.len()],
}

/// The reads that take `since`.
const READS: [&str; 4] = ["tasks", "detail", "timeline", "bookmarks"];

/// The place of the read of a path in [`READS`].
fn read_of(path: &str) -> usize {
    let read = match path.split_once('?').unwrap().0 {
        "tasks" => "tasks",
        "bookmarks" => "bookmarks",
        path if path.ends_with("/timeline") => "timeline",
        _ => "detail",
    };
    READS.iter().position(|name| *name == read).unwrap()
}

/// No answer is sent whole because it is short.
fn tell_all_changes(config: &mut ServerConfig) {
    config.short_answer = 0;
}

impl Client {
    async fn new() -> Self {
        let (task, other) = (id(0, 0), id(0, 1));
        let paths = [
            "tasks?limit=2".to_owned(),
            "tasks?limit=50".to_owned(),
            "tasks?limit=3&project=p".to_owned(),
            "tasks?limit=50&project=q".to_owned(),
            "tasks?limit=2&status=running".to_owned(),
            "tasks?limit=50&status=completed&project=p".to_owned(),
            format!("tasks?limit=50&parent={task}"),
            format!("tasks/{task}?"),
            format!("tasks/{other}?"),
            format!("tasks/{other}?project=p"),
            format!("tasks/{task}/timeline?limit=4"),
            format!("tasks/{task}/timeline?limit=50"),
            format!("tasks/{other}/timeline?limit=3&project=p"),
            "bookmarks?limit=2".to_owned(),
            "bookmarks?limit=50&project=p".to_owned(),
            format!("bookmarks?limit=50&task_id={task}"),
        ];
        let held = paths.into_iter().map(|path| Held { path, answers: Vec::new() }).collect();
        let app = App::start_with(tell_all_changes).await;
        let http = reqwest::Client::new();
        Self { app, http, callers: 1, held, asked: [0; READS.len()], merged: [0; READS.len()] }
    }

    async fn get(&self, path: &str) -> (StatusCode, Value, String) {
        let url = self.app.url(&format!("/api/v1/{path}"));
        // The server opens the file again after a program deleted changes that were not read yet.
        let until = Instant::now() + PATIENCE;
        let answer = loop {
            let answer = self.http.get(&url).send().await.unwrap();
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE || Instant::now() > until {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        assert!(headers.contains_key("requery-cursor"), "{status} {path}: {:?}", answer.text().await);
        let cursor = headers["requery-cursor"].to_str().unwrap().to_owned();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(), cursor)
    }

    /// The callers that hold an answer request its changes at once. Each merges its changes, and the merged answer is
    /// compared with the whole one.
    async fn ask(&mut self, at: usize) {
        let path = self.held[at].path.clone();
        let mut answers = std::mem::take(&mut self.held[at].answers);
        let requests = answers.iter().map(|(_, cursor)| format!("{path}&since={cursor}"));
        let changes = join_all(requests.map(async |request| self.get(&request).await)).await;
        let (status, whole, cursor) = self.get(&path).await;
        for ((held, _), (changed_status, answer, merged_cursor)) in answers.iter().zip(changes) {
            assert_eq!(changed_status, status, "{path}");
            if status == StatusCode::OK {
                self.asked[read_of(&path)] += 1;
                self.merged[read_of(&path)] += u32::from(answer["full"] == false);
                assert_eq!(merge(held, &answer), whole, "{path}\nheld {held}\nanswer {answer}");
                assert_same_cursor(&cursor, &merged_cursor, &path);
            }
        }
        if let (Some(next), true) = (whole["next"].as_str(), self.held.len() < 24 && !path.contains("before")) {
            self.held.push(Held { path: format!("{path}&before={next}"), answers: Vec::new() });
        }
        if status != StatusCode::OK {
            answers.clear();
        } else {
            answers.truncate(self.callers - 1);
            answers.insert(0, (whole, cursor));
        }
        self.held[at].answers = answers;
    }

    async fn apply(mut self, step: Step) -> Self {
        match step {
            Step::Write(write) => {
                let (method, path, body) = request(&write);
                self.send(method, &path, &body).await;
            }
            Step::Sql(sql) => self.sql(statement(&sql)).await,
            Step::Plain(which, task) => self.sql(plain(which, task)).await,
            Step::Ask(index) => {
                let at = index.index(self.held.len());
                self.ask(at).await;
            }
            Step::Restart(end) => {
                let Self { app, http, callers, held, asked, merged } = self;
                let folder = match end {
                    End::Stopped => app.stop().await,
                    End::Crashed => app.crash().await,
                };
                let app = App::start_in(folder, tell_all_changes).await;
                self = Self { app, http, callers, held, asked, merged };
            }
        }
        self
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> StatusCode {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, self.app.url(path)).header("content-type", "application/json");
        request.body(body.to_string()).send().await.unwrap().status()
    }

    async fn sql(&self, sql: String) {
        tokio::task::block_in_place(|| self.app.sql_seen(&sql));
    }
}

/// The requests with `since` of all cases and their answers with changes, by [`READS`].
static ASKED: [AtomicU32; READS.len()] = [const { AtomicU32::new(0) }; READS.len()];
static MERGED: [AtomicU32; READS.len()] = [const { AtomicU32::new(0) }; READS.len()];

proptest! {
    #![proptest_config(with_real_server(12, 12))]

    #[test]
    fn merged_changes_equal_the_whole_answer(steps in prop::collection::vec(step(), 20..80)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = Client::new().await;
            client.callers = 3;
            let tasks: String = (0..4).map(|task| statement(&Sql::Insert(task))).collect();
            client.sql(tasks).await;
            for at in 0..client.held.len() {
                client.ask(at).await;
            }
            for step in steps {
                client = client.apply(step).await;
            }
            for at in 0..client.held.len() {
                client.ask(at).await;
            }
            for at in 0..READS.len() {
                ASKED[at].fetch_add(client.asked[at], Ordering::Relaxed);
                MERGED[at].fetch_add(client.merged[at], Ordering::Relaxed);
            }
            client.app.stop().await;
        });
        for (at, read) in READS.iter().enumerate() {
            let (asked, merged) = (ASKED[at].load(Ordering::Relaxed), MERGED[at].load(Ordering::Relaxed));
            // More than half of them have changes. A few answers prove no share.
            assert!(asked < 24 || merged * 6 >= asked, "{read}: {merged} of {asked} answers have changes");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_each_kind_is_sent_alone() {
    let mut client = Client::new().await;
    let tasks: String = (0..4).map(|task| statement(&Sql::Insert(task))).collect();
    client.sql(tasks).await;
    client.sql(plain(12, 0) + &plain(14, 0) + &plain(16, 0) + &plain(2, 0)).await;
    for at in 0..client.held.len() {
        client.ask(at).await;
    }
    let task = id(0, 0);
    for (which, path, expected) in [
        (12, format!("tasks/{task}/timeline?limit=50"), json!([["at", 0]])),
        (9, format!("tasks/{task}/timeline?limit=50"), json!("some")),
        (4, format!("tasks/{task}?"), json!("sessions")),
        (7, format!("tasks/{task}?"), json!("usage")),
        (8, format!("tasks/{task}?"), json!("todos")),
        // An event that is no file reads no file.
        (12, format!("tasks/{task}?"), json!("timeline")),
        (11, format!("tasks/{task}?"), json!("files")),
        (2, "bookmarks?limit=50&task_id=".to_owned() + &task, json!([["at", 0]])),
        (8, "tasks?limit=50".to_owned(), json!([["at", 0]])),
    ] {
        let (_, _, cursor) = client.get(&path).await;
        client.sql(plain(which, 0)).await;
        let (_, changes, _) = client.get(&format!("{path}&since={cursor}")).await;
        assert_eq!(changes["full"], false, "{path}: {changes}");
        if let Some(part) = expected.as_str().filter(|part| *part != "some") {
            assert!(!changes[part].is_null(), "{path}: {changes}");
            let parts = ["sessions", "children", "usage", "todos", "files"];
            let others = parts.iter().filter(|other| **other != part && !changes[**other].is_null());
            assert_eq!(others.count(), 0, "{path}: {changes}");
        } else if expected.is_array() {
            assert_eq!((changes["changed"].as_array().unwrap().len(), &changes["changed"][0]["at"]), (1, &json!(0)));
        }
        let (_, nothing, _) = {
            let (_, _, cursor) = client.get(&path).await;
            client.get(&format!("{path}&since={cursor}")).await
        };
        assert_eq!(nothing["full"], false, "{path}: {nothing}");
        assert!(nothing.to_string().len() < 250, "{nothing}");
    }
}

/// Makes the changes in turn. After each the detail of the task, merged from its changes, equals the whole one.
async fn merges_the_detail_after(changes: &[u8]) {
    let mut client = Client::new().await;
    client.sql(statement(&Sql::Insert(0))).await;
    client.held = vec![Held { path: format!("tasks/{}?", id(0, 0)), answers: Vec::new() }];
    client.ask(0).await;
    for (merged, which) in (1..).zip(changes) {
        client.sql(plain(*which, 0)).await;
        client.ask(0).await;
        assert_eq!(client.merged.iter().sum::<u32>(), merged, "after {which}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_the_id_of_its_task_is_sent() {
    merges_the_detail_after(&[16, 17, 8, 15, 5]).await;
}

/// The event was of a file, and the event that replaces it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_leaves_with_an_event_that_is_replaced_by_its_own_id() {
    merges_the_detail_after(&[11, 18]).await;
}

/// A row that leaves a list is taken out, and the list is filled up from below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_leave_are_taken_out_and_the_list_is_filled_up() {
    let mut client = Client::new().await;
    let task = id(0, 0);
    let tasks: String = (0..9).map(|task| statement(&Sql::Insert(task))).collect();
    client.sql(tasks + "insert into bookmarks (task_id) select id from tasks").await;
    client.sql(plain(14, 0) + &plain(14, 0) + &statement(&Sql::Log { task: 0, events: 9 })).await;
    let paths = [
        (
            "tasks?limit=6".to_owned(),
            "delete from tasks where id = (select id from tasks order by changed_at desc, id desc limit 1 offset 1)",
        ),
        ("tasks?limit=50".to_owned(), "delete from tasks where id = (select max(id) from tasks)"),
        (
            "tasks?limit=6&status=running".to_owned(),
            "update tasks set status = 'waiting' where id = (select max(id) from tasks)",
        ),
        ("tasks?limit=50&project=".to_owned(), "update tasks set project = 'p' where id = (select max(id) from tasks)"),
        (
            "bookmarks?limit=4".to_owned(),
            "delete from bookmarks where id = (select id from bookmarks order by updated_at desc, id desc limit 1)",
        ),
        ("bookmarks?limit=50".to_owned(), "delete from bookmarks where id = (select min(id) from bookmarks)"),
        (
            format!("tasks/{task}/timeline?limit=4"),
            "delete from events where position = (select max(position) from events)",
        ),
        (
            format!("tasks/{task}/timeline?limit=50"),
            "delete from events where position = (select min(position) from events)",
        ),
        (format!("tasks/{task}?"), "delete from events where position = (select max(position) from events)"),
        (format!("tasks/{task}?"), "delete from sessions where id = (select min(id) from sessions)"),
    ];
    for (path, change) in paths {
        client.held = vec![Held { path: path.clone(), answers: Vec::new() }];
        client.ask(0).await;
        client.sql(change.to_owned()).await;
        let merged: u32 = client.merged.iter().sum();
        client.ask(0).await;
        assert_eq!(client.merged.iter().sum::<u32>(), merged + 1, "{path} after {change}");
    }
    if on_sqlite_only("no program but the server prunes the log of Postgres") {
        return;
    }
    // The log does not tell of the pruned change any more.
    for path in ["tasks?limit=50".to_owned(), format!("tasks/{task}?"), "bookmarks?limit=50".to_owned()] {
        client.held = vec![Held { path, answers: Vec::new() }];
        client.ask(0).await;
        let gone = format!(
            "update tasks set title = {} where id = '{task}'; delete from bookmarks where task_id = '{task}'",
            any_text()
        );
        // The last change, whose row stays, is one of another read model.
        let (bookmark, title) = (plain(2, 0), format!("update tasks set model = {} where id = '{task}';", any_text()));
        let last = if client.held[0].path.starts_with("bookmarks") { bookmark + &title } else { bookmark };
        client.sql(gone + "; " + &last).await;
        client.app.until_folded().await;
        client.sql("delete from changes where id < (select max(id) from changes)".to_owned()).await;
        let merged: u32 = client.merged.iter().sum();
        client.ask(0).await;
        assert_eq!(client.merged.iter().sum::<u32>(), merged, "{}: the whole answer", client.held[0].path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_answer_comes_where_the_log_does_not_name_the_rows() {
    let client = Client::new().await;
    let task = id(0, 0);
    let detail = format!("tasks/{task}?");
    client.sql((0..4).map(|task| statement(&Sql::Insert(task))).collect()).await;
    let finish = format!("update tasks set status = 'completed' where id = '{}'", id(0, 3));
    for (change, paths) in [
        (
            "insert into changes (kind, project) values ('of.tomorrow', '')".to_owned(),
            vec!["tasks?", &detail, "bookmarks?"],
        ),
        (plain(6, 0), vec![&detail, "bookmarks?"]),
        (
            format!(
                "insert into changes (kind, project, task_id, status_changed) values ('task.updated', '', '{task}', 0)"
            ),
            vec![&detail],
        ),
        (
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < 501) \
             insert into changes (kind, project) select 'agent.changed', '' from n"
                .to_owned(),
            vec!["tasks?", &detail, "bookmarks?"],
        ),
        (finish, vec![]),
    ] {
        let mut held = Vec::new();
        for path in &paths {
            held.push(client.get(path).await);
        }
        client.sql(change.clone()).await;
        for (path, (_, _, cursor)) in paths.iter().zip(&held) {
            let (_, with, _) = client.get(&format!("{path}&since={cursor}")).await;
            let (_, without, _) = client.get(path).await;
            assert_eq!(with, without, "{path} after {change}");
        }
    }
    let paths = ["tasks?", &detail, "bookmarks?"];
    let mut cursors = Vec::new();
    for path in paths {
        cursors.push(client.get(path).await.2);
    }
    assert_eq!(client.send("POST", "/api/v1/tasks/purge", &json!({})).await, StatusCode::OK);
    for (path, cursor) in paths.iter().zip(cursors) {
        let ended = format!("of-another-history:{}", cursor.split_once(':').unwrap().1);
        for since in [cursor.as_str(), "no%20cursor", "", &ended] {
            let (status, with, _) = client.get(&format!("{path}&since={since}")).await;
            assert_eq!((status, with.get("full")), (StatusCode::OK, None), "{path} {since}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refetch_costs_as_much_as_the_change() {
    let folder = TempDir::new().unwrap();
    let store = Store::of(folder.path());
    let database = Database::open(store.location()).await.unwrap();
    let task = id(0, 0);
    store.sql(&format!(
        "insert into tasks (id, title) values ('{task}', 'long');
             with recursive n (i) as (select 1 union all select i + 1 from n where i < 100000)
             insert into events (task_id, kind, title) select '{task}', 'log', i from n"
    ));
    let cursor: Cursor = database.snapshot(Scope::All).await.unwrap().cursor().clone();
    store.sql(&format!("insert into events (task_id, kind) values ('{task}', 'log')"));
    // The rows, and the keys that a query returns in one row.
    let counts = || (database.metrics().rows_read.get(), database.metrics().keys_read.get());
    let rows_of = async |cursor: Option<&Cursor>| {
        let (rows, keys) = counts();
        let tx = database.snapshot(Scope::All).await.unwrap();
        let id = task.parse().unwrap();
        let some = match cursor {
            Some(cursor) => read::task_since::detail(&tx, &id, cursor).await.unwrap().is_some(),
            None => read::task::detail(&tx, &id).await.unwrap().is_some(),
        };
        assert!(some);
        (counts().0 - rows, counts().1 - keys)
    };
    let ((since, keys), (whole, _)) = (rows_of(Some(&cursor)).await, rows_of(None).await);
    assert!(since <= 10 && whole > 50, "{since} rows with since, {whole} without");
    // The changed event, and the places of one page.
    assert_eq!(keys, 1 + limits::DETAIL_EVENTS + 1, "keys with since");
    database.close("the test ended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_changes_of_one_event_are_short_on_the_wire() {
    let client = Client::new().await;
    let task = id(0, 0);
    client.sql(statement(&Sql::Insert(0)) + &statement(&Sql::Log { task: 0, events: 200 })).await;
    let (_, _, cursor) = client.get(&format!("tasks/{task}")).await;
    let event = json!({
        "kind": "tool", "family": "terminal", "state": "ok", "title": "cargo test --workspace",
        "body": "test result: ok. 212 passed; 0 failed; 0 ignored\n".repeat(5),
    });
    let logged = client.send("POST", &format!("/api/v1/tasks/{task}/events"), &event).await;
    assert_eq!(logged, StatusCode::CREATED);
    let size = async |query: &str| {
        let mut socket = TcpStream::connect(client.app.address).await.unwrap();
        let host = client.app.address;
        let request = format!(
            "GET /api/v1/tasks/{task}{query} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        answer.len()
    };
    let (changes, whole) = (size(&format!("?since={cursor}")).await, size("").await);
    println!("{changes} bytes with since, {whole} without");
    assert!(changes <= 1_500 && whole > changes, "{changes} bytes with since, {whole} without");
    let _: Arc<TempDir> = client.app.stop().await;
}
