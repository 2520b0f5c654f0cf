//! A task that starts to wait for a person, while other tasks change 500 times a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::machine::{is_quick, now, rounds};
use crate::swarm::{Opening, Swarm, wait_until};
use crate::table::{Limit, Row};

use super::projects::{offered, write_at};
use super::{Requery, percentile, until};

const CONNECTIONS: usize = 100;
const OTHER_CHANGES: usize = 500;
const OTHER_TASKS: usize = 50;
/// The times that the task starts to wait in one round of a full run and of a quick one.
const TURNS: [usize; 2] = [60, 40];
/// The pause between two tasks that start to wait. A random part is added, so that they do not run in step with a
/// window.
const APART_MS: u64 = 100;
const TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let mut requery = Requery::start(&[]);
        let others = requery.tasks(OTHER_TASKS, "acme-web");
        let task = requery.tasks(1, "acme-web").remove(0);
        let address = requery.server.address;
        let swarm = Swarm::open(Opening::requery(address, CONNECTIONS));
        let (mut delays, mut patches, mut done) = (Vec::new(), Vec::new(), Vec::new());
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let load = scope.spawn(|| write_at(address, &others, OTHER_CHANGES, &is_over));
            for _ in 0..rounds() {
                swarm.record();
                let (mut changes, mut times, mut due) = (Vec::new(), Vec::new(), now());
                for turn in 0..2 * TURNS[usize::from(is_quick())] {
                    due += (APART_MS / 2 + fastrand::u64(..APART_MS)) * 1_000_000;
                    until(due);
                    let status = ["waiting", "running"][turn % 2];
                    let path = format!("/api/v1/tasks/{task}");
                    let changed = requery.writer.done("PATCH", &path, &format!(r#"{{"status":"{status}"}}"#));
                    if turn % 2 == 0 {
                        changes.push((changed.cursor(), due));
                        times.push((now() - due) as f64 / 1e6);
                    }
                }
                let last = changes.last().unwrap().0;
                wait_until("each connection has the last change", TIMEOUT, || swarm.behind(last) == 0);
                delays.push(swarm.delays(&changes));
                patches.push(times);
            }
            is_over.store(true, Ordering::SeqCst);
            done.push(load.join().unwrap());
        });
        let name = |figure: &str| format!("a task starts to wait beside 500 other changes a second, {figure}");
        vec![
            Row::new(name("request to client, p50"), percentile(&delays, 0.5), " ms", Limit::Open),
            Row::new(name("request to client, p99"), percentile(&delays, 0.99), " ms", Limit::AtMost(20.0)),
            Row::new(name("request to answer, p50"), percentile(&patches, 0.5), " ms", Limit::Open),
            Row::new(name("request to answer, p99"), percentile(&patches, 0.99), " ms", Limit::Open),
            Row::new("the other changes meanwhile", done, " /s", offered(OTHER_CHANGES)),
        ]
    })
}
