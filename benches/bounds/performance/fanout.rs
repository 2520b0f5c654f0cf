//! The processor time of the server for a delivered frame, one frame at a time and many at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::bare::{Bare, Floor, broadcast, renumbered};
use crate::exchange::Exchange;
use crate::machine::{busy, rounds};
use crate::rows;
use crate::swarm::{Opening, Swarm, wait_until};
use crate::table::{Limit, Row};

use super::{Requery, compared, paced, ratios};

const CONNECTIONS: usize = 1_000;
/// The number of tasks that change in one transaction. Each task has a notice of its own.
const TOGETHER: usize = 32;
/// The changes of one round, one at a time and together.
const CHANGES: [(usize, usize); 2] = [(1, 40), (TOGETHER, 30)];
/// The pause between two changes, for every server: a server that works without a pause finds warmer caches. Longer
/// than the window.
const APART: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("requery.db");
        let windows = [("40ms", "with the default window"), ("1ms", "with a window of 1 ms")];
        let started = windows.map(|(window, _)| {
            let path = path.with_extension(window);
            let requery = Requery::on(&path, &["--window", window]);
            let db = runtime.block_on(rows::connect(&path));
            let tasks = runtime.block_on(rows::tasks(&db, TOGETHER));
            let swarm = Swarm::open(Opening::requery(requery.server.address, CONNECTIONS));
            (requery, db, tasks, swarm)
        });
        let (bare, floor) = (Bare::start(), Floor::start(CONNECTIONS));
        let mut to_bare = Exchange::open(bare.address);
        let at_bare = Swarm::open(Opening::bare(bare.address, CONNECTIONS));
        let at_floor = Swarm::open(Opening::bare(floor.address, CONNECTIONS));
        let mut figures = vec![[const { Vec::new() }; 4]; CHANGES.len()];
        for round in 0..=rounds() {
            for ((together, changes), figures) in CHANGES.into_iter().zip(&mut figures) {
                let mut spent = [0.0; 4];
                for (which, (requery, db, tasks, swarm)) in started.iter().enumerate() {
                    let before = requery.busy();
                    for _ in paced(changes, APART) {
                        let due = swarm.seen.events.load(Ordering::Relaxed) + (CONNECTIONS * together) as u64;
                        runtime.block_on(rows::insert_many(db, &tasks[..together]));
                        until_delivered(swarm, due);
                    }
                    spent[which] = requery.busy() - before;
                }
                let text = renumbered(&started[0].3.sample(), 1);
                let before = busy(bare.process());
                for _ in paced(changes, APART) {
                    let due = at_bare.seen.events.load(Ordering::Relaxed) + (CONNECTIONS * together) as u64;
                    broadcast(&mut to_bare, &text, together);
                    until_delivered(&at_bare, due);
                }
                spent[2] = busy(bare.process()) - before;
                for _ in paced(changes, APART) {
                    let due = at_floor.seen.events.load(Ordering::Relaxed) + (CONNECTIONS * together) as u64;
                    spent[3] += floor.broadcast(&text, together);
                    until_delivered(&at_floor, due);
                }
                // The first round warms up.
                if round > 0 {
                    for (figures, spent) in figures.iter_mut().zip(spent) {
                        figures.push(spent * 1e6 / (CONNECTIONS * changes * together) as f64);
                    }
                }
            }
        }
        let mut rows = Vec::new();
        for ((together, _), [ours, short_window, bare, floor]) in CHANGES.into_iter().zip(&figures) {
            let load = if together == 1 { "one at a time".to_owned() } else { format!("{together} at a time") };
            let name = format!("CPU of a delivered frame, {CONNECTIONS} connections, {load}");
            let bound = Limit::AtMost(1.0);
            rows.extend(compared(
                &name,
                ours,
                &[("bare poem", bare, bound), ("kernel alone", floor, Limit::Open)],
                " µs",
            ));
            rows.push(Row::new(
                format!("{name}, {}, to bare poem", windows[1].1),
                ratios(short_window, bare),
                "x",
                Limit::Open,
            ));
            rows.push(Row::new(format!("{name}, kernel alone to bare poem"), ratios(floor, bare), "x", Limit::Open));
        }
        rows
    })
}

fn until_delivered(swarm: &Swarm, due: u64) {
    wait_until("each frame is delivered", TIMEOUT, || swarm.seen.events.load(Ordering::Relaxed) >= due);
}
