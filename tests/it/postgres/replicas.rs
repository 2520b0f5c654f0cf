//! Several servers on one database: each one shows and answers the writes of all.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use requery::protocol::Cursor;
use serde_json::json;

use super::replica::{Replica, cursor_of, kind, models, resumed, until_started};
use super::session::Session;
use crate::cluster::Cluster;
use crate::process::ServerProcess;

/// The longest time until a stream shows a write. The slowest look at the log comes after 100 ms.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_stream_shows_the_writes_of_every_server_and_of_psql() {
    let database = Cluster::shared().create_database();
    let (a, b) = (Replica::start(&database).await, Replica::start(&database).await);
    let (mut at_a, mut at_b) = (a.stream("").await.0, b.stream("").await.0);
    for round in 0..10 {
        let began = Instant::now();
        let task = match round % 3 {
            0 => a.add("by a").await.0,
            1 => b.add("by b").await.0,
            _ => database.psql("insert into tasks (title) values ('by psql') returning id"),
        };
        for ws in [&mut at_a, &mut at_b] {
            let frames = until_started(ws, &task).await;
            assert_eq!(frames.len(), 1, "a notice of one write comes once and alone: {frames:?}");
        }
        assert!(began.elapsed() < SOON, "round {round}: {:?}", began.elapsed());
    }
}

/// The answer of a server was in its memory before another program wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_contains_the_write_whose_cursor_the_request_has() {
    const ROUNDS: u32 = 200;
    let database = Cluster::shared().create_database();
    let servers = [Replica::start(&database).await, Replica::start(&database).await];
    let seed = std::env::var("REQUERY_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("REQUERY_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut open, mut psql) = (Session::open(&database), Session::open(&database));
    let mut tasks = 0;
    for round in 0..ROUNDS {
        let [reader, writer] = if random.bool() { [0, 1] } else { [1, 0] };
        let [reader, writer] = [&servers[reader], &servers[writer]];
        for path in ["/api/v1/overview", "/api/v1/tasks?limit=5"] {
            assert_eq!(reader.client.get(path).await.status, 200);
        }
        // A transaction that stays open is in the cursor as well.
        match round % 20 {
            5 => open.succeed("begin; insert into tasks (title) values ('open')"),
            15 => {
                open.succeed("commit");
                tasks += 1;
            }
            _ => {}
        }
        let title = format!("round {round}");
        let cursor = match random.u8(0..3) {
            0 => by_psql(&mut psql, &title),
            1 => {
                writer.add(&title).await;
                reader.add("between").await;
                tasks += 2;
                by_psql(&mut psql, "the last")
            }
            _ => writer.add(&title).await.1,
        };
        tasks += 1;
        tokio::time::sleep(Duration::from_millis(random.u64(0..20))).await;
        let answer = reader.get_at_least("/api/v1/tasks?limit=5", &cursor).await;
        assert!(answer.text.contains(&title), "round {round}: {cursor} {}", answer.text);
        assert!(cursor_of(&answer).covers(&cursor), "round {round}: {} {cursor}", cursor_of(&answer));
        let shown = reader.get_at_least("/api/v1/overview", &cursor).await.at("/stats/total_tasks");
        assert_eq!(shown, tasks, "round {round}");
    }
}

/// Writers write all the time, and each one asks the other server for what it wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_side_by_side_read_their_writes_on_another_server() {
    let database = Cluster::shared().create_database();
    let servers = [Replica::start(&database).await, Replica::start(&database).await];
    let write = async |writer: usize| {
        for round in 0..25 {
            let title = format!("writer {writer} round {round}");
            let (task, cursor) = servers[writer % 2].add(&title).await;
            let reader = &servers[1 - writer % 2];
            let listed = reader.get_at_least("/api/v1/tasks?limit=200", &cursor).await;
            assert!(listed.text.contains(&title), "{title}: {cursor}");
            let detail = reader.get_at_least(&format!("/api/v1/tasks/{task}"), &cursor).await;
            assert_eq!(detail.status, 200, "{title}: {cursor}");
        }
    };
    join_all((0..6).map(write)).await;
}

