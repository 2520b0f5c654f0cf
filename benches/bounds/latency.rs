//! The time from a commit until a client has the frame.
//!
//! The time starts just before the commit and ends when a client on the loopback device has read the frame. It is an
//! upper bound for the time until the server has passed the frame to the socket.

use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use requery::server::database::WriteTransaction;
use sea_orm::{SqliteTransactionMode, TransactionOptions, TransactionTrait};

use crate::machine::now;
use crate::rows;
use crate::server::{Inside, runtime};
use crate::socket::{Blocking, events_of};
use crate::table::{Limit, Row, quantile};

/// With this argument the program writes events instead of measuring.
pub const WRITER: &str = "--write-events";

const ROUNDS: usize = 3;
const CHANGES: usize = 100;
/// The first changes are slow and are not measured.
const WARM_UP: usize = 5;
/// The server polls the database often for two seconds after a change. These rounds wait longer ([`QUIET`]).
const QUIET_ROUNDS: usize = 3;
const QUIET_CHANGES: usize = 5;
const QUIET: u64 = 2_300;
/// The pause between two changes, in milliseconds. A random part of up to a tenth is added, so that the changes do not
/// run in step with a timer.
const APART: u64 = 100;
/// The longest time to wait for a frame.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);

pub fn measure() -> Vec<Row> {
    let server = Inside::start();
    let frames = listen(server.address);
    let task = runtime().block_on(async { server.write(async |tx| rows::tasks(tx, 1).await.remove(0)).await.0 });
    let write_beside = |times: usize, pause: u64| {
        let program = std::env::current_exe().unwrap();
        let mut writer = Command::new(program);
        writer.arg(WRITER).arg(server.database.path()).args([&task, &times.to_string(), &pause.to_string()]);
        let written = String::from_utf8(writer.stderr(Stdio::inherit()).output().unwrap().stdout).unwrap();
        delays(&written.lines().map(|line| line.parse().unwrap()).collect::<Vec<_>>(), &frames)
    };
    delays(&write_here(&server, &task, WARM_UP), &frames);
    let by_server: Vec<_> = (0..ROUNDS).map(|_| delays(&write_here(&server, &task, CHANGES), &frames)).collect();
    let by_process: Vec<_> = (0..ROUNDS).map(|_| write_beside(CHANGES, APART)).collect();
    let after_quiet: Vec<_> = (0..QUIET_ROUNDS).map(|_| write_beside(QUIET_CHANGES, QUIET)).collect();
    let row = |writer: &str, share: f64, rounds: &[Vec<f64>], limit| {
        let percent = share * 100.0;
        let values = rounds.iter().map(|round| quantile(round, share)).collect();
        Row::new(format!("commit to frame, {writer}, p{percent:.0}"), values, " ms", limit)
    };
    vec![
        row("written by the server", 0.5, &by_server, Limit::AtMost(1.0)),
        row("written by the server", 0.99, &by_server, Limit::AtMost(5.0)),
        row("written by another process", 0.5, &by_process, Limit::AtMost(10.0)),
        row("written by another process", 0.99, &by_process, Limit::Open),
        row("written by another process after quiet", 0.5, &after_quiet, Limit::AtMost(50.0)),
    ]
}

/// Opens a WebSocket and returns the time at which the frame of each event arrives.
pub fn listen(address: SocketAddr) -> Receiver<u64> {
    let mut socket = Blocking::open(address);
    let (sender, frames) = channel();
    std::thread::spawn(move || {
        while let Some(frame) = socket.frame() {
            let at = now();
            for _ in 0..events_of(&frame) {
                let _ = sender.send(at);
            }
        }
    });
    frames
}

/// The time from each commit to the frame of its event, in milliseconds.
pub fn delays(written: &[u64], frames: &Receiver<u64>) -> Vec<f64> {
    let delay = |at: &u64| (frames.recv_timeout(FRAME_TIMEOUT).expect("a frame is lost") as f64 - *at as f64) / 1e6;
    written.iter().map(delay).collect()
}

fn write_here(server: &Inside, task: &str, times: usize) -> Vec<u64> {
    runtime().block_on(async {
        let mut written = Vec::new();
        for _ in 0..times {
            pause(APART).await;
            let insert = async |tx: &WriteTransaction| {
                rows::insert(tx, task).await;
                now()
            };
            written.push(server.write(insert).await.0);
        }
        written
    })
}

/// Runs as a separate process: writes events, and prints the time of each commit. Arguments: PATH TASK TIMES PAUSE.
pub fn write(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<_> = arguments.collect();
    let [path, task, times, pause_ms] = arguments.as_slice() else { return ExitCode::FAILURE };
    runtime().block_on(async {
        let db = rows::connect(path.as_ref()).await;
        for _ in 0..times.parse().unwrap() {
            pause(pause_ms.parse().unwrap()).await;
            let mode = Some(SqliteTransactionMode::Immediate);
            let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
            let write = db.begin_with_options(options).await.unwrap();
            rows::insert(&write, task).await;
            let at = now();
            write.commit().await.unwrap();
            println!("{at}");
        }
    });
    ExitCode::SUCCESS
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_micros(ms * 1000 + fastrand::u64(..ms * 100))).await;
}
