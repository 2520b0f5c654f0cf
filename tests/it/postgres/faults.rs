//! Faults of a server, of its connections and of Postgres, while programs write. After each fault every screen shows
//! the database, and the database has every write that was acknowledged.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, Instant};

use requery::protocol::limits;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use super::lease::{holder, until_held};
use super::replica::{Replica, kind, resumed};
use super::world::{World, Writers, epoch_of, insert_open, resyncs, screen};
use crate::app::PATIENCE;
use crate::cluster::Cluster;
use crate::process::ServerProcess;

/// How long a refusal may take once the server knows that Postgres is away.
const REFUSAL: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_no_acknowledged_write_and_its_cursors_go_on_elsewhere() {
    let database = Cluster::shared().create_database();
    let folder = TempDir::new().unwrap();
    let start = || ServerProcess::start(Path::new(&database.url), folder.path(), |_| ());
    // The first server that is killed has the lease, and the others have not.
    let mut first = Some(start());
    let first_holder = until_held(&database).await;
    let other = Replica::start(&database).await;
    insert_open(&database);
    let screen = screen(&other);
    for round in 0..3 {
        let killed = first.take().unwrap_or_else(start);
        assert_eq!(holder(&database) == first_holder, round == 0, "the lease moves with the end of its holder");
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

/// Which connections of the servers are ended, as a condition on `pg_stat_activity`, and how many there are.
async fn connections_are_ended(which: &str, most: RangeInclusive<u32>, rounds: u32) {
    let world = World::start(Cluster::shared()).await;
    let such = format!(
        "from pg_stat_activity where application_name = 'requery' and datname = current_database() and ({which})"
    );
    let mut ended = 0;
    for round in 0..rounds {
        // A connection that was ended comes back.
        let began = Instant::now();
        while most.start() > &world.database.psql(&format!("select count(*) {such}")).parse().unwrap() {
            assert!(began.elapsed() < PATIENCE, "round {round}: the connections are back in time");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let count: u32 =
            world.database.psql(&format!("select count(pg_terminate_backend(pid)) {such}")).parse().unwrap();
        assert!(most.contains(&count), "round {round}: {count} connections");
        ended += count;
        world.writers.until_more(fastrand::usize(1..20)).await;
    }
    println!("{ended} connections were ended");
    world.settle_without_resync().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_that_listens_is_ended() {
    connections_are_ended("query ilike 'listen%'", 2..=2, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_of_the_tail_is_ended() {
    connections_are_ended(
        "query like 'select pg_current_snapshot()::text as snapshot, (select token from epoch) as epoch, null%'",
        1..=2,
        6,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_ended_at_random() {
    connections_are_ended("random() < 0.4", 0..=100, 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_are_ended_at_once() {
    connections_are_ended("true", 4..=100, 4).await;
}

/// Postgres ends while programs write, and is back when the requests of each server were refused.
async fn postgres_ends(end: impl FnOnce(&mut Cluster)) {
    let mut cluster = Cluster::start_own();
    let world = World::start(&cluster).await;
    let (cursor, epoch) = (world.cursor.clone(), world.epoch.clone());
    tokio::task::block_in_place(|| end(&mut cluster));
    for server in &world.servers {
        until_refused(server).await;
    }
    tokio::task::block_in_place(|| cluster.start());
    world.writers.until_more(1).await;
    new_epoch(world, &cursor, &epoch).await;
}

/// Each request is refused, also one that waits for a connection when the server learns that Postgres is away.
async fn until_refused(server: &Replica) {
    for most in [limits::CONNECTION_WAIT, REFUSAL] {
        let began = Instant::now();
        let answer = server.client.post("/api/v1/tasks", json!({"title": "meanwhile"})).await;
        assert_eq!((answer.status, answer.header("retry-after").is_empty()), (503, false), "{}", answer.text);
        assert!(began.elapsed() < most, "the refusal came after {:?}", began.elapsed());
    }
}

/// Postgres has recovered from a crash, so the numbers of its transactions can have been given twice.
async fn new_epoch(world: World, cursor: &str, epoch: &str) {
    for server in &world.servers {
        server.until_known().await;
        let (_, again) = server.stream(&format!("?since={cursor}")).await;
        assert_eq!(kind(&again), "snapshot", "no cursor survives: {again}");
        assert_ne!(epoch_of(&again), epoch);
    }
    for frames in world.settle().await {
        assert_eq!(resyncs(&frames), 1, "{:?}", frames.iter().map(kind).collect::<Vec<_>>());
        assert_ne!(epoch_of(frames.last().unwrap()), epoch);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_crashes_and_begins_a_new_epoch() {
    postgres_ends(Cluster::kill_primary).await;
}

/// Postgres ends all its connections then, and recovers by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_of_a_connection_that_listens_is_killed() {
    let cluster = Cluster::start_own();
    let world = World::start(&cluster).await;
    let (cursor, epoch) = (world.cursor.clone(), world.epoch.clone());
    let listening = "select pid from pg_stat_activity where query ilike 'listen%' limit 1";
    let pid = Pid::from_raw(world.database.psql(listening).parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let began = Instant::now();
    while !cluster.log().contains("all server processes terminated") {
        assert!(began.elapsed() < PATIENCE, "{}", cluster.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.writers.until_more(1).await;
    new_epoch(world, &cursor, &epoch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_is_restarted_in_order_and_no_stream_lacks_a_change() {
    let mut cluster = Cluster::start_own();
    let world = World::start(&cluster).await;
    tokio::task::block_in_place(|| cluster.stop());
    for server in &world.servers {
        until_refused(server).await;
    }
    tokio::task::block_in_place(|| cluster.start());
    world.settle_without_resync().await;
}
