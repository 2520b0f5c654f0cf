//! Two servers on one database, with screens, streams and writers, for tests that break something below them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use requery::engine::EngineSettings;
use requery::protocol::ReadModel;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::replica::{Replica, kind, until_started};
use crate::app::Ws;
use crate::cluster::{Cluster, TestDatabase};
use crate::viewer::{Rest, Viewer};

/// The tasks that exist from the start, which each screen shows. The writers log events on them.
pub const OPEN: [&str; 2] = ["0190b0a0-0000-7000-8000-000000000001", "0190b0a0-0000-7000-8000-000000000002"];

/// A screen with the overview and the tasks that exist from the start.
pub fn screen(server: &Replica) -> Viewer {
    let viewer = Viewer::connect("screen", &server.app.url(""), EngineSettings::default());
    viewer.watch(ReadModel::Overview);
    for task in OPEN {
        viewer.watch(ReadModel::Task(task.parse().unwrap()));
    }
    viewer
}

pub fn insert_open(database: &TestDatabase) {
    for task in OPEN {
        database.psql(&format!("insert into tasks (id, title) values ('{task}', 'open')"));
    }
}

/// Programs that write through servers and with SQL, and the titles that were acknowledged.
pub struct Writers {
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    ends: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Writers {
    /// Two writers for each URL, and one with SQL.
    pub fn start(urls: &[String], database: &TestDatabase) -> Self {
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
    pub async fn until_more(&self, writes: usize) {
        let (before, began) = (self.count(), Instant::now());
        while self.count() < before + writes {
            assert!(began.elapsed() < crate::app::PATIENCE, "{} writes in time", self.count() - before);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the writers and checks that the database has what was acknowledged.
    pub async fn end(mut self, database: &TestDatabase) -> usize {
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

/// A test that fails must not wait for its writers.
impl Drop for Writers {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// Two servers, a screen of each, a stream of each, and writers on both.
pub struct World {
    pub database: TestDatabase,
    pub servers: [Replica; 2],
    pub screens: [Viewer; 2],
    streams: [Ws; 2],
    /// The cursor of the first frame of the first stream, and its epoch.
    pub cursor: String,
    pub epoch: String,
    pub writers: Writers,
}

impl World {
    /// On a new database of the cluster.
    pub async fn start(cluster: &Cluster) -> Self {
        let database = cluster.create_database();
        let url = database.url.clone();
        Self::start_on(database, &url).await
    }

    /// The first server reaches the database with this URL.
    pub async fn start_on(database: TestDatabase, url_of_first: &str) -> Self {
        let first = Replica::start_with(&database, |config| config.database = url_of_first.parse().unwrap()).await;
        let servers = [first, Replica::start(&database).await];
        insert_open(&database);
        let screens = [screen(&servers[0]), screen(&servers[1])];
        let streams = [servers[0].stream("").await, servers[1].stream("").await];
        let (cursor, epoch) = (streams[0].1["cursor"].as_str().unwrap().to_owned(), epoch_of(&streams[0].1));
        let writers = Writers::start(&[servers[0].app.url(""), servers[1].app.url("")], &database);
        writers.until_more(20).await;
        Self { database, servers, screens, streams: streams.map(|(ws, _)| ws), cursor, epoch, writers }
    }

    /// The same where nothing was lost: no stream got a `resync`, and the cursors go on.
    pub async fn settle_without_resync(self) {
        let epoch = self.epoch.clone();
        for frames in self.settle().await {
            assert_eq!(resyncs(&frames), 0, "{:?}", frames.iter().map(kind).collect::<Vec<_>>());
            assert_eq!(epoch_of(frames.last().unwrap()), epoch);
        }
    }

    /// Waits until all is as it was. Returns the frames of each stream.
    pub async fn settle(mut self) -> [Vec<Value>; 2] {
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

pub fn epoch_of(frame: &Value) -> String {
    frame["cursor"].as_str().unwrap().split(':').next().unwrap().to_owned()
}

pub fn resyncs(frames: &[Value]) -> usize {
    frames.iter().filter(|frame| kind(frame) == "resync").count()
}
