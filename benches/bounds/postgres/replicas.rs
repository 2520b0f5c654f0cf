//! Three servers on one database: each watcher of each server gets the last change, and clients that ask after each
//! notice cost each server at most one query of each read model for each state.

use std::net::SocketAddr;
use std::time::Duration;

use requery::protocol::Cursor;
use serde_json::Value;

use crate::exchange::Exchange;
use crate::machine::{now, rounds};
use crate::performance::{counter, log, paced};
use crate::server::runtime;
use crate::socket::Blocking;
use crate::swarm::{Opening, Swarm, wait_until};
use crate::table::{Limit, Row};

use super::{Db, Replica, commit_event, contains};

const REPLICAS: usize = 3;
/// The watchers of each server.
const WATCHERS: usize = 1_000;
const TASKS: usize = 20;
/// The time of the writes of one round.
const LOAD: Duration = Duration::from_secs(10);
/// The pause between two writes of one writer. There is one for each server, and one with SQL.
const APART: Duration = Duration::from_millis(100);
/// The clients of each server that ask after each notice.
const ASKERS: usize = 100;
/// The number of changes in one round with askers, and the pause between two. It is longer than a window and the
/// answers of a change, so that each change is a state of its own.
const STATES: usize = 30;
const STATES_APART: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_secs(20);

const QUERIES: &str = "requery_queries_total";

pub fn measure() -> Vec<Row> {
    super::on_cluster(|cluster| {
        let db = runtime().block_on(cluster.create("replicas"));
        let tasks = runtime().block_on(super::tasks(&db, TASKS));
        let replicas: Vec<_> = (0..REPLICAS).map(|_| Replica::start(db.url())).collect();
        let addresses: Vec<_> = replicas.iter().map(|replica| replica.server.address).collect();
        let mut rows = watched(&db, &tasks, &addresses);
        super::rest(&cluster, &replicas.iter().collect::<Vec<_>>());
        rows.extend(asked(&db, &tasks[0], &addresses));
        rows
    })
}

