//! The time from a commit until a client of another server has the frame.
//!
//! Two servers on one database: the client listens to the one, and the change is written through the other one or with
//! SQL. The bound holds for the time from the answer of the commit, since the flush of Postgres to the disk is the
//! same without requery; the time from before the commit stands beside it.

use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::exchange::Exchange;
use crate::latency::{delays, listen};
use crate::machine::{is_quick, now, rounds};
use crate::performance::{log, percentile};
use crate::server::runtime;
use crate::table::{Limit, Row};

use super::{Db, Replica, commit_event};

/// The changes of one round in a full run and in a quick one.
const CHANGES: [usize; 2] = [150, 60];
const WARM_UP: usize = 10;
/// The pause between two changes, with a random part of up to a half: a first change after a quiet time leaves the
/// server at once, and the changes do not run in step with a timer.
const APART: u64 = 100;
const SLOWEST: Limit = Limit::AtMost(60.0);

/// The delays of all rounds, from before the commit and from its answer.
#[derive(Default)]
struct Delays {
    sent: Vec<Vec<f64>>,
    done: Vec<Vec<f64>>,
}

pub fn measure() -> Vec<Row> {
    super::on_cluster(|cluster| {
        let db = runtime().block_on(cluster.create("latency"));
        let task = runtime().block_on(super::tasks(&db, 1)).remove(0);
        let (first, second) = (Replica::start(db.url()), Replica::start(db.url()));
        let frames = listen(second.server.address);
        let (mut by_rest, mut by_poll, mut by_notify) = (Delays::default(), Delays::default(), Delays::default());
        let notify = |value: &str| {
            let set = format!(
                "insert into requery.settings values ('notify', '{value}')
                on conflict (name) do update set value = excluded.value"
            );
            runtime().block_on(db.run(&set));
        };
        for round in 0..=rounds() {
            let is_measured = round > 0;
            let changes = if is_measured { CHANGES[usize::from(is_quick())] } else { WARM_UP };
            notify("off");
            by_rest.note(is_measured, &by_request(first.server.address, &task, changes), &frames);
            by_poll.note(is_measured, &by_sql(&db, &task, changes), &frames);
            notify("on");
            by_notify.note(is_measured, &by_sql(&db, &task, changes), &frames);
        }
        let mut rows = by_rest.rows("by REST at another server", 10.0);
        rows.extend(by_notify.rows("with SQL and notify", 3.0));
        rows.extend(by_poll.rows("with SQL, found by the poll", 30.0));
        rows
    })
}

impl Delays {
    /// Waits for the frames of these changes.
    fn note(&mut self, is_measured: bool, written: &[(u64, u64)], frames: &Receiver<u64>) {
        let (sent, done): (Vec<u64>, Vec<u64>) = written.iter().copied().unzip();
        let from_sent = delays(&sent, frames);
        if is_measured {
            let from_done = from_sent.iter().zip(sent.iter().zip(&done));
            self.done.push(from_done.map(|(delay, (sent, done))| delay - (done - sent) as f64 / 1e6).collect());
            self.sent.push(from_sent);
        }
    }

    fn rows(&self, writer: &str, half: f64) -> Vec<Row> {
        let row = |what: &str, rounds: &[Vec<f64>], share: f64, limit| {
            let name = format!("{what}, written {writer}, p{:.0}", share * 100.0);
            Row::new(name, percentile(rounds, share), " ms", limit)
        };
        vec![
            row("commit to frame of another server", &self.done, 0.5, Limit::AtMost(half)),
            row("commit to frame of another server", &self.done, 0.99, SLOWEST),
            row("  from before the commit", &self.sent, 0.5, Limit::Open),
            row("  from before the commit", &self.sent, 0.99, Limit::Open),
        ]
    }
}

/// Writes through a server. Returns the times just before each request and just after its answer.
fn by_request(address: SocketAddr, task: &str, changes: usize) -> Vec<(u64, u64)> {
    let mut writer = Exchange::open(address);
    let write = |_| {
        std::thread::sleep(pause());
        let sent = now();
        log(&mut writer, task, 1);
        (sent, now())
    };
    (0..changes).map(write).collect()
}

/// Writes with SQL. Returns the times just before each commit and just after its answer.
fn by_sql(db: &Db, task: &str, changes: usize) -> Vec<(u64, u64)> {
    runtime().block_on(async {
        let mut connection = db.connect().await;
        let mut written = Vec::new();
        for _ in 0..changes {
            tokio::time::sleep(pause()).await;
            let change = commit_event(&mut connection, task).await.unwrap();
            written.push((change.sent, change.done));
        }
        written
    })
}

fn pause() -> Duration {
    Duration::from_micros(APART * 1_000 + fastrand::u64(..APART * 500))
}
