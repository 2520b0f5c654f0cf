//! The bounds of `docs/performance.md`, each beside its baseline in the same run.
//!
//! The server under test is a process that stays on one core, and the load stays on the other one. The rounds of the
//! servers take turns, so that other work on the machine meets all of them alike.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::exchange::{Answer, Exchange};
use crate::machine::{self, LOAD, SERVER};
use crate::server::Outside;
use crate::table::{Limit, Row, quantile};

pub mod fanout;

pub mod crowd;

pub mod heartbeats;

pub mod flood;

pub mod unread;

mod stored;

pub mod reads;

pub mod since;

pub mod screens;

pub mod reconnect;

pub mod projects;

pub mod waiting;

/// Measures on the core of the load.
pub fn on_load_core(measure: impl FnOnce() -> Vec<Row> + Send) -> Vec<Row> {
    machine::on_core(LOAD, measure)
}

/// A requery server on the core of servers, with a connection for writes.
pub struct Requery {
    pub server: Outside,
    pub writer: Exchange,
    _folder: Option<TempDir>,
}

impl Requery {
    /// A server with an empty database.
    pub fn start(options: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let started = Self::on(&folder.path().join("requery.db"), options);
        Self { _folder: Some(folder), ..started }
    }

    /// A server on this database.
    pub fn on(path: &Path, options: &[&str]) -> Self {
        Self::at("127.0.0.1:0", path, options)
    }

    /// A server on this database, at this address.
    pub fn at(address: &str, path: &Path, options: &[&str]) -> Self {
        // No other agent of this machine writes into the database that is measured.
        let spool = path.with_extension("spool");
        let mut all = vec!["--session-files", "off", "--max-streams", "16000", "--spool", spool.to_str().unwrap()];
        all.extend(options);
        let server = machine::on_core(SERVER, || Outside::start_at(address, path, &all));
        let writer = Exchange::open(server.address);
        Self { server, writer, _folder: None }
    }

    pub fn busy(&self) -> f64 {
        machine::busy(self.server.process())
    }

    /// Starts tasks of a project. Returns their ids.
    pub fn tasks(&mut self, count: usize, project: &str) -> Vec<String> {
        let body =
            json!({"title": "Port the settings page to the new form components", "project": project}).to_string();
        let mut start = || {
            let answer = self.writer.done("POST", "/api/v1/tasks", &body);
            let task: Value = serde_json::from_slice(&answer.body).unwrap();
            task["task_id"].as_str().expect("a task with an id").to_owned()
        };
        (0..count).map(|_| start()).collect()
    }

    /// The sum of a counter of `/metrics` over all its labels that have this text.
    pub fn counter(&mut self, name: &str, label: &str) -> f64 {
        counter(&self.writer.done("GET", "/metrics", "").text(), name, label)
    }
}

/// The sum of a counter in the text of the metrics.
pub fn counter(text: &str, name: &str, label: &str) -> f64 {
    let of_line = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let is_whole = rest.starts_with('{') || rest.starts_with(' ');
        if is_whole && rest.contains(label) { rest.rsplit(' ').next()?.parse::<f64>().ok() } else { None }
    };
    text.lines().filter_map(of_line).sum()
}

/// Logs events on a task.
pub fn log(writer: &mut Exchange, task: &str, count: usize) -> Answer {
    let event = json!({
        "kind": "tool", "family": "terminal", "state": "ok", "title": "cargo test --workspace",
        "body": "test result: ok. 212 passed; 0 failed; 0 ignored\n".repeat(5), "metadata": {"exit_code": 0},
    });
    let body = match count {
        1 => event,
        many => json!({"events": vec![event; many]}),
    };
    writer.done("POST", &format!("/api/v1/tasks/{task}/events"), &body.to_string())
}

/// So many turns, each at its due time. Each item is the due time, on the clock of [`machine::now`].
///
/// A turn that lasts too long does not move the ones after it. So a time that is counted from the due time contains the
/// wait of the turns that a slow server holds up.
pub fn paced(turns: usize, apart: Duration) -> impl Iterator<Item = u64> {
    let (began, apart) = (machine::now(), apart.as_nanos() as u64);
    (0..turns as u64).map(move |turn| {
        let due = began + turn * apart;
        until(due);
        due
    })
}

/// Sleeps until this time, on the clock of [`machine::now`].
pub fn until(due: u64) {
    std::thread::sleep(Duration::from_nanos(due.saturating_sub(machine::now())));
}

/// Rows for a figure of requery, the same figure of a baseline, and their ratio round by round.
pub fn compared(name: &str, ours: &[f64], baselines: &[(&str, &[f64], Limit)], unit: &'static str) -> Vec<Row> {
    let mut rows = vec![Row::new(name, ours.to_vec(), unit, Limit::Open)];
    for (baseline, figures, _) in baselines {
        rows.push(Row::new(format!("{name}, {baseline}"), figures.to_vec(), unit, Limit::Open));
    }
    for (baseline, figures, limit) in baselines {
        rows.push(Row::new(format!("{name}, to {baseline}"), ratios(ours, figures), "x", *limit));
    }
    rows
}

/// The ratio of two figures round by round.
pub fn ratios(ours: &[f64], baseline: &[f64]) -> Vec<f64> {
    ours.iter().zip(baseline).map(|(ours, baseline)| ours / baseline).collect()
}

/// The percentile of each round.
pub fn percentile(rounds: &[Vec<f64>], share: f64) -> Vec<f64> {
    rounds.iter().map(|round| quantile(round, share)).collect()
}
