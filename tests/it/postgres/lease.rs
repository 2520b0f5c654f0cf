//! The lease: one server does the work for all, and another takes over soon after the end of that server.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::replica::Replica;
use crate::app::PATIENCE;
use crate::cluster::{Cluster, TestDatabase};
use crate::process::ServerProcess;

/// The longest time for which a lease may stay with a server that is gone. A lease lasts 0.7 s, and is tried each 0.2 s.
const MOVES_WITHIN: Duration = Duration::from_secs(3);

/// The server with the lease, if the lease holds now.
pub fn holder(database: &TestDatabase) -> String {
    database.psql("select holder from requery.leases where until > clock_timestamp()")
}

pub async fn until_held(database: &TestDatabase) -> String {
    until_held_by_other(database, "", PATIENCE).await.0
}

/// The next holder of the lease that is not `before`, and how long that took.
async fn until_held_by_other(database: &TestDatabase, before: &str, most: Duration) -> (String, Duration) {
    let began = Instant::now();
    loop {
        let now = holder(database);
        if !now.is_empty() && now != before {
            return (now, began.elapsed());
        }
        assert!(began.elapsed() < most, "the lease is not taken in time: {}", database.psql("table leases"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Each server connects as a role of its own, so the log of Postgres names the server of each statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_servers_folds_the_log() {
    let cluster = Cluster::start_with(&["log_statement=mod", "log_line_prefix=role=%u ", "deadlock_timeout=10s"]);
    let database = cluster.create_database();
    let mut servers = Vec::new();
    for number in 0..3 {
        database.psql(&format!("create role server_{number} superuser login"));
        let url = format!("{}&user=server_{number}", database.url);
        servers.push(Replica::start_with(&database, |config| config.database = url.parse().unwrap()).await);
    }
    let first = until_held(&database).await;
    let (task, _) = servers[0].add("counted").await;
    let began = cluster.log().len();
    let folded = "select event_count from tasks";
    for round in 1..=5 {
        for server in &servers {
            let event = serde_json::json!({"kind": "log"});
            assert_eq!(server.client.post(&format!("/api/v1/tasks/{task}/events"), event).await.status, 201);
        }
        let until = Instant::now() + PATIENCE;
        while database.psql(folded) != (3 * round).to_string() {
            assert!(Instant::now() < until, "{} of {} events are folded", database.psql(folded), 3 * round);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(holder(&database), first, "round {round}");
    }
    let log = cluster.log();
    let mut folds = BTreeMap::<&str, u32>::new();
    for line in log[began..].lines().filter(|line| line.contains("update folded set next")) {
        *folds.entry(line.split_whitespace().next().unwrap()).or_default() += 1;
    }
    assert_eq!(folds.len(), 1, "{folds:?}");
    assert!(folds.values().all(|steps| (1..=30).contains(steps)), "{folds:?}");
    // The other servers show the counts all the same.
    for server in &servers {
        server.until_known().await;
        assert_eq!(server.client.get("/api/v1/overview").await.at("/stats/total_events"), 15);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_of_a_killed_server_moves_within_about_a_second() {
    let database = Cluster::shared().create_database();
    let folder = TempDir::new().unwrap();
    let start = || ServerProcess::start(Path::new(&database.url), folder.path(), |_| ());
    let mut oldest = start();
    let mut held_by = until_held(&database).await;
    for _ in 0..3 {
        let next = start();
        assert_eq!(holder(&database), held_by, "a new server takes no lease away");
        assert_eq!(next.add("counted").await.0, 201);
        oldest.kill();
        let (now, took) = until_held_by_other(&database, &held_by, MOVES_WITHIN).await;
        println!("the lease moved in {took:?}");
        (oldest, held_by) = (next, now);
        // The work goes on.
        let task = database.psql("insert into tasks (title) values ('counted') returning id");
        database.psql(&format!("insert into events (task_id, kind) values ('{task}', 'log')"));
        let until = Instant::now() + PATIENCE;
        while database.psql(&format!("select event_count from tasks where id = '{task}'")) != "1" {
            assert!(Instant::now() < until, "the log is folded in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // A server that ends in order has given its lease up before it is gone.
    let last = start();
    oldest.stop();
    assert_eq!(database.psql(&format!("select count(*) from requery.leases where holder = '{held_by}'")), "0");
    until_held_by_other(&database, &held_by, MOVES_WITHIN).await;
    last.stop();
    assert_eq!(database.psql("select holder is null and until is null from requery.leases"), "t");
}