fn watched(db: &Db, tasks: &[String], addresses: &[SocketAddr]) -> Vec<Row> {
    let swarms: Vec<_> = addresses.iter().map(|address| Swarm::open(Opening::requery(*address, WATCHERS))).collect();
    swarms.iter().for_each(Swarm::keep_cursors);
    let (mut lacking, mut times, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let began = now();
        let turns = (LOAD.as_millis() / APART.as_millis()) as usize;
        let last_of_servers = std::thread::scope(|scope| {
            let writers = addresses.iter().map(|address| scope.spawn(|| write_by_rest(*address, tasks, turns)));
            let writers: Vec<_> = writers.collect();
            write_by_sql(db, tasks, turns);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        rates.push(((REPLICAS + 1) * turns) as f64 / ((now() - began) as f64 / 1e9));
        let last = write_by_sql(db, tasks, 1);
        let ended = now();
        let has_all =
            |cursor: &Cursor| contains(cursor, last) && last_of_servers.iter().all(|other| cursor.covers(other));
        let count = || swarms.iter().map(|swarm| swarm.lacking(has_all)).sum::<usize>();
        let mut left = count();
        while left > 0 && now() - ended < TIMEOUT.as_nanos() as u64 {
            std::thread::sleep(Duration::from_millis(2));
            left = count();
        }
        times.push((now() - ended) as f64 / 1e6);
        lacking.push(left as f64);
    }
    let name = |figure: &str| format!("{REPLICAS} servers, {} watchers, {figure}", REPLICAS * WATCHERS);
    vec![
        Row::new(name("changes"), rates, " /s", Limit::Open),
        Row::new(name("watchers that lack the last change"), lacking, "", Limit::AtMost(0.0)),
        Row::new(name("commit to the last watcher"), times, " ms", Limit::Open),
    ]
}

/// Logs events through a server. Returns the cursor of the last one.
fn write_by_rest(address: SocketAddr, tasks: &[String], turns: usize) -> Cursor {
    let mut writer = Exchange::open(address);
    let mut last = None;
    for (_, task) in paced(turns, APART).zip(tasks.iter().cycle()) {
        last = Some(log(&mut writer, task, 1));
    }
    let last = last.expect("a write");
    last.header("requery-cursor").expect("an answer with a cursor").parse().unwrap()
}

/// Inserts events with SQL. Returns the transaction of the last one.
fn write_by_sql(db: &Db, tasks: &[String], turns: usize) -> u64 {
    let runtime = runtime();
    let mut connection = runtime.block_on(db.connect());
    let mut last = 0;
    for (_, task) in paced(turns, APART).zip(tasks.iter().cycle()) {
        last = runtime.block_on(commit_event(&mut connection, task)).unwrap().transaction;
    }
    last
}

fn asked(db: &Db, task: &str, addresses: &[SocketAddr]) -> Vec<Row> {
    let paths = [
        ("overview", "/api/v1/overview".to_owned()),
        ("tasks", "/api/v1/tasks".to_owned()),
        ("task", format!("/api/v1/tasks/{task}")),
    ];
    for address in addresses {
        for _ in 0..ASKERS {
            let (address, paths) = (*address, paths.clone().map(|(_, path)| path));
            std::thread::spawn(move || ask_after_each_notice(address, &paths));
        }
    }
    let mut servers: Vec<_> = addresses.iter().map(|address| Exchange::open(*address)).collect();
    settle(&mut servers);
    let mut figures = [const { Vec::new() }; 3];
    let mut reads = Vec::new();
    for _ in 0..rounds() {
        let before = servers.iter_mut().map(metrics).collect::<Vec<_>>();
        for (turn, _) in paced(STATES, STATES_APART).enumerate() {
            change(db, &mut servers, task, turn);
        }
        settle(&mut servers);
        let after = servers.iter_mut().map(metrics).collect::<Vec<_>>();
        let most = |name: &str, label: &str| {
            let of_one =
                |(after, before): (&String, &String)| counter(after, name, label) - counter(before, name, label);
            after.iter().zip(&before).map(of_one).fold(0.0, f64::max) / STATES as f64
        };
        for (figure, (operation, _)) in figures.iter_mut().zip(&paths) {
            figure.push(most(QUERIES, &format!("operation=\"{operation}\"")));
        }
        reads.push(most("requery_reads_total", ""));
    }
    let name = |figure: &str| format!("{REPLICAS} servers, {} clients that ask, {figure}", REPLICAS * ASKERS);
    let mut rows = vec![Row::new(name("reads a state and server, the most"), reads, "", Limit::Open)];
    for (figure, (operation, _)) in figures.into_iter().zip(paths) {
        let name = name(&format!("queries of `{operation}` a state and server, the most"));
        rows.push(Row::new(name, figure, "", Limit::AtMost(1.0)));
    }
    rows
}

/// Changes the status of the task: in turn through each server, and with SQL.
fn change(db: &Db, servers: &mut [Exchange], task: &str, turn: usize) {
    let status = ["waiting", "running"][turn % 2];
    match servers.get_mut(turn % (REPLICAS + 1)) {
        Some(server) => {
            let body = format!(r#"{{"status":"{status}"}}"#);
            server.done("PATCH", &format!("/api/v1/tasks/{task}"), &body);
        }
        None => {
            let sql = format!("update requery.tasks set status = '{status}' where id = '{task}'");
            runtime().block_on(db.run(&sql));
        }
    }
}

/// Asks for each path once after each notice, until the server ends.
fn ask_after_each_notice(address: SocketAddr, paths: &[String]) {
    let (mut socket, mut server) = (Blocking::open(address), Exchange::open(address));
    while let Some(text) = socket.frame() {
        let frame: Value = serde_json::from_str(&text).unwrap();
        let is_notice = frame["type"] != "heartbeat" && frame["more"] != true;
        let Some(cursor) = frame["cursor"].as_str().filter(|_| is_notice) else { continue };
        for path in paths {
            let answer = server.ask("GET", path, &format!("Requery-At-Least: {cursor}\r\n"), "");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
}

fn metrics(server: &mut Exchange) -> String {
    server.done("GET", "/metrics", "").text()
}

/// Waits until no client asks any more.
fn settle(servers: &mut [Exchange]) {
    let mut before = -1.0;
    wait_until("the clients have their answers", TIMEOUT, || {
        std::thread::sleep(Duration::from_millis(500));
        let reads = servers.iter_mut().map(|server| counter(&metrics(server), "requery_reads_total", "")).sum();
        std::mem::replace(&mut before, reads) == reads
    });
}
