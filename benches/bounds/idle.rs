//! What a WebSocket costs on which nothing happens.

use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::machine;
use crate::server::{Outside, runtime};
use crate::socket::Shared;
use crate::table::{Limit, Row};

const ROUNDS: usize = 3;
const CONNECTIONS: usize = 5_000;
/// Opened side by side.
const AT_ONCE: usize = 50;
/// Short, so that each connection has had its heartbeats and pings when it is measured.
const HEARTBEAT: &str = "3s";
const SETTLE: Duration = Duration::from_secs(7);

pub fn measure() -> Vec<Row> {
    let rounds = (0..ROUNDS).map(|_| runtime().block_on(round())).collect();
    let what = format!("memory of an idle WebSocket, {CONNECTIONS} of them");
    vec![Row::new(what, rounds, " KB", Limit::AtMost(6.0))]
}

/// Resident kilobytes of the server for each connection.
async fn round() -> f64 {
    let folder = TempDir::new().unwrap();
    let server = Outside::start(&folder.path().join("requery.db"), &["--heartbeat", HEARTBEAT]);
    // What the first connections bring with them is the server's, not theirs.
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
