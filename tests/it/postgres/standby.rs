//! A standby takes no writes: no server starts on it, and a running server waits for the primary.

use std::path::Path;

use tempfile::TempDir;

use super::replica::{Replica, until_started};
use crate::cluster::Cluster;
use crate::process::ServerProcess;

const REFUSAL: &str = "the server is a standby, which takes no writes: give the URL of the primary";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_standby_is_refused_until_it_is_the_primary() {
    let mut cluster = Cluster::start_own();
    let database = cluster.create_database();
    let server = Replica::start(&database).await;
    let (before, _) = server.add("before").await;
    let (mut ws, first) = server.stream("").await;

    // With this file the data of the cluster are those of a standby.
    cluster.stop();
    let file = cluster.data().join("standby.signal");
    std::fs::write(&file, "").unwrap();
    cluster.start();
    assert_eq!(database.psql("select pg_is_in_recovery()"), "t");
    let folder = TempDir::new().unwrap();
    let refused = ServerProcess::try_start(Path::new(&database.url), folder.path(), |_| ()).err();
    assert!(refused.as_ref().is_some_and(|log| log.contains(REFUSAL)), "{refused:?}");
    let answer = server.client.post("/api/v1/tasks", serde_json::json!({"title": "refused"})).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(database.psql("select title from tasks"), "before");

    // The standby becomes the primary. Its history is a new one.
    database.psql("select pg_promote()");
    server.until_known().await;
    let (after, _) = server.add("after").await;
    let frames = until_started(&mut ws, &after).await;
    assert!(frames.iter().any(|frame| frame["type"] == "resync"), "{frames:?}");
    let epoch = |frame: &serde_json::Value| frame["cursor"].as_str().unwrap().split(':').next().unwrap().to_owned();
    assert_ne!(epoch(frames.last().unwrap()), epoch(&first));
    assert_eq!(server.client.get(&format!("/api/v1/tasks/{before}")).await.status, 200);
}
