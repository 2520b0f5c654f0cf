//! A view that is called fresh is fresh: real clients behind networks that drop, delay, stall and reset connections,
//! and that answer 404 by themselves, while writers change the database.
//!
//! A view is never called fresh while a frame that the client received says otherwise. After a commit, a view without
//! it is called fresh for no longer than the silence of a live stream, max wait and two fetches.

mod audit;
mod lines;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use requery::engine::EngineSettings;
use requery::protocol::{Cursor, ReadModel};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::app::App;
use crate::proxy::Proxy;
use crate::viewer::{Rest, Viewer, settle};
use audit::{Audit, Report, Screen};
use lines::WatchLines;

const HEARTBEAT: Duration = Duration::from_secs(1);
/// A live stream is silent for at most two and a half heartbeats.
const SILENCE: Duration = Duration::from_millis(2500);
const MAX_WAIT: Duration = Duration::from_millis(250);
/// The longest delay of one piece in the network.
const DELAY: Duration = Duration::from_millis(300);
/// The longest fetch whose answer comes, on a busy machine: the head and the body are two pieces.
const FETCH: Duration = Duration::from_millis(900);
const TASKS: usize = 4;

/// The writes so far: the time of the answer, its cursor, and the read models that show the write.
#[derive(Default)]
pub struct Commits(Mutex<Vec<(Instant, Cursor, Vec<ReadModel>)>>);

