//! Faults of a server, of its connections and of Postgres, while programs write. After each fault every screen shows
//! the database, and the database has every write that was acknowledged.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use requery::engine::EngineSettings;
use requery::protocol::ReadModel;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::replica::{Replica, kind, resumed, until_started};
use crate::app::Ws;
use crate::cluster::{Cluster, TestDatabase};
use crate::process::ServerProcess;
use crate::rest::Client;
use crate::viewer::{Rest, Viewer};

/// The tasks that exist from the start, which each screen shows. The writers log events on them.
const OPEN: [&str; 2] = ["0190b0a0-0000-7000-8000-000000000001", "0190b0a0-0000-7000-8000-000000000002"];

/// A screen with the overview and the tasks that exist from the start.
fn screen(server: &Replica) -> Viewer {
    let viewer = Viewer::connect("screen", &server.app.url(""), EngineSettings::default());
    viewer.watch(ReadModel::Overview);
    for task in OPEN {
        viewer.watch(ReadModel::Task(task.parse().unwrap()));
    }
    viewer
}

fn insert_open(database: &TestDatabase) {
    for task in OPEN {
        database.psql(&format!("insert into tasks (id, title) values ('{task}', 'open')"));
    }
}

/// Programs that write through servers and with SQL, and the titles that were acknowledged.
struct Writers {
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    ends: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Writers {
    /// Two writers for each URL, and one with SQL.
    fn start(urls: &[String], database: &TestDatabase) -> Self {
        static WRITERS: AtomicU32 = AtomicU32::new(0);
        let (acknowledged, ends) = (Arc::<Mutex<BTreeSet<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for url in urls.iter().chain(urls) {
            let (rest, name) = (Rest::at(url.clone()), WRITERS.fetch_add(1, Ordering::Relaxed));
            let (acknowledged, ends) = (Arc::clone(&acknowledged), Arc::clone(&ends));
            tasks.spawn(async move {
                for number in 0.. {
                    let title = format!("rest {name}.{number}");
                    let on = format!("/api/v1/tasks/{}/events", OPEN[name as usize % 2]);
                    let (path, body) = match number % 2 {
                        0 => ("/api/v1/tasks", json!({ "title": title })),
                        _ => (on.as_str(), json!({ "kind": "log", "title": title })),
                    };
                    if rest.write("POST", path, body).await == Some(201) {
                        acknowledged.lock().unwrap().insert(title);
                    }
                    if ends.load(Ordering::Relaxed) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(5..30))).await;
                }
            });
        }
        let (database, name) = (database.clone(), WRITERS.fetch_add(1, Ordering::Relaxed));
        let (noted, ending) = (Arc::clone(&acknowledged), Arc::clone(&ends));
        tasks.spawn_blocking(move || {
            for number in 0.. {
                let title = format!("sql {name}.{number}");
                if database.try_psql(&format!("insert into tasks (title) values ('{title}')")).is_ok() {
                    noted.lock().unwrap().insert(title);
                }
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        Self { acknowledged, ends, tasks }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many further writes are acknowledged.
    async fn until_more(&self, writes: usize) {
        let (before, began) = (self.count(), Instant::now());
        while self.count() < before + writes {
            assert!(began.elapsed() < crate::app::PATIENCE, "{} writes in time", self.count() - before);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the writers and checks that the database has what was acknowledged.
    async fn end(mut self, database: &TestDatabase) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let stored = database.psql("select title from tasks; select title from events");
        let stored: BTreeSet<_> = stored.lines().map(str::to_owned).collect();
        let acknowledged = self.acknowledged.lock().unwrap();
        assert_eq!(acknowledged.difference(&stored).collect::<Vec<_>>(), Vec::<&String>::new());
        acknowledged.len()
    }
}

/// Two servers, a screen of each, a stream of each, and writers on both.
struct World {
    database: TestDatabase,
    servers: [Replica; 2],
    screens: [Viewer; 2],
    streams: [Ws; 2],
    epoch: String,
    writers: Writers,
}

impl World {
    async fn start(cluster: &Cluster) -> Self {
        let database = cluster.create_database();
        let servers = [Replica::start(&database).await, Replica::start(&database).await];
        insert_open(&database);
        let screens = [screen(&servers[0]), screen(&servers[1])];
        let streams = [servers[0].stream("").await, servers[1].stream("").await];
        let epoch = epoch_of(&streams[0].1);
        let writers = Writers::start(&[servers[0].app.url(""), servers[1].app.url("")], &database);
        writers.until_more(20).await;
        Self { database, servers, screens, streams: streams.map(|(ws, _)| ws), epoch, writers }
    }

    /// Waits until all is as it was. Returns the frames of each stream.
    async fn settle(mut self) -> [Vec<Value>; 2] {
        self.writers.until_more(20).await;
        let writes = self.writers.end(&self.database).await;
        let began = Instant::now();
        for (server, screen) in self.servers.iter().zip(&self.screens) {
            server.settle(&[screen]).await;
        }
        println!("{writes} writes were acknowledged; settled in {:?}", began.elapsed());
        let last = self.database.psql("insert into tasks (title) values ('last') returning id");
        let [a, b] = &mut self.streams;
        let frames = [until_started(a, &last).await, until_started(b, &last).await];
        // Each stream named each task that was started, or told that it may lack some.
        let tasks = self.database.psql("select id from tasks where title like 'sql %' or title like 'rest %'");
        for frames in &frames {
            let text = frames.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
            if !frames.iter().any(|frame| kind(frame) == "resync") {
                let missing: Vec<_> = tasks.lines().filter(|task| !text.contains(*task)).collect();
                assert!(missing.is_empty(), "no notice of {missing:?}");
            }
        }
        frames
    }
}

fn epoch_of(frame: &Value) -> String {
    frame["cursor"].as_str().unwrap().split(':').next().unwrap().to_owned()
}

fn resyncs(frames: &[Value]) -> usize {
    frames.iter().filter(|frame| kind(frame) == "resync").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_no_acknowledged_write_and_its_cursors_go_on_elsewhere() {
    let cluster = Cluster::start_own();
    let database = cluster.create_database();
    let folder = TempDir::new().unwrap();
    let other = Replica::start(&database).await;
    insert_open(&database);
    let screen = screen(&other);
    for round in 0..3 {
        let killed = ServerProcess::start(Path::new(&database.url), folder.path(), |_| ());
        let mut ws = killed.ws("").await;
        let first = ws.frame().await;
        let writers = Writers::start(&[format!("http://{}", killed.address), other.app.url("")], &database);
        writers.until_more(30).await;
        let mut last = first;
        // The client reads a part of its frames before the server is gone.
        for _ in 0..10 {
            last = ws.frame().await;
        }
        while last["more"] == true {
            last = ws.frame().await;
        }
        killed.kill();
        writers.until_more(10).await;
        let acknowledged = writers.end(&database).await;
        other.settle(&[&screen]).await;
        let cursor = last["cursor"].as_str().unwrap();
        let (_, again) = other.stream(&format!("?since={cursor}")).await;
        let listed = resumed(&again);
        // The log has the transaction of each row.
        let lacked = database.psql(&format!(
            "select distinct 'task:' || task_id from changes where kind in ('task.started', 'event.logged')
             and not pg_visible_in_snapshot(xid, '{}'::pg_snapshot)",
            cursor.split_once(':').unwrap().1
        ));
        let lacked: BTreeSet<_> = lacked.lines().map(str::to_owned).chain(["overview".to_owned()]).collect();
        assert_eq!(listed, lacked, "round {round}, of {acknowledged} writes");
    }
}

/// Which connection of the servers is ended, as a condition on `pg_stat_activity`.
async fn connections_are_ended(which: &str, rounds: u32) {
    let cluster = Cluster::start_own();
    let world = World::start(&cluster).await;
    let mut ended = 0;
    for _ in 0..rounds {
        let sql = format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where application_name = 'requery' and datname = current_database() and ({which})"
        );
        let count: u32 = world.database.psql(&sql).parse().unwrap();
        ended += count;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..600))).await;
    }
    assert!(ended > 0, "no connection was ended");
    let epoch = world.epoch.clone();
    for frames in world.settle().await {
        assert_eq!(resyncs(&frames), 0, "a lost connection loses no change");
        assert_eq!(epoch_of(frames.last().unwrap()), epoch);
    }
    println!("{ended} connections were ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_that_listens_is_ended() {
    connections_are_ended("query ilike 'listen%'", 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_of_the_tail_is_ended() {
    connections_are_ended("query like 'select now.snapshot%'", 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_ended_at_random() {
    connections_are_ended("random() < 0.4", 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_are_ended_at_once() {
    connections_are_ended("true", 4).await;
}

/// Postgres ends while programs write, and is back after a moment.
async fn postgres_ends(end: impl FnOnce(&mut Cluster), away: Duration) -> (String, [Vec<Value>; 2]) {
    let mut cluster = Cluster::start_own();
    let world = World::start(&cluster).await;
    let epoch = world.epoch.clone();
    tokio::task::block_in_place(|| end(&mut cluster));
    // The answer of a request meanwhile can wait for the start, as long as a request waits for a connection.
    let client = Client::of(&world.servers[0].app);
    let request = async move { client.post("/api/v1/tasks", json!({"title": "meanwhile"})).await };
    let request = tokio::spawn(request);
    tokio::time::sleep(away).await;
    tokio::task::block_in_place(|| cluster.start());
    let answer = request.await.unwrap();
    assert!([201, 503].contains(&answer.status), "{} {}", answer.status, answer.text);
    assert_eq!(answer.status == 503, !answer.header("retry-after").is_empty());
    (epoch, world.settle().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_crashes_and_begins_a_new_epoch() {
    let (epoch, streams) = postgres_ends(Cluster::kill_primary, Duration::from_millis(300)).await;
    for frames in streams {
        assert_eq!(resyncs(&frames), 1, "{:?}", frames.iter().map(kind).collect::<Vec<_>>());
        assert_ne!(epoch_of(frames.last().unwrap()), epoch);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_is_restarted_in_order_and_no_stream_lacks_a_change() {
    let (epoch, streams) = postgres_ends(Cluster::stop, Duration::from_secs(1)).await;
    for frames in streams {
        assert_eq!(resyncs(&frames), 0, "{:?}", frames.iter().map(kind).collect::<Vec<_>>());
        assert_eq!(epoch_of(frames.last().unwrap()), epoch);
    }
}
