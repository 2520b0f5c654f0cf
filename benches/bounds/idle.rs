//! The memory of the server for an idle WebSocket.

use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::machine;
use crate::rows;
use crate::server::{Outside, runtime};
use crate::socket::Shared;
use crate::table::{Limit, Row};

const ROUNDS: usize = 3;
const CONNECTIONS: usize = 5_000;
/// The number of connections that are opened concurrently.
const AT_ONCE: usize = 50;
/// Enough tasks that the first frame contains a full page.
const TASKS: usize = 60;
/// Short, so that each connection has received heartbeats and pings before the measurement.
const HEARTBEAT: &str = "3s";
const SETTLE: Duration = Duration::from_secs(7);

pub fn measure() -> Vec<Row> {
    let rounds = (0..ROUNDS).map(|_| runtime().block_on(round())).collect();
    let name = format!("memory of an idle WebSocket, {CONNECTIONS} of them");
    vec![Row::new(name, rounds, " KB", Limit::AtMost(6.0))]
}

/// The resident memory of the server for each connection, in KB.
async fn round() -> f64 {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requery.db");
    let server = Outside::start(&path, &["--heartbeat", HEARTBEAT]);
    rows::tasks(&rows::connect(&path).await, TASKS).await;
    // The first connections make the server allocate memory that all connections share. It is not part of the figure.
    let mut open = JoinSet::new();
    connect(&mut open, &server, AT_ONCE).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = machine::resident(server.process());
    for _ in 0..CONNECTIONS / AT_ONCE {
        connect(&mut open, &server, AT_ONCE).await;
    }
    tokio::time::sleep(SETTLE).await;
    let after = machine::resident(server.process());
    assert_eq!(open.try_join_next().map(Result::unwrap), None, "a connection was lost");
    (after - before) / CONNECTIONS as f64 / 1024.0
}

async fn connect(open: &mut JoinSet<()>, server: &Outside, count: usize) {
    let opening: Vec<_> = (0..count).map(|_| tokio::spawn(Shared::open(server.address))).collect();
    for socket in opening {
        let mut socket = socket.await.unwrap();
        open.spawn(async move { while socket.frame().await.is_some() {} });
    }
}