impl Commits {
    fn since(&self, seen: usize) -> Vec<(Instant, Cursor, Vec<ReadModel>)> {
        self.0.lock().unwrap()[seen..].to_vec()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_called_fresh_is_fresh() {
    run(Duration::from_secs(20)).await;
}

/// The number of seconds is in `REQUERY_SECONDS`; ten minutes if it is not set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes; scripts/nightly.sh runs it"]
async fn what_is_called_fresh_is_fresh_for_long() {
    let seconds = std::env::var("REQUERY_SECONDS").map_or(600, |seconds| seconds.parse().unwrap());
    run(Duration::from_secs(seconds)).await;
}

async fn run(time: Duration) {
    let seed = std::env::var("REQUERY_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("REQUERY_SEED={seed}");
    let app = App::start_with(|config| config.heartbeat = HEARTBEAT).await;
    let end = Instant::now() + time;
    let tasks = write_tasks(&app).await;
    let commits = Arc::new(Commits::default());
    let bound = SILENCE + MAX_WAIT + DELAY + 2 * FETCH;

    let mut viewers = Vec::new();
    let mut background = Vec::new();
    let mut audits = Vec::new();
    // The first fault of each network outlasts the bound.
    for (name, upgrades, first) in [("by WebSocket", true, LONG_STALL), ("by events", false, LONG_OUTAGE)] {
        let proxy = Arc::new(Proxy::start(app.address, upgrades).await);
        let viewer = Arc::new(Viewer::follow(name, &proxy.url(), settings()));
        let random = fastrand::Rng::with_seed(seed.wrapping_add(first.into()));
        background.push(AbortOnDropHandle::new(tokio::spawn(disturb(Arc::clone(&proxy), first, random, end))));
        audits.push(Audit::new(Screen::Client(Arc::clone(&viewer)), proxy, Arc::clone(&commits), bound));
        viewers.push(viewer);
    }
    // The command has the default settings: a polled answer counts as fresh for five seconds.
    let proxy = Arc::new(Proxy::start(app.address, true).await);
    let command = Arc::new(WatchLines::start(&proxy.url(), &tasks));
    let random = fastrand::Rng::with_seed(seed);
    background.push(AbortOnDropHandle::new(tokio::spawn(disturb(Arc::clone(&proxy), LONG_OUTAGE, random, end))));
    let bound = bound.max(Duration::from_secs(5) + FETCH);
    audits.push(Audit::new(Screen::Command(Arc::clone(&command)), proxy, Arc::clone(&commits), bound));
    let writing = write(app.url(""), tasks.clone(), Arc::clone(&commits), fastrand::Rng::with_seed(seed), end);
    background.push(AbortOnDropHandle::new(tokio::spawn(writing)));

    let mut before = Instant::now();
    while before < end {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = Instant::now();
        audits.iter_mut().for_each(|audit| audit.look(before, now));
        before = now;
    }
    for task in background {
        task.await.unwrap();
    }
    for audit in &audits {
        print_report(audit.name(), &audit.report);
    }
    let violations: Vec<&String> = audits.iter().flat_map(|audit| &audit.report.violations).collect();
    assert!(violations.is_empty(), "{violations:#?}");
    let rest = Rest::at(app.url(""));
    settle(&viewers.iter().map(|viewer| &**viewer).collect::<Vec<_>>(), &rest, &app.store()).await;
    // The overview, the bookmarks and the tasks.
    command.settle(&rest, TASKS + 2).await;
}

fn settings() -> EngineSettings {
    let mut settings = EngineSettings::default();
    settings.max_wait = MAX_WAIT;
    settings.backoff_first = Duration::from_millis(100);
    settings.backoff_most = Duration::from_secs(1);
    settings.patience = Duration::from_secs(2);
    settings.poll_interval = Duration::from_secs(1);
    settings.websocket_retry = Duration::from_secs(5);
    settings
}

fn print_report(name: &str, report: &Report) {
    eprintln!("{name}: {} frames", report.frames);
    for (state, seconds) in &report.seconds {
        eprintln!("  {state:<22} {seconds:8.1} s");
    }
    eprintln!("  fresh without a commit {:8.1} s, at most {:?}", report.fresh_but_behind, report.longest_behind);
}

async fn write_tasks(app: &App) -> Vec<String> {
    let rest = Rest::at(app.url(""));
    let tasks: Vec<String> = (1..=TASKS).map(|number| format!("00000000-0000-7000-8000-{number:012}")).collect();
    for task in &tasks {
        assert_eq!(rest.write("POST", "/api/v1/tasks", json!({"task_id": task, "title": "new"})).await, Some(201));
    }
    tasks
}

/// Writes to the server directly, with pauses from a burst to half a second.
async fn write(root: String, tasks: Vec<String>, commits: Arc<Commits>, mut random: fastrand::Rng, end: Instant) {
    let http = reqwest::Client::new();
    let mut number = 0;
    while Instant::now() < end {
        let pause = if random.u8(..4) == 0 { random.u64(200..1500) } else { random.u64(5..120) };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        number += 1;
        let task = &tasks[random.usize(..tasks.len())];
        let (method, path, body) = match random.bool() {
            true => {
                (reqwest::Method::PATCH, format!("/api/v1/tasks/{task}"), json!({"title": format!("title {number}")}))
            }
            false => (
                reqwest::Method::POST,
                format!("/api/v1/tasks/{task}/events"),
                json!({"kind": "log", "title": "event"}),
            ),
        };
        let request = http.request(method, format!("{root}{path}")).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let cursor: Cursor = answer.headers()["requery-cursor"].to_str().unwrap().parse().unwrap();
        let models = vec![ReadModel::Overview, ReadModel::Task(task.parse().unwrap())];
        commits.0.lock().unwrap().push((Instant::now(), cursor, models));
    }
}

/// Two faults that outlast the bound.
const LONG_OUTAGE: u8 = 7;
const LONG_STALL: u8 = 8;
const LONG: Duration = Duration::from_secs(7);

/// One fault after the other, with calm between them.
async fn disturb(proxy: Arc<Proxy>, first: u8, mut random: fastrand::Rng, end: Instant) {
    let mut fault = first;
    tokio::time::sleep(Duration::from_secs(2)).await;
    while Instant::now() < end {
        let lasts = Duration::from_millis(random.u64(200..1500));
        match fault {
            0 => proxy.cut(),
            1 => {
                proxy.reset_connections(true);
                proxy.cut();
                tokio::time::sleep(lasts).await;
                proxy.cut();
                proxy.reset_connections(false);
            }
            2 => {
                proxy.stall(true);
                tokio::time::sleep(3 * lasts).await;
                proxy.stall(false);
            }
            3 => {
                proxy.delay(DELAY.mul_f64(random.f64()));
                tokio::time::sleep(2 * lasts).await;
                proxy.delay(Duration::ZERO);
            }
            4 => {
                proxy.lose_one_answer_of(3);
                tokio::time::sleep(2 * lasts).await;
                proxy.lose_one_answer_of(0);
            }
            5 => {
                proxy.answer_missing(true);
                proxy.cut();
                tokio::time::sleep(lasts).await;
                proxy.answer_missing(false);
                proxy.cut();
            }
            6 => {
                proxy.block_streams(true);
                proxy.cut();
                tokio::time::sleep(3 * lasts).await;
                proxy.block_streams(false);
            }
            LONG_OUTAGE => {
                proxy.answer_missing(true);
                proxy.cut();
                tokio::time::sleep(LONG).await;
                proxy.answer_missing(false);
            }
            LONG_STALL => {
                proxy.stall(true);
                tokio::time::sleep(LONG).await;
                proxy.stall(false);
            }
            _ => {}
        }
        tokio::time::sleep(lasts).await;
        fault = random.u8(..10);
    }
}
