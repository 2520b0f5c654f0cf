//! Transactions that commit in another order than they began, that end without a commit, and that have many rows.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::replica::{Replica, kind, models, resumed, until_started};
use super::session::Session;
use crate::app::Ws;
use crate::cluster::{Cluster, TestDatabase};

/// The longest time until a stream shows a write, while another transaction is open.
const SOON: Duration = Duration::from_secs(3);

/// The task that the number names.
fn id(number: u32) -> String {
    format!("0190b0a0-0000-7000-8000-{number:012}")
}

fn insert(number: u32) -> String {
    format!("insert into tasks (id, title) values ('{}', 'task {number}')", id(number))
}

/// Writes a last task and returns the frames before its notice: all notices before it have come then.
async fn frames_before_mark(database: &TestDatabase, ws: &mut Ws) -> Vec<Value> {
    let mark = database.psql("insert into tasks (title) values ('mark') returning id");
    let mut frames = until_started(ws, &mark).await;
    frames.pop();
    frames
}

fn tasks_of(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["payload"]["task_id"].as_str().unwrap_or_else(|| panic!("{frame}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_delays_no_other_and_has_its_notice_at_its_commit() {
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    let mut ws = server.stream("").await.0;
    let mut sessions: Vec<_> = (0..3).map(|_| Session::open(&database)).collect();
    for (number, session) in (1..).zip(&mut sessions) {
        session.succeed(&format!("begin; {}", insert(number)));
    }
    for round in 0..10 {
        let began = Instant::now();
        let task = match round % 2 {
            0 => database.psql("insert into tasks (title) values ('by psql') returning id"),
            _ => server.add("by REST").await.0,
        };
        assert_eq!(tasks_of(&until_started(&mut ws, &task).await), [task.as_str()]);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
    // The transactions end in another order than they began: the second is rolled back.
    sessions[2].succeed("commit");
    assert_eq!(tasks_of(&frames_before_mark(&database, &mut ws).await), [id(3)]);
    sessions[1].succeed("rollback");
    assert_eq!(frames_before_mark(&database, &mut ws).await, Vec::<Value>::new());
    sessions[0].succeed("commit");
    assert_eq!(tasks_of(&frames_before_mark(&database, &mut ws).await), [id(1)]);
    server.until_known().await;
    let shown = server.client.get("/api/v1/overview").await.at("/stats/total_tasks");
    assert_eq!(shown.to_string(), database.psql("select count(*) from tasks"));
}

/// The cursor has the number of the open transaction, and all later cursors are ahead of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_from_before_a_commit_is_resumed_with_its_changes() {
    let database = Cluster::shared().create_database();
    let (a, b) = (Replica::start(&database).await, Replica::start(&database).await);
    let mut session = Session::open(&database);
    session.succeed(&format!("begin; {}", insert(1)));
    let (later, cursor) = a.add("later, and committed before").await;
    let (_, first) = b.stream("").await;
    b.until_known().await;
    let since = |cursor: &str| format!("?since={cursor}");
    let (_, open) = b.stream(&since(&cursor.to_string())).await;
    assert_eq!(resumed(&open), models(&[]).into_iter().filter(|model| model != "overview").collect(), "{open}");
    session.succeed("commit");
    a.until_known().await;
    b.until_known().await;
    for server in [&a, &b] {
        for before in [cursor.to_string(), open["cursor"].as_str().unwrap().to_owned()] {
            let (_, again) = server.stream(&since(&before)).await;
            assert_eq!(resumed(&again), models(&[&id(1)]), "{before}: {again}");
        }
        let (_, again) = server.stream(&since(first["cursor"].as_str().unwrap())).await;
        assert!(resumed(&again).contains(&format!("task:{}", id(1))), "{again}");
        assert!(!resumed(&again).contains(&format!("task:{later}")), "it was in the first frame: {again}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_savepoint_that_is_rolled_back_make_no_notice() {
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    let mut ws = server.stream("").await.0;
    database.psql(&format!(
        "begin; {}; savepoint s; {}; rollback to savepoint s; savepoint t; {}; release savepoint t; commit",
        insert(1),
        insert(2),
        insert(3)
    ));
    let frames = frames_before_mark(&database, &mut ws).await;
    assert_eq!(tasks_of(&frames), [id(1), id(3)]);
    assert_eq!(frames[0]["more"], true, "one transaction is one pass: {frames:?}");
    // A statement that fails takes its rows back as well.
    database.try_psql(&format!("begin; {}; insert into tasks (title) values (''); commit", insert(4))).unwrap_err();
    database.psql(&format!("begin; {}; rollback", insert(5)));
    assert_eq!(frames_before_mark(&database, &mut ws).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_transaction_has_its_notice_at_its_commit() {
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    let mut ws = server.stream("").await.0;
    let name = |number: u32| format!("'{}_{number}'", database.name);
    for number in [1, 2] {
        database.psql(&format!("begin; {}; prepare transaction {}", insert(number), name(number)));
    }
    let frames = frames_before_mark(&database, &mut ws).await;
    assert_eq!(frames, Vec::<Value>::new());
    let (_, cursor) = server.add("meanwhile").await;
    assert_eq!(frames_before_mark(&database, &mut ws).await.len(), 1);
    database.psql(&format!("commit prepared {}", name(1)));
    assert_eq!(tasks_of(&frames_before_mark(&database, &mut ws).await), [id(1)]);
    database.psql(&format!("rollback prepared {}", name(2)));
    assert_eq!(frames_before_mark(&database, &mut ws).await, Vec::<Value>::new());
    server.until_known().await;
    let listed = resumed(&server.stream(&format!("?since={cursor}")).await.1);
    assert!(listed.contains(&format!("task:{}", id(1))) && !listed.contains(&format!("task:{}", id(2))), "{listed:?}");
}

/// A pass of so many rows is read in parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_of_5000_rows_is_one_pass_with_all_rows() {
    const ROWS: u64 = 5_000;
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    database.psql(&format!("{}; {}", insert(1), insert(2)));
    server.until_known().await;
    let (mut ws, first) = server.stream("").await;
    let copied: String = (0..ROWS).map(|row| format!("{}\tlog\trow {row}\n", id(1))).collect();
    for sql in [
        format!("insert into events (task_id, kind) select '{}', 'log' from generate_series(1, {ROWS})", id(1)),
        format!("copy events (task_id, kind, title) from stdin;\n{copied}\\.\n"),
        format!(
            "insert into events (task_id, kind, title) select '{}', 'log', i from generate_series(1, {ROWS}) i",
            id(1)
        ),
    ] {
        database.psql(&sql);
        let frames = frames_before_mark(&database, &mut ws).await;
        let counted = |frame: &Value| frame["payload"]["count"].as_u64().or(frame["count"].as_u64()).unwrap_or(1);
        assert!(frames.iter().all(|frame| kind(frame) == "event.logged"), "{frames:?}");
        assert_eq!(frames.iter().map(counted).sum::<u64>(), ROWS, "{frames:?}");
        assert_eq!(frames.len(), 1, "the rows of one task are one notice: {frames:?}");
    }
    server.until_known().await;
    let detail = server.client.get(&format!("/api/v1/tasks/{}", id(1))).await;
    assert_eq!(detail.at("/task/event_count"), 3 * ROWS);
    // More changed rows than a frame lists.
    database.psql(&format!("insert into tasks (title) select i from generate_series(1, {ROWS}) i"));
    let frames = frames_before_mark(&database, &mut ws).await;
    assert_eq!(frames.iter().map(kind).collect::<Vec<_>>(), ["resync"]);
    database.psql("update tasks set summary = 'x'");
    assert_eq!(frames_before_mark(&database, &mut ws).await.iter().map(kind).collect::<Vec<_>>(), ["resync"]);
    let (_, again) = server.stream(&format!("?since={}", first["cursor"].as_str().unwrap())).await;
    assert_eq!(kind(&again), "snapshot", "it lists no so many changes");
    let stored = database.psql("select count(*) from tasks");
    assert_eq!(server.client.get("/api/v1/overview").await.at("/stats/total_tasks").to_string(), stored);
}