#[tokio::test]
async fn a_cursor_of_one_server_is_resumed_on_another() {
    let database = Cluster::shared().create_database();
    let (a, b) = (Replica::start(&database).await, Replica::start(&database).await);
    let (mut ws, first) = a.stream("").await;
    let (before, _) = a.add("before").await;
    let seen = until_started(&mut ws, &before).await.pop().unwrap()["cursor"].clone();
    let (changed, _) = b.add("changed").await;
    let by_psql = database.psql("insert into tasks (title) values ('by psql') returning id");
    // The server reads these writes before it answers.
    b.until_known().await;
    a.until_known().await;
    for (cursor, tasks) in [(&seen, vec![&changed, &by_psql]), (&first["cursor"], vec![&before, &changed, &by_psql])] {
        let tasks: Vec<&str> = tasks.into_iter().map(String::as_str).collect();
        let query = format!("?since={}", cursor.as_str().unwrap());
        for server in [&b, &a] {
            let (_, again) = server.stream(&query).await;
            assert_eq!(resumed(&again), models(&tasks), "{query}: {again}");
            // All of it is known with the cursor of the first frame.
            let (_, later) = b.stream(&format!("?since={}", again["cursor"].as_str().unwrap())).await;
            assert_eq!(resumed(&later).len(), 0, "{later}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_on_an_empty_database_migrate_it_once() {
    let database = Cluster::shared().create_database();
    let folders: Vec<_> = (0..3).map(|_| tempfile::TempDir::new().unwrap()).collect();
    let servers: Vec<_> = std::thread::scope(|scope| {
        let start = |folder: &tempfile::TempDir| ServerProcess::start(Path::new(&database.url), folder.path(), |_| ());
        let started: Vec<_> = folders.iter().map(|folder| scope.spawn(move || start(folder))).collect();
        started.into_iter().map(|server| server.join().unwrap()).collect()
    });
    let migrated = servers.iter().filter(|server| server.log().contains("the schema was migrated")).count();
    assert_eq!(migrated, 1, "{:?}", servers.iter().map(ServerProcess::log).collect::<Vec<_>>());
    assert_eq!(database.psql("select count(*) = count(distinct name) and count(*) > 0 from requery_migrations"), "t");
    let (status, cursor) = servers[0].add("one for all").await;
    assert_eq!(status, 201);
    let epoch = |cursor: &str| cursor.split(':').next().unwrap().to_owned();
    for server in &servers {
        assert_eq!(epoch(&server.add("another").await.1), epoch(&cursor), "all servers have one epoch");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_ask_at_once_cost_each_server_one_query() {
    const CLIENTS: usize = 50;
    // The transactions of other databases move the cursors on as well.
    let database = Cluster::shared().create_database();
    let servers = [Replica::start(&database).await, Replica::start(&database).await];
    let (task, _) = servers[0].add("asked for").await;
    let mut streams = Vec::new();
    for server in &servers {
        streams.push(server.stream("").await.0);
    }
    let paths = ["/api/v1/overview".to_owned(), "/api/v1/tasks".to_owned(), format!("/api/v1/tasks/{task}")];
    let operations = ["overview", "tasks", "task"];
    for round in 0..8 {
        let body = json!({ "title": format!("round {round}") });
        let changed = servers[round % 2].client.patch(&format!("/api/v1/tasks/{task}"), body).await;
        let cursor = cursor_of(&changed);
        if round >= 4 {
            // The clients ask when their streams told them.
            for ws in &mut streams {
                while !frame_cursor(&ws.frame().await).is_some_and(|shown| shown.covers(&cursor)) {}
            }
        }
        for (path, operation) in paths.iter().zip(operations) {
            let before = [servers[0].queries(operation).await, servers[1].queries(operation).await];
            let all = servers.iter().flat_map(|server| std::iter::repeat_n(server, CLIENTS));
            let answers = join_all(all.map(|server| server.get_at_least(path, &cursor))).await;
            for answer in answers {
                assert_eq!(answer.status, 200);
                assert!(answer.text.contains(&format!("round {round}")) || operation == "overview", "{}", answer.text);
                assert!(cursor_of(&answer).covers(&cursor));
            }
            for (server, before) in servers.iter().zip(before) {
                let queries = server.queries(operation).await - before;
                assert!(queries <= 1, "round {round}: {queries} queries for {path}");
            }
        }
    }
}

/// Starts a task with SQL. Returns a cursor that contains it.
fn by_psql(session: &mut Session, title: &str) -> Cursor {
    let now = "select token || ':' || pg_current_snapshot()::text as cursor from epoch";
    let shown = session.run(&format!("insert into tasks (title) values ('{title}'); {now} \\gset\n\\warn :cursor\n"));
    shown.trim_end().parse().unwrap_or_else(|_| panic!("{shown}"))
}

fn frame_cursor(frame: &serde_json::Value) -> Option<Cursor> {
    assert_ne!(kind(frame), "resync");
    frame["cursor"].as_str()?.parse().ok()
}

/// The answer of a write that changes nothing shows what the write saw, and no later answer of the server lacks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_write_without_a_change_has_seen_is_in_each_later_answer() {
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    let (task, _) = server.add("0").await;
    let path = format!("/api/v1/tasks/{task}");
    for round in 1..=40 {
        // The answer is in memory, and is current until the tail looks.
        assert_eq!(server.client.get(&path).await.status, 200);
        database.psql(&format!("update tasks set title = '{round}'"));
        let title = round.to_string();
        let written = server.client.patch(&path, json!({"title": title})).await;
        assert_eq!(written.status, 200, "{}", written.text);
        assert_eq!(server.client.get(&path).await.text_at("/task/title"), title);
    }
}
