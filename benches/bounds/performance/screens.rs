//! A thousand clients that watch the overview, and fetch it again after each notice.
//!
//! Each client is a WebSocket. It fetches as the rules of a client demand: a short time after the first notice, one fetch
//! at a time, with the tag of its last answer and the cursor of its newest notice. The fetches of all clients share a few
//! HTTP connections.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::exchange::Exchange;
use crate::machine::{is_quick, now, rounds};
use crate::swarm::{Opening, Swarm};
use crate::table::{Limit, Row};

use super::projects::write_at;
use super::{Requery, counter};

const CLIENTS: usize = 1_000;
const CHANGES: usize = 50;
const TASKS: usize = 20;
const FETCHERS: usize = 4;
/// The debounce of a client, with a random part of up to a half.
const QUIET_MS: u64 = 200;
const OVERVIEW: &str = "operation=\"overview\"";

/// The state of one client.
#[derive(Clone, Copy, Default)]
struct Screen {
    held: u64,
    due: Option<u64>,
    in_flight: bool,
}

pub fn measure() -> Vec<Row> {
    super::on_load_core(|| {
        let seconds = if is_quick() { 6 } else { 10 };
        let (mut queries, mut fetches, mut spent) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let mut requery = Requery::start(&[]);
            let address = requery.server.address;
            let tasks = requery.tasks(TASKS, "acme-web");
            let watch = r#"{"type":"watch","payload":{"read_models":["overview"]}}"#.to_owned();
            let opening = Opening { message: Some(watch), ..Opening::requery(address, CLIENTS) };
            let swarm = Swarm::open(opening);
            let epoch = epoch(&mut requery);
            let (is_over, fetched) = (AtomicBool::new(false), AtomicU64::new(0));
            let screens = Arc::new(Mutex::new(vec![Screen::default(); CLIENTS]));
            let due = Mutex::new(VecDeque::new());
            let before = (requery.counter("requery_queries_total", OVERVIEW), requery.busy());
            std::thread::scope(|scope| {
                scope.spawn(|| plan(&swarm, &screens, &due, &is_over));
                for _ in 0..FETCHERS {
                    scope.spawn(|| fetch(Exchange::open(address), &epoch, &swarm, &screens, &due, &is_over, &fetched));
                }
                let over_soon = scope.spawn(|| {
                    std::thread::sleep(Duration::from_secs(seconds));
                    is_over.store(true, Ordering::SeqCst);
                });
                write_at(address, &tasks, CHANGES, &is_over);
                over_soon.join().unwrap();
            });
            let (_, busy) = before;
            spent.push((requery.busy() - busy) / seconds as f64 * 100.0);
            queries.push((requery.counter("requery_queries_total", OVERVIEW) - before.0) / seconds as f64);
            fetches.push(fetched.load(Ordering::SeqCst) as f64 / seconds as f64);
        }
        let name = |figure: &str| format!("{CLIENTS} clients watch the overview, {CHANGES} changes a second: {figure}");
        vec![
            Row::new(name("queries a second"), queries, "", Limit::AtMost(25.0)),
            Row::new(name("fetches a second"), fetches, "", Limit::Open),
            Row::new(name("share of the server's core"), spent, " %", Limit::Open),
        ]
    })
}

/// The epoch of the server's cursors. Fails if the server does not count its queries.
fn epoch(requery: &mut Requery) -> String {
    let overview = requery.writer.done("GET", "/api/v1/overview", "");
    let text = requery.writer.done("GET", "/metrics", "").text();
    assert!(counter(&text, "requery_queries_total", OVERVIEW) > 0.0, "this server does not count its queries");
    overview.header("requery-cursor").unwrap().split(':').next().unwrap().to_owned()
}

/// Hands each client on whose held answer is stale for long enough.
fn plan(swarm: &Swarm, screens: &Mutex<Vec<Screen>>, due: &Mutex<VecDeque<usize>>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        let at = now();
        for (number, screen) in screens.lock().unwrap().iter_mut().enumerate() {
            if screen.in_flight || swarm.reached(number) <= screen.held {
                continue;
            }
            let planned =
                *screen.due.get_or_insert_with(|| at + (QUIET_MS + fastrand::u64(..QUIET_MS / 2)) * 1_000_000);
            if planned <= at {
                (screen.in_flight, screen.due) = (true, None);
                due.lock().unwrap().push_back(number);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn fetch(
    mut reader: Exchange,
    epoch: &str,
    swarm: &Swarm,
    screens: &Mutex<Vec<Screen>>,
    due: &Mutex<VecDeque<usize>>,
    is_over: &AtomicBool,
    fetched: &AtomicU64,
) {
    let mut tag = String::new();
    while !is_over.load(Ordering::SeqCst) {
        let Some(number) = due.lock().unwrap().pop_front() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let cursor = swarm.reached(number);
        let headers = format!("{tag}Requery-At-Least: {epoch}:{cursor}:{cursor}:\r\nAccept-Encoding: gzip\r\n");
        let answer = reader.ask("GET", "/api/v1/overview", &headers, "");
        if let Some(etag) = answer.header("etag") {
            tag = format!("If-None-Match: {etag}\r\n");
        }
        let held = if answer.status < 400 { answer.cursor() } else { 0 };
        let screen = &mut screens.lock().unwrap()[number];
        (screen.held, screen.in_flight) = (held, false);
        fetched.fetch_add(1, Ordering::Relaxed);
    }
}
