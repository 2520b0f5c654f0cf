//! Five thousand clients come back after the server was started again, and no row has changed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::exchange::Exchange;
use crate::machine::{SERVER, on_core, rounds};
use crate::server::Outside;
use crate::swarm::{Opening, Swarm, wait_until};
use crate::table::{Limit, Row, quantile};

use super::{Requery, counter};

const CLIENTS: usize = 5_000;
const TASKS: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two requests of the bystander.
const APART: Duration = Duration::from_millis(20);
/// What the bystander asks for. It is counted apart.
const ASKED: &str = "/api/v1/hooks";
const OPTIONS: [&str; 4] = ["--session-files", "off", "--max-streams", "16000"];

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let (mut seconds, mut queries, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("requery.db");
            let mut requery = Requery::on(&path, &[]);
            requery.tasks(TASKS, "acme-web");
            let address = requery.server.address;
            let first = Swarm::open(Opening::requery(address, CLIENTS));
            let read = requery.writer.done("GET", "/api/v1/overview", "");
            let since = read.header("requery-cursor").unwrap().to_owned();
            requery.server.stop();
            drop(first);
            let server = on_core(SERVER, || Outside::start_at(&address.to_string(), &path, &OPTIONS));
            let mut bystander = Exchange::open(address);
            let opening = Opening { path: format!("/ws?since={since}"), ..Opening::requery(address, CLIENTS) };
            let began = Instant::now();
            let swarm = Swarm::begin(opening);
            let mut times = Vec::new();
            wait_until("all clients are live again", TIMEOUT, || {
                let began = Instant::now();
                bystander.done("GET", ASKED, "");
                times.push(began.elapsed().as_secs_f64() * 1e3);
                std::thread::sleep(APART.saturating_sub(began.elapsed()));
                swarm.seen.live.load(Ordering::SeqCst) == CLIENTS
            });
            seconds.push(began.elapsed().as_secs_f64());
            asked.push(quantile(&times, 0.99));
            let text = bystander.done("GET", "/metrics", "").text();
            let all = counter(&text, "requery_queries_total", "");
            queries.push(all - counter(&text, "requery_queries_total", "operation=\"hooks_heard\""));
            // A server that counts no query would meet the bound without any work.
            bystander.done("GET", "/api/v1/overview", "");
            let text = bystander.done("GET", "/metrics", "").text();
            let counts = counter(&text, "requery_queries_total", "operation=\"overview\"") > 0.0;
            assert!(counts, "this server does not count its queries");
            drop((swarm, server));
        }
        let name = |figure: &str| format!("{CLIENTS} clients come back after a restart: {figure}");
        vec![
            Row::new(name("read-model queries"), queries, "", Limit::AtMost(0.0)),
            Row::new(name("all live after"), seconds, " s", Limit::AtMost(10.0)),
            Row::new(name("p99 of a bystander's request"), asked, " ms", Limit::AtMost(100.0)),
        ]
    })
}
