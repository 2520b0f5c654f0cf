//! One project at ten times the load beside another project.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::exchange::Exchange;
use crate::machine::rounds;
use crate::swarm::{Opening, Swarm, wait_until};
use crate::table::{Limit, Row, quantile};

use super::{Requery, log, paced, ratios};

const CONNECTIONS: usize = 100;
const TASKS: usize = 20;
/// The changes a second of the busy project, at its own load and at ten times the load.
const LOADS: [usize; 2] = [50, 500];
/// The changes of the other project in one turn.
const CHANGES: usize = 150;
const APART: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let mut requery = Requery::start(&[]);
        let address = requery.server.address;
        let (busy, other) = (requery.tasks(TASKS, "busy"), requery.tasks(TASKS, "other"));
        let of_project = |project: &str| Opening {
            path: format!("/ws?project={project}"),
            ..Opening::requery(address, CONNECTIONS)
        };
        let (_at_busy, at_other) = (Swarm::open(of_project("busy")), Swarm::open(of_project("other")));
        let mut figures = [const { [Vec::new(), Vec::new(), Vec::new()] }; 2];
        for round in 0..=rounds() {
            for which in [round % 2, 1 - round % 2] {
                let is_over = AtomicBool::new(false);
                let (delays, rate) = std::thread::scope(|scope| {
                    let load = scope.spawn(|| write_at(address, &busy, LOADS[which], &is_over));
                    at_other.record();
                    let due_with_task = paced(CHANGES, APART).zip(other.iter().cycle());
                    let changes: Vec<_> =
                        due_with_task.map(|(due, task)| (log(&mut requery.writer, task, 1).cursor(), due)).collect();
                    is_over.store(true, Ordering::SeqCst);
                    let last = changes.last().unwrap().0;
                    wait_until("each connection has the last change", TIMEOUT, || at_other.behind(last) == 0);
                    (at_other.delays(&changes), load.join().unwrap())
                });
                // The first round warms up.
                if round > 0 {
                    let figures = &mut figures[which];
                    figures[0].push(quantile(&delays, 0.5));
                    figures[1].push(quantile(&delays, 0.99));
                    figures[2].push(rate);
                }
            }
        }
        let [quiet, loud] = &figures;
        let mut rows = Vec::new();
        for (at, share, bound) in [(0, "p50", 1.2), (1, "p99", 2.0)] {
            let name =
                |beside: &str| format!("a project with 50 changes a second, request to client, {share}, {beside}");
            rows.push(Row::new(name("beside a project with 50"), quiet[at].clone(), " ms", Limit::Open));
            rows.push(Row::new(name("beside a project with 500"), loud[at].clone(), " ms", Limit::Open));
            rows.push(Row::new(
                name("the second to the first"),
                ratios(&loud[at], &quiet[at]),
                "x",
                Limit::AtMost(bound),
            ));
        }
        for (figures, load) in figures.iter().zip(LOADS) {
            let name = format!("the changes of the project with {load} a second");
            rows.push(Row::new(name, figures[2].clone(), " /s", offered(load)));
        }
        rows
    })
}

/// The bound of a load that has to be taken: so many changes a second.
pub fn offered(rate: usize) -> Limit {
    Limit::AtLeast(0.95 * rate as f64)
}

/// Logs so many events a second on these tasks in turn, until `is_over`. Returns how many a second were taken.
pub fn write_at(address: SocketAddr, tasks: &[String], rate: usize, is_over: &AtomicBool) -> f64 {
    /// So many that a write that waits for the write lock holds up no other one.
    const WRITERS: usize = 8;
    let began = Instant::now();
    let taken: usize = std::thread::scope(|scope| {
        let writer = |which: usize| {
            move || {
                let (mut writer, mut taken) = (Exchange::open(address), 0);
                for number in (which..).step_by(WRITERS) {
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let due = Duration::from_secs(1) * number as u32 / rate as u32;
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                    log(&mut writer, &tasks[number % tasks.len()], 1);
                    taken += 1;
                }
                taken
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|which| scope.spawn(writer(which))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    taken as f64 / began.elapsed().as_secs_f64()
}
