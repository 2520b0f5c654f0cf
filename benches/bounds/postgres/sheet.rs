//! The costs of the sheet in `docs/scale.md`, and its check: the sheet computes the processor time of a load of
//! `requery bench` from these costs, and the processor time that was measured is the other side.
//!
//! The first server has the lease and takes the writes. The second one follows, and comes and goes in each round: what
//! Postgres spends more beside it is the cost of one server more.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use crate::exchange::Exchange;
use crate::machine::{busy, is_quick, now, rounds};
use crate::performance::{log, paced};
use crate::server::{program, runtime};
use crate::swarm::{Opening, Swarm};
use crate::table::{Limit, Row};

use super::{Cluster, Db, Replica};

/// The tasks that are written.
const TASKS: usize = 20;
/// After so long without a change a server looks less often.
const QUIET: Duration = Duration::from_secs(11);
/// The time without a load.
const IDLE: Duration = Duration::from_secs(4);
/// The writes of one measurement, and the pause between two: each is a transaction, and each server looks for each.
const WRITES: usize = 400;
const WRITES_APART: Duration = Duration::from_millis(10);
/// The rows of one larger write, the number of these, and the pause between two.
const ROWS: usize = 50;
const LARGE_WRITES: usize = 40;
const LARGE_WRITES_APART: Duration = Duration::from_millis(100);
/// The pause in which the figures and the search index catch up, which is part of a measurement.
const CATCH_UP: Duration = Duration::from_millis(1_500);
const CATCH_UP_WITH_ROWS: Duration = Duration::from_secs(4);
/// The streams that receive each change, the changes, and the pause between two: longer than a window.
const WATCHERS: usize = 1_000;
const CHANGES: usize = 40;
const CHANGES_APART: Duration = Duration::from_millis(100);
/// The answers that are read from the database, and how often one of them is read from memory.
const READS: usize = 300;
const READS_OF_ONE: usize = 3_000;
/// The load of the check.
const BENCH: &[&str] = &["--watchers", "200", "--rate", "100", "--readers", "4", "--tasks", "20", "--json"];
/// The seconds of that load in a full run and in a quick one.
const BENCH_SECONDS: [&str; 2] = ["10", "6"];

/// The costs of the sheet, in seconds of processor time: of the servers, and of Postgres.
#[derive(Clone, Copy, Default)]
struct Costs {
    /// A server without a load, in a second.
    idle: [f64; 2],
    /// A write, without the looks.
    write: [f64; 2],
    /// A look of one server at a new change.
    look: [f64; 2],
    /// A further row of a write.
    further: [f64; 2],
    /// A further row of a look, in the server. In Postgres that is the cost of the ladder.
    further_of_look: f64,
    /// A frame that one stream receives.
    frame: f64,
    /// A read of one answer.
    read: [f64; 2],
    /// An answer from memory.
    kept: f64,
}

/// What a load consists of.
struct Load {
    servers: f64,
    seconds: f64,
    writes: f64,
    frames: f64,
    reads: f64,
    kept: f64,
}

/// The processor time of a measurement in seconds.
struct Spent {
    seconds: f64,
    servers: Vec<f64>,
    postgres: f64,
}

impl Costs {
    /// The processor time of a load: of the servers, and of Postgres.
    fn of(&self, load: &Load) -> [f64; 2] {
        let of_both = |side: usize| {
            load.writes * self.write[side]
                + load.servers * (load.seconds * self.idle[side] + load.writes * self.look[side])
                + load.reads * self.read[side]
        };
        [of_both(0) + load.frames * self.frame + load.kept * self.kept, of_both(1)]
    }
}

pub fn measure() -> Vec<Row> {
    super::on_cluster(|cluster| {
        let db = runtime().block_on(cluster.create("sheet"));
        let tasks = runtime().block_on(super::tasks(&db, TASKS));
        let first = Replica::start(db.url());
        let (mut all, mut checks) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=rounds() {
            let (costs, second) = costs(&cluster, &db, &first, &tasks);
            let check = check(&cluster, &first, &second, &costs);
            if round > 0 {
                all.push(costs);
                checks.push(check);
            }
        }
        rows(&all, &checks)
    })
}

