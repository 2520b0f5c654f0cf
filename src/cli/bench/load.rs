//! The writers and the readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use requery::protocol::Cursor;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::BenchArgs;
use super::delays::Delays;
use super::mix::{Mix, WriteKind};
use super::times::Times;
use crate::cli::api::Api;

/// The pause between two fetches of a reader.
const FETCH_INTERVAL: Duration = Duration::from_millis(250);

/// The outcome of the load.
#[derive(Default)]
pub struct Load {
    /// The cursor of the write that began last, with the time at which it [began](begin_at).
    pub last: Option<(Cursor, Instant)>,
    /// The writes that succeeded.
    pub writes: Times,
    /// The fetches that succeeded.
    pub fetches: Times,
    /// The fetches that were answered 304.
    pub unchanged: u64,
    pub errors: u64,
    /// The text of the first error.
    pub first_error: Option<String>,
}

impl Load {
    /// Runs the load of `args` on these tasks.
    pub async fn run(api: &Api, args: &BenchArgs, project: &str, tasks: &[String], delays: &Arc<Delays>) -> Self {
        let (began, end) = (Instant::now(), Instant::now() + Duration::from_secs(args.seconds.into()));
        let (tasks, number) = (Arc::<[String]>::from(tasks), Arc::new(AtomicU32::new(0)));
        let mut parts = JoinSet::new();
        for _ in 0..args.writers {
            let (mix, number, delays) = (args.mix.clone(), number.clone(), delays.clone());
            let plan = Plan { began, end, rate: args.rate, mix, number, delays };
            parts.spawn(write(api.clone(), plan, tasks.clone()));
        }
        for _ in 0..args.readers {
            parts.spawn(read(api.clone(), project.to_owned(), end));
        }
        let mut all = Self::default();
        while let Some(part) = parts.join_next().await {
            let Ok(part) = part else { continue };
            all.last = all.last.into_iter().chain(part.last).max_by_key(|(_, began)| *began);
            all.writes.add(&part.writes);
            all.fetches.add(&part.fetches);
            all.unchanged += part.unchanged;
            all.errors += part.errors;
            all.first_error = all.first_error.or(part.first_error);
        }
        all
    }

    fn note_error(&mut self, error: impl ToString) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

/// The pace of the writers. They share one sequence of writes, so a slow writer leaves its share to the others.
struct Plan {
    began: Instant,
    end: Instant,
    rate: u32,
    mix: Mix,
    number: Arc<AtomicU32>,
    delays: Arc<Delays>,
}

async fn write(api: Api, plan: Plan, tasks: Arc<[String]>) -> Load {
    let mut load = Load::default();
    loop {
        let number = plan.number.fetch_add(1, Ordering::Relaxed);
        let due = plan.began + Duration::from_secs(1).mul_f64(f64::from(number) / f64::from(plan.rate));
        if due.max(Instant::now()) >= plan.end {
            return load;
        }
        let began = begin_at(due).await;
        let task = &tasks[number as usize % tasks.len()];
        let (method, path, body) = request(plan.mix.draw(), task, number);
        let is_measured = plan.delays.begin(began);
        let answer = api.change(method, &path, &body).await;
        let cursor = answer.as_ref().ok().and_then(|answer| answer.cursor.clone());
        if is_measured {
            plan.delays.end(began, cursor.as_ref());
        }
        match (answer, cursor) {
            (Ok(_), Some(cursor)) => {
                load.writes.note(began.elapsed());
                load.last = Some((cursor, began));
            }
            (Ok(_), None) => load.note_error("the answer to a write has no cursor"),
            (Err(error), _) => load.note_error(error),
        }
    }
}

/// Waits until a request is due. Returns the time from which the request counts.
///
/// A slow server holds up the next requests of the same writer or reader. Such a request counts from its due time, so
/// its wait is a part of its time. Otherwise the request counts from now: the timer can be late by a millisecond.
pub async fn begin_at(due: Instant) -> Instant {
    if due < Instant::now() {
        return due;
    }
    sleep_until(due).await;
    Instant::now()
}

/// Each request changes a value, because a request without a change makes no notice.
fn request(kind: WriteKind, task: &str, number: u32) -> (Method, String, Value) {
    match kind {
        WriteKind::Event => {
            let body = json!({
                "kind": "tool", "family": "terminal", "state": "ok", "title": format!("step {number}"),
                "body": "test result: ok. 212 passed; 0 failed; 0 ignored\n".repeat(5),
            });
            (Method::POST, format!("api/v1/tasks/{task}/events"), body)
        }
        WriteKind::Status => {
            let body = match number % 2 {
                0 => json!({"status": "waiting", "status_detail": format!("question {number}")}),
                _ => json!({"status": "running", "title": format!("requery bench, step {number}")}),
            };
            (Method::PATCH, format!("api/v1/tasks/{task}"), body)
        }
        WriteKind::Bookmark => {
            (Method::PUT, "api/v1/bookmarks".to_owned(), json!({"task_id": task, "title": format!("step {number}")}))
        }
    }
}

async fn read(api: Api, project: String, end: Instant) -> Load {
    let (mut load, mut tag) = (Load::default(), None);
    let path = format!("api/v1/overview?project={project}");
    // Readers that begin together would ask together for the whole run.
    let mut due = Instant::now() + FETCH_INTERVAL.mul_f64(fastrand::f64());
    while due < end {
        let began = begin_at(due).await;
        due += FETCH_INTERVAL;
        match api.fetch(&path, tag.as_deref()).await {
            Ok(fetched) => {
                load.fetches.note(began.elapsed());
                load.unchanged += u64::from(fetched.is_unchanged);
                tag = fetched.tag.or(tag);
            }
            Err(error) => load.note_error(error),
        }
    }
    load
}
