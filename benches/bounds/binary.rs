//! The release binary: its size, and the time from its start to its first answer on a database with many events.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use requery::server::change_log::fold;
use requery::server::database::Database;
use tempfile::TempDir;

use crate::rows::{self, BATCH};
use crate::server::{Outside, runtime};
use crate::table::{Limit, Row};

const STARTS: usize = 11;
const EVENTS: usize = 100_000;
const TASKS: usize = 1_000;

pub fn measure() -> Vec<Row> {
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_requery")).unwrap().len() as f64 / 1e6;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("requery.db");
    runtime().block_on(fill(&path));
    let starts = |end: fn(Outside)| {
        let times = (0..STARTS).map(|_| {
            let began = Instant::now();
            let server = start(&path);
            let took = began.elapsed();
            end(server);
            took.as_secs_f64() * 1e3
        });
        times.collect::<Vec<_>>()
    };
    let after = |ending: &str| format!("start to the first answer, {EVENTS} events stored, after {ending}");
    vec![
        Row::new("the binary", vec![size], " MB", Limit::AtMost(28.0)),
        Row::new(after("an orderly end"), starts(Outside::stop), " ms", Limit::AtMost(200.0)),
        Row::new(after("a kill"), starts(drop), " ms", Limit::AtMost(200.0)),
    ]
}

/// Starts a server and waits until `/readyz` answers that the database is usable.
fn start(path: &Path) -> Outside {
    let server = Outside::start(path, &[]);
    let mut socket = TcpStream::connect(server.address).unwrap();
    let host = server.address;
    write!(socket, "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    server
}

async fn fill(path: &Path) {
    let database = Database::open(path.to_owned().into()).await.unwrap();
    let db = rows::connect(path).await;
    let tasks = rows::tasks(&db, TASKS).await;
    let mut tasks = tasks.iter().cycle();
    for _ in 0..EVENTS / BATCH {
        rows::insert_many(&db, tasks.by_ref().take(BATCH)).await;
    }
    db.close().await.unwrap();
    fold::fold_all(&database).await.unwrap();
    database.close("filled").await;
}