/// Measures the costs. Returns the second server too.
fn costs(cluster: &Cluster, db: &Db, first: &Replica, tasks: &[String]) -> (Costs, Replica) {
    let mut costs = Costs::default();
    super::rest(cluster, &[first]);
    std::thread::sleep(QUIET);
    let idle = spend(cluster, &[first], || std::thread::sleep(IDLE));
    costs.idle = [idle.servers[0] / idle.seconds, idle.postgres / idle.seconds];
    let write_all = || {
        write(first.server.address, tasks, 1, (WRITES, WRITES_APART));
        std::thread::sleep(CATCH_UP);
    };
    let alone = spend(cluster, &[first], write_all);
    let second = Replica::start(db.url());
    super::rest(cluster, &[first, &second]);
    let both = spend(cluster, &[first, &second], write_all);
    let idle = |spent: &Spent, side: usize| costs.idle[side] * spent.seconds;
    let each = |time: f64| (time / WRITES as f64).max(0.0);
    costs.look = [each(both.servers[1] - idle(&both, 0)), each(both.postgres - alone.postgres - idle(&both, 1))];
    costs.write = [
        each(alone.servers[0] - idle(&alone, 0)) - costs.look[0],
        each(alone.postgres - idle(&alone, 1)) - costs.look[1],
    ];

    super::rest(cluster, &[first, &second]);
    let large = spend(cluster, &[first, &second], || {
        write(first.server.address, tasks, ROWS, (LARGE_WRITES, LARGE_WRITES_APART));
        std::thread::sleep(CATCH_UP_WITH_ROWS);
    });
    let further =
        |time: f64, of_one: f64| ((time - of_one * LARGE_WRITES as f64) / ((ROWS - 1) * LARGE_WRITES) as f64).max(0.0);
    costs.further_of_look = further(large.servers[1] - idle(&large, 0), costs.look[0]);
    let of_one = [costs.write[0] + costs.look[0], costs.write[1] + 2.0 * costs.look[1]];
    costs.further = [
        further(large.servers[0] - idle(&large, 0), of_one[0]) - costs.further_of_look,
        further(large.postgres - 2.0 * idle(&large, 1), of_one[1]),
    ];

    let swarm = Swarm::open(Opening::requery(second.server.address, WATCHERS));
    super::rest(cluster, &[first, &second]);
    let before = swarm.seen.frames.load(Ordering::SeqCst);
    let sent = spend(cluster, &[&second], || {
        write(first.server.address, tasks, 1, (CHANGES, CHANGES_APART));
        std::thread::sleep(CATCH_UP);
    });
    let frames = swarm.seen.frames.load(Ordering::SeqCst) - before;
    drop(swarm);
    let without_frames = costs.idle[0] * sent.seconds + costs.look[0] * CHANGES as f64;
    costs.frame = (sent.servers[0] - without_frames).max(0.0) / frames as f64;

    let new = runtime().block_on(super::tasks(db, READS));
    super::rest(cluster, &[first, &second]);
    let mut reader = Exchange::open(second.server.address);
    let mut get = |task: &str| _ = reader.done("GET", &format!("/api/v1/tasks/{task}"), "");
    let read = spend(cluster, &[&second], || new.iter().for_each(|task| get(task)));
    costs.read = [
        (read.servers[0] - costs.idle[0] * read.seconds) / READS as f64,
        // Both servers are idle beside the reads.
        (read.postgres - 2.0 * costs.idle[1] * read.seconds) / READS as f64,
    ];
    let kept = spend(cluster, &[&second], || (0..READS_OF_ONE).for_each(|_| get(&new[0])));
    costs.kept = (kept.servers[0] - costs.idle[0] * kept.seconds) / READS_OF_ONE as f64;
    (costs, second)
}

