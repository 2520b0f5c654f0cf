//! Ten thousand changes a second beside a thousand connections.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::exchange::Exchange;
use crate::machine::{is_quick, now, rounds};
use crate::swarm::{Opening, Swarm};
use crate::table::{Limit, Row};

use super::{Requery, log};

const CONNECTIONS: usize = 1_000;
const BATCH: usize = 100;
const BATCHES_A_SECOND: usize = 100;
const WRITERS: usize = 4;
const TASKS: usize = 1_000;
const CONVERGE_TIMEOUT: Duration = Duration::from_secs(60);

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let seconds = if is_quick() { 8 } else { 20 };
        let mut rows = Vec::new();
        for (tasks, load) in [(TASKS, "on 1000 tasks"), (1, "on one task")] {
            let (mut flushes, mut accepted, mut converged) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds() {
                let mut requery = Requery::start(&[]);
                let tasks = requery.tasks(tasks, "acme-web");
                let swarm = Swarm::open(Opening::requery(requery.server.address, CONNECTIONS));
                let before = swarm.seen.flushes.load(Ordering::SeqCst);
                let (took, last) = write(&requery, &tasks, seconds);
                accepted.push((seconds * BATCHES_A_SECOND * BATCH) as f64 / took.as_secs_f64() / 1e3);
                let ended = now();
                let until = Instant::now() + CONVERGE_TIMEOUT;
                while swarm.behind(last) > 0 && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(1));
                }
                converged.push((now() - ended) as f64 / 1e9);
                let sent = (swarm.seen.flushes.load(Ordering::SeqCst) - before) as f64;
                flushes.push(sent / CONNECTIONS as f64 / took.as_secs_f64());
            }
            let name = |figure: &str| {
                format!("{CONNECTIONS} connections, 10,000 changes a second {load} for {seconds} s: {figure}")
            };
            rows.push(Row::new(name("flushes a second each"), flushes, "", Limit::AtMost(25.0)));
            rows.push(Row::new(name("changes accepted"), accepted, "k/s", Limit::AtLeast(9.9)));
            rows.push(Row::new(name("all converged after"), converged, " s", Limit::AtMost(1.0)));
        }
        rows
    })
}

/// Writes at the pace. Returns the time that it took and the cursor of the last write.
fn write(requery: &Requery, tasks: &[String], seconds: usize) -> (Duration, u64) {
    let (address, began) = (requery.server.address, Instant::now());
    let batches = seconds * BATCHES_A_SECOND;
    let last = std::thread::scope(|scope| {
        let writer = |which: usize| {
            move || {
                let mut writer = Exchange::open(address);
                let mut cursor = 0;
                for batch in (which..batches).step_by(WRITERS) {
                    let due = Duration::from_secs(1) * batch as u32 / BATCHES_A_SECOND as u32;
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                    cursor = log(&mut writer, &tasks[batch % tasks.len()], BATCH).cursor();
                }
                cursor
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|which| scope.spawn(writer(which))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).max().unwrap()
    });
    (began.elapsed(), last)
}
