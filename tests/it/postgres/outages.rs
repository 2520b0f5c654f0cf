//! Faults below Postgres: of its network, of its disk and of its clock. And a transaction that stays open.
//!
//! After each fault every screen shows the database, no stream was told that it may lack a change, and the database has
//! every write that was acknowledged.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::replica::{Replica, kind, until_started};
use super::session::Session;
use super::world::{OPEN, World, epoch_of, resyncs};
use crate::app::PATIENCE;
use crate::cluster::{Cluster, TestDatabase, programs};
use crate::proxy::Proxy;
use crate::small_disk::SmallDisk;

/// A world whose first server reaches Postgres through a proxy.
async fn behind_proxy() -> (World, Proxy) {
    let cluster = Cluster::shared();
    let database = cluster.create_database();
    let proxy = Proxy::start(([127, 0, 0, 1], cluster.port()).into(), true).await;
    let url = format!("postgres://postgres@{}/{}", proxy.address, database.name);
    (World::start_on(database, &url).await, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_is_cut_in_the_middle_of_a_listen() {
    let (world, proxy) = behind_proxy().await;
    for round in 0..4 {
        // What was under way is lost, and nobody is told. In the other rounds the connections also end.
        proxy.stall(true);
        world.writers.until_more(20).await;
        proxy.reset_connections(round % 2 == 0);
        proxy.cut();
        proxy.stall(false);
        world.writers.until_more(20).await;
    }
    world.settle_without_resync().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_network_stops_one_server_and_no_other() {
    let (world, proxy) = behind_proxy().await;
    let unknown = format!("/api/v1/tasks/{}", uuid::Uuid::now_v7());
    proxy.stall(true);
    let began = Instant::now();
    // Longer than the tail waits for an answer.
    while began.elapsed() < Duration::from_secs(7) {
        let answer = world.servers[1].client.get(&unknown).await;
        assert_eq!(answer.status, 404, "{}", answer.text);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let answer = world.servers[0].client.get(&unknown).await;
    assert_eq!((answer.status, answer.header("retry-after").is_empty()), (503, false), "{}", answer.text);
    proxy.stall(false);
    // The changes of so long a time can be more than one frame lists.
    let epoch = world.epoch.clone();
    for frames in world.settle().await {
        assert!(resyncs(&frames) <= 1 && epoch_of(frames.last().unwrap()) == epoch);
    }
}

/// What a transaction costs others while it is open for so long.
async fn a_transaction_is_open_for(time: Duration) {
    let world = World::start(Cluster::shared()).await;
    let mut session = Session::open(&world.database);
    let id = "0190b0a0-0000-7000-8000-000000000009";
    session.succeed(&format!("begin; insert into tasks (id, title) values ('{id}', 'late')"));
    session.succeed(&format!("insert into events (task_id, kind) values ('{}', 'log')", OPEN[0]));
    let (mut ws, first) = world.servers[1].stream("").await;
    let began = Instant::now();
    while began.elapsed() < time {
        world.writers.until_more(20).await;
        let written = Instant::now();
        let task = world.database.psql("insert into tasks (title) values ('meanwhile') returning id");
        let frames = until_started(&mut ws, &task).await;
        assert!(written.elapsed() < Duration::from_secs(3), "after {:?}: {:?}", began.elapsed(), written.elapsed());
        let text = frames.iter().map(Value::to_string).collect::<String>();
        assert!(!text.contains(id) && !text.contains("resync"), "{text}");
    }
    session.succeed("commit");
    let frames = until_started(&mut ws, id).await;
    assert!(frames.iter().all(|frame| kind(frame) != "resync"), "{frames:?}");
    assert_eq!(epoch_of(frames.last().unwrap()), epoch_of(&first));
    world.settle_without_resync().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_delays_no_screen() {
    a_transaction_is_open_for(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes more than a minute: scripts/nightly.sh"]
async fn a_transaction_that_is_open_for_a_minute_delays_no_screen() {
    a_transaction_is_open_for(Duration::from_secs(60)).await;
}

/// While nothing but an open transaction is there, no client requests anything and no stream has a frame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_makes_nobody_request_again() {
    let world = World::start(Cluster::shared()).await;
    let mut session = Session::open(&world.database);
    session.succeed("begin; insert into tasks (title) values ('late')");
    world.writers.until_more(20).await;
    let World { database, servers, screens, writers, .. } = world;
    writers.end(&database).await;
    for (server, screen) in servers.iter().zip(&screens) {
        server.settle(&[screen]).await;
    }
    let reads = async || {
        let text = servers[0].client.get("/metrics").await.text + &servers[1].client.get("/metrics").await.text;
        let of = |name: &str| text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect::<Vec<_>>();
        [of("requery_reads_total"), of("requery_queries_total"), of("requery_notices_total")]
    };
    let before = reads().await;
    assert!(before.iter().all(|lines| !lines.is_empty()), "{before:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(reads().await, before);
    session.succeed("rollback");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(reads().await, before, "a transaction that is rolled back changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_postgres_refuses_writes_until_there_is_room() {
    let Some(disk) = SmallDisk::mount("64m") else { return };
    let cluster = Cluster::start_own();
    let place = disk.path().join("space");
    std::fs::create_dir(&place).unwrap();
    programs::give_away(disk.path());
    programs::give_away(&place);
    let postgres = cluster.database("postgres");
    postgres.psql(&format!("create tablespace small location '{}'", place.display()));
    postgres.psql("create database small template template0 tablespace small");
    let world = {
        let small = cluster.database("small");
        World::start_on(small.clone(), &small.url).await
    };
    disk.fill();
    let full = Instant::now();
    // A row still fits where a page has room.
    let mut refused = None;
    while refused.is_none() {
        assert!(full.elapsed() < PATIENCE, "the disk is never full");
        let title = "x".repeat(500);
        let answer = world.servers[0].client.post("/api/v1/tasks", json!({ "title": title })).await;
        refused = (answer.status != 201).then_some(answer);
    }
    let refused = refused.unwrap();
    assert_eq!((refused.status, refused.header("retry-after").is_empty()), (503, false), "{}", refused.text);
    for server in &world.servers {
        assert_eq!(server.client.get(&format!("/api/v1/tasks/{}", OPEN[0])).await.status, 200, "reads go on");
    }
    disk.make_room();
    world.settle_without_resync().await;
    drop(cluster);
}

/// A schema that is gone can come back with its rows. A server that made an empty one would hide them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_gone_is_not_made_again() {
    const CHECKS: Duration = Duration::from_millis(100);
    let database = Cluster::shared().create_database();
    let server = Replica::start_with(&database, |config| config.schema_check_interval = CHECKS).await;
    let (task, _) = server.add("kept").await;
    let mut ws = server.stream("").await.0;
    database.psql("alter schema requery rename to hidden");
    let began = Instant::now();
    while server.client.get(&format!("/api/v1/tasks/{}", uuid::Uuid::now_v7())).await.status != 503 {
        assert!(began.elapsed() < PATIENCE, "reads are refused in time");
    }
    tokio::time::sleep(10 * CHECKS).await;
    assert_eq!(database.psql("select count(*) from pg_namespace where nspname = 'requery'"), "0");
    database.psql("alter schema hidden rename to requery");
    server.until_known().await;
    assert_eq!(server.client.get(&format!("/api/v1/tasks/{task}")).await.at("/task/title"), "kept");
    let (after, _) = server.add("after").await;
    assert!(until_started(&mut ws, &after).await.iter().all(|frame| kind(frame) != "resync"));
}

/// The library that moves the clock of a program. `scripts/test.sh` installs it.
fn fake_time() -> PathBuf {
    let debian = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime"));
    let others = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let mut files = debian.chain(others).map(|folder| folder.join("libfaketime.so.1"));
    files.find(|file| file.exists()).expect("libfaketime is installed (apt-get install libfaketime)")
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_of_postgres_that_jumps_loses_nothing_and_keeps_the_lease() {
    let clock = std::cell::RefCell::new(PathBuf::new());
    let cluster = Cluster::start_in(&[], |folder| {
        let file = folder.join("clock");
        std::fs::write(&file, "+0\n").unwrap();
        *clock.borrow_mut() = file.clone();
        vec![
            ("LD_PRELOAD", fake_time()),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    });
    let clock = clock.into_inner();
    let world = World::start(&cluster).await;
    for offset in [3_600, 0, -3_600, 0, 86_400] {
        std::fs::write(&clock, format!("{offset:+}\n")).unwrap();
        let now = "select round(extract(epoch from clock_timestamp()))::bigint";
        let ahead = world.database.psql(now).parse::<i64>().unwrap() - unix_seconds();
        assert!((ahead - offset).abs() <= 2, "the clock is {ahead} s ahead");
        let task = world.database.psql("insert into tasks (title) values ('counted') returning id");
        world.database.psql(&format!("insert into events (task_id, kind) values ('{task}', 'log')"));
        until_folded(&world.database, &task).await;
        world.writers.until_more(20).await;
    }
    world.settle_without_resync().await;
}

/// Waits until the server with the lease has counted the event of the task.
async fn until_folded(database: &TestDatabase, task: &str) {
    let began = Instant::now();
    while database.psql(&format!("select event_count from tasks where id = '{task}'")) != "1" {
        assert!(began.elapsed() < Duration::from_secs(5), "no server has the lease: {}", database.psql("table leases"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn unix_seconds() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}