/// Puts a load on the first server. Returns the factor between the sheet and the measurement: of the servers, and of
/// Postgres.
fn check(cluster: &Cluster, first: &Replica, second: &Replica, costs: &Costs) -> [f64; 2] {
    super::rest(cluster, &[first, second]);
    let mut figures = Value::Null;
    let spent = spend(cluster, &[first, second], || {
        let url = format!("http://{}", first.server.address);
        let seconds = BENCH_SECONDS[usize::from(is_quick())];
        let bench =
            Command::new(program()).args(["bench", "--server", &url, "--seconds", seconds]).args(BENCH).output();
        let bench = bench.unwrap();
        assert!(bench.status.success(), "{}", String::from_utf8_lossy(&bench.stderr));
        figures = serde_json::from_slice(&bench.stdout).unwrap();
        std::thread::sleep(CATCH_UP);
    });
    let figure = |place: &str| figures.pointer(place).and_then(Value::as_f64).unwrap();
    let load = Load {
        servers: spent.servers.len() as f64,
        seconds: spent.seconds,
        // Each task is also started.
        writes: figure("/writes/count") + figure("/load/tasks"),
        frames: figure("/frames"),
        reads: figure("/fetches/server_reads/database"),
        kept: figure("/fetches/server_reads/memory") + figure("/fetches/server_reads/not_modified"),
    };
    let [servers, postgres] = costs.of(&load);
    let factor = |computed: f64, measured: f64| (computed / measured).max(measured / computed);
    [factor(servers, spent.servers.iter().sum()), factor(postgres, spent.postgres)]
}

fn rows(all: &[Costs], checks: &[[f64; 2]]) -> Vec<Row> {
    let row = |name: &str, scale: f64, unit, cost: fn(&Costs) -> f64| {
        let name = format!("processor time of {name}");
        Row::new(name, all.iter().map(|costs| cost(costs) * scale).collect(), unit, Limit::Open)
    };
    let checked = |name: &str, side: usize| {
        let name = format!("the sheet and a load of `requery bench`, {name}");
        Row::new(name, checks.iter().map(|check| check[side]).collect(), "x", Limit::AtMost(2.0))
    };
    vec![
        row("an idle server in a second, the server", 1e3, " ms", |costs| costs.idle[0]),
        row("an idle server in a second, Postgres", 1e3, " ms", |costs| costs.idle[1]),
        row("a write, the server", 1e6, " µs", |costs| costs.write[0]),
        row("a write, Postgres", 1e6, " µs", |costs| costs.write[1]),
        row("a look at a new change, the server", 1e6, " µs", |costs| costs.look[0]),
        row("a look at a new change, Postgres", 1e6, " µs", |costs| costs.look[1]),
        row("a further row of a write, the server", 1e6, " µs", |costs| costs.further[0]),
        row("a further row of a write, Postgres", 1e6, " µs", |costs| costs.further[1]),
        row("a further row of a look, the server", 1e6, " µs", |costs| costs.further_of_look),
        row("a frame of one stream, the server", 1e6, " µs", |costs| costs.frame),
        row("a read of a task, the server", 1e6, " µs", |costs| costs.read[0]),
        row("a read of a task, Postgres", 1e6, " µs", |costs| costs.read[1]),
        row("an answer from memory, the server", 1e6, " µs", |costs| costs.kept),
        checked("the servers", 0),
        checked("Postgres", 1),
    ]
}

fn spend(cluster: &Cluster, replicas: &[&Replica], work: impl FnOnce()) -> Spent {
    let of_servers = || replicas.iter().map(|replica| busy(replica.server.process())).collect::<Vec<_>>();
    let (began, servers, postgres) = (now(), of_servers(), cluster.processor_time());
    work();
    let postgres = cluster.processor_time() - postgres;
    let servers = of_servers().iter().zip(servers).map(|(after, before)| after - before).collect();
    Spent { seconds: (now() - began) as f64 / 1e9, servers, postgres }
}

/// Logs so many events at once through a server, so many times, each at its due time.
fn write(address: SocketAddr, tasks: &[String], rows: usize, (writes, apart): (usize, Duration)) {
    let mut writer = Exchange::open(address);
    for (_, task) in paced(writes, apart).zip(tasks.iter().cycle()) {
        log(&mut writer, task, rows);
    }
}
