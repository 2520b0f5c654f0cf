//! The figures of a run, as a table and as JSON.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::BenchArgs;
use super::load::Load;
use super::times::Times;
use super::watchers::WatchedFigures;
use crate::cli::api::Api;
use crate::cli::counted::number;

/// The figures of a run.
pub struct Report {
    pub args: BenchArgs,
    pub took: Duration,
    pub watched: WatchedFigures,
    pub load: Load,
    /// How the server answered reads meanwhile. None: the server does not tell.
    pub answered: Option<Answers>,
    pub baseline: WatchedFigures,
}

/// How many reads a server answered by each source, those of other clients included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    not_modified: u64,
    memory: u64,
    database: u64,
}

impl Answers {
    /// The counters of the server. None: the server has none.
    pub async fn of(api: &Api) -> Option<Self> {
        Self::parse(&api.text(Method::GET, "metrics").await.ok()?)
    }

    fn parse(metrics: &str) -> Option<Self> {
        let reads = |label: &str| {
            let start = format!("requery_reads_total{{by=\"{label}\"}} ");
            metrics.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or(0)
        };
        metrics.contains("requery_reads").then(|| Self {
            not_modified: reads("NotModified"),
            memory: reads("Memory"),
            database: reads("Database"),
        })
    }

    /// The answers since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            not_modified: self.not_modified.saturating_sub(before.not_modified),
            memory: self.memory.saturating_sub(before.memory),
            database: self.database.saturating_sub(before.database),
        }
    }
}

/// The median and the 99th percentile, in milliseconds.
#[derive(Clone, Copy)]
struct Percentiles {
    p50: Option<f64>,
    p99: Option<f64>,
}

impl Percentiles {
    fn of(times: &Times) -> Self {
        Self { p50: times.percentile(0.5), p99: times.percentile(0.99) }
    }

    fn json(self) -> Value {
        json!({"p50_ms": self.p50.map(rounded), "p99_ms": self.p99.map(rounded)})
    }
}

impl Report {
    /// Whether a request failed or a stream was lost. The times of the baseline lack those of its lost streams.
    pub fn has_errors(&self) -> bool {
        self.load.errors > 0 || self.watched.lost > 0 || self.baseline.lost > 0
    }

    fn writes_a_second(&self) -> f64 {
        self.load.writes.count() as f64 / self.took.as_secs_f64()
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        let Self { args, watched, load, baseline, .. } = self;
        let answers = self.answered.map(|answers| {
            json!({"not_modified": answers.not_modified, "memory": answers.memory, "database": answers.database})
        });
        let object = json!({
            "server": args.server,
            "load": {
                "watchers": args.watchers, "writers": args.writers, "readers": args.readers, "tasks": args.tasks,
                "mix": args.mix.to_string(), "rate": args.rate, "seconds": rounded(self.took.as_secs_f64()),
            },
            "connect_ms": rounded(watched.connect.as_secs_f64() * 1e3),
            "write_to_client": Percentiles::of(&watched.arrived.times).json(),
            "writes": {
                "count": load.writes.count(), "a_second": rounded(self.writes_a_second()),
                "time": Percentiles::of(&load.writes).json(),
            },
            "fetches": {
                "count": load.fetches.count(), "unchanged": load.unchanged,
                "time": Percentiles::of(&load.fetches).json(), "server_reads": answers,
            },
            "frames": watched.frames, "bytes": watched.bytes, "flushes": watched.arrived.flushes,
            "streams_lost": watched.lost, "errors": load.errors, "first_error": load.first_error,
            "baseline": {
                "connect_ms": rounded(baseline.connect.as_secs_f64() * 1e3),
                "send_to_client": Percentiles::of(&baseline.arrived.times).json(),
                "frames": baseline.frames, "bytes": baseline.bytes, "streams_lost": baseline.lost,
            },
        });
        format!("{object:#}\n")
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let Self { args, watched, load, baseline, .. } = self;
        let mut text = format!(
            "{}: {} watchers, {} writers, {} readers, {} for {:.1} s\n\n{:24}{:>14}{:>18}{:>9}\n",
            args.server,
            number(args.watchers.into()),
            args.writers,
            args.readers,
            args.mix,
            self.took.as_secs_f64(),
            "",
            "server",
            "bare broadcast",
            "ratio"
        );
        let mut line = |name: &str, ours: Option<f64>, bare: Option<f64>| {
            let shown = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{} ms", rounded(ms)));
            let ratio =
                ours.zip(bare).filter(|(_, bare)| *bare > 0.0).map(|(ours, bare)| format!("{:.1}x", ours / bare));
            let ratio = ratio.unwrap_or_default();
            text += format!("{name:24}{:>14}{:>18}{ratio:>9}", shown(ours), shown(bare)).trim_end();
            text.push('\n');
        };
        let connect = |watched: &WatchedFigures| Some(watched.connect.as_secs_f64() * 1e3);
        let (ours, bare) = (Percentiles::of(&watched.arrived.times), Percentiles::of(&baseline.arrived.times));
        line("connect all", connect(watched), connect(baseline));
        line("write to client, p50", ours.p50, bare.p50);
        line("write to client, p99", ours.p99, bare.p99);
        let (writes, fetches) = (Percentiles::of(&load.writes), Percentiles::of(&load.fetches));
        line("write, p50", writes.p50, None);
        line("write, p99", writes.p99, None);
        line("fetch, p50", fetches.p50, None);
        line("fetch, p99", fetches.p99, None);
        text += &format!(
            "\nwrites   {}, {:.0} a second of {} wanted\n",
            number(load.writes.count()),
            self.writes_a_second(),
            number(args.rate.into()),
        );
        text += &format!("fetches  {}, {} of them unchanged", number(load.fetches.count()), number(load.unchanged));
        if let Some(answers) = self.answered {
            text += &format!(
                "; the server answered {} reads with 304, {} from memory and {} from the database",
                number(answers.not_modified),
                number(answers.memory),
                number(answers.database)
            );
        }
        let (frames, bytes) = (number(watched.frames), number(watched.bytes));
        text += &format!("\nframes   {frames} in {} flushes, {bytes} bytes\n", number(watched.arrived.flushes));
        text += &format!("errors   {}, {} streams lost", number(load.errors), number(watched.lost));
        if baseline.lost > 0 {
            text += &format!(", {} streams of the bare broadcast lost", number(baseline.lost));
        }
        text.push('\n');
        if let Some(error) = &load.first_error {
            text += &format!("         the first one: {}\n", crate::cli::escape_control_characters(error));
        }
        text
    }
}

/// The value with three decimals at most.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
