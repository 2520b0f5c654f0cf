//! The cost of reads among many rows: the overview, a task, a refetch after one event, and a `304`.

use std::path::PathBuf;
use std::time::Instant;

use tempfile::TempDir;

use crate::exchange::{Answer, Exchange};
use crate::machine::{busy, is_quick, rounds};
use crate::table::{Limit, Row, median};

use super::stored::{Size, copy, large_task};
use super::{Requery, log, ratios};

const SMALL: Size = Size { tasks: 1_000, events: 100_000 };
const LARGE: Size = Size { tasks: 10_000, events: 1_000_000 };
/// The reads of one round.
const TURNS: usize = 40;

/// A figure of one database.
#[derive(Clone, Copy)]
enum Figure {
    OverviewMs,
    OverviewCpu,
    UnchangedCpu,
    FullCpu,
    FullBytes,
    SinceCpu,
    SinceBytes,
}

/// The figures of one database, each with its values, in the order of the variants.
#[derive(Default)]
struct Figures([Vec<f64>; 7]);

pub fn measure() -> Vec<Row> {
    // The large database takes minutes to build, so a quick run does not measure it.
    let sizes = if is_quick() { vec![SMALL] } else { vec![SMALL, LARGE] };
    super::on_load_core(|| {
        // All copies are made first: a server closes a connection that is idle for the time that a database takes to
        // build.
        let copies: Vec<_> = sizes.into_iter().map(|size| (size, copy(size))).collect();
        let mut read: Vec<Read> = copies.into_iter().map(|(size, copy)| Read::start(size, copy)).collect();
        for round in 0..=rounds() {
            // The databases take turns, and each begins in half of the rounds.
            read.reverse();
            for one in &mut read {
                let turns = one.turns();
                // The first round warms up.
                if round > 0 {
                    one.figures.add(&turns);
                }
            }
        }
        read.sort_by_key(|one| one.size.tasks);
        let mut rows: Vec<Row> = read.iter().flat_map(|one| one.figures.rows(one.size)).collect();
        if let [small, large] = read.as_slice() {
            for (name, figure) in [
                ("an overview, uncached", Figure::OverviewCpu),
                ("a 304", Figure::UnchangedCpu),
                ("a full read of the task after one event", Figure::FullCpu),
                ("a `since` read of the task after one event", Figure::SinceCpu),
            ] {
                let name = format!("{name}, CPU at ten times the tasks and events");
                let ratios = ratios(large.figures.of(figure), small.figures.of(figure));
                rows.push(Row::new(name, ratios, "x", Limit::AtMost(1.5)));
            }
        }
        rows
    })
}

/// A database that is read, and its server.
struct Read {
    size: Size,
    requery: Requery,
    reader: Exchange,
    /// The task with the most events, and a task that is written before an overview.
    large: String,
    other: String,
    figures: Figures,
    _folder: TempDir,
}

impl Read {
    fn start(size: Size, (path, folder): (PathBuf, TempDir)) -> Self {
        let large = large_task(&path);
        let mut requery = Requery::on(&path, &[]);
        let reader = Exchange::open(requery.server.address);
        let other = requery.tasks(1, "acme-web").remove(0);
        Self { size, requery, reader, large, other, figures: Figures::default(), _folder: folder }
    }

    /// The reads of one round.
    fn turns(&mut self) -> Figures {
        let Self { requery, reader, large, other, .. } = self;
        let process = requery.server.process();
        let mut turns = Figures::default();
        for _ in 0..TURNS {
            log(&mut requery.writer, other, 1);
            let overview = asked(process, reader, "/api/v1/overview", "");
            turns.note(Figure::OverviewMs, overview.time);
            turns.note(Figure::OverviewCpu, overview.cpu);
            let held = format!("If-None-Match: {}\r\n", overview.answer.header("etag").unwrap());
            let unchanged = asked(process, reader, "/api/v1/overview", &held);
            assert_eq!(unchanged.answer.status, 304);
            turns.note(Figure::UnchangedCpu, unchanged.cpu);

            let path = format!("/api/v1/tasks/{large}");
            let compressed = "Accept-Encoding: gzip\r\n";
            log(&mut requery.writer, large, 1);
            let full = asked(process, reader, &path, compressed);
            turns.note(Figure::FullCpu, full.cpu);
            turns.note(Figure::FullBytes, full.answer.bytes as f64);
            let cursor = full.cursor();
            log(&mut requery.writer, large, 1);
            let since = asked(process, reader, &format!("{path}?since={cursor}"), compressed);
            turns.note(Figure::SinceCpu, since.cpu);
            turns.note(Figure::SinceBytes, since.answer.bytes as f64);
        }
        turns
    }
}

/// An answer with what it took, in milliseconds.
pub struct Asked {
    pub answer: Answer,
    /// The processor time of the server.
    pub cpu: f64,
    pub time: f64,
}

impl Asked {
    /// The cursor of the answer.
    pub fn cursor(&self) -> String {
        self.answer.header("requery-cursor").expect("an answer with a cursor").to_owned()
    }
}

/// Asks once.
pub fn asked(process: u32, reader: &mut Exchange, path: &str, headers: &str) -> Asked {
    let before = busy(process);
    let began = Instant::now();
    let answer = reader.ask("GET", path, headers, "");
    let time = began.elapsed().as_secs_f64() * 1e3;
    let cpu = (busy(process) - before) * 1e3;
    assert!(matches!(answer.status, 200 | 304), "{path}: {}", answer.text());
    Asked { answer, cpu, time }
}

impl Figures {
    fn note(&mut self, figure: Figure, value: f64) {
        self.0[figure as usize].push(value);
    }

    fn of(&self, figure: Figure) -> &[f64] {
        &self.0[figure as usize]
    }

    /// Adds the medians of a round.
    fn add(&mut self, turns: &Self) {
        for (mine, turns) in self.0.iter_mut().zip(&turns.0) {
            mine.push(median(turns));
        }
    }

    fn rows(&self, size: Size) -> Vec<Row> {
        let overview =
            |part: &str| format!("the overview among {} tasks and {} events, {part}", size.tasks, size.events);
        let task = |part: &str| format!("a task with {} events, one event later, {part}", size.of_large_task());
        let row = |name: String, figure, unit, limit| Row::new(name, self.of(figure).to_vec(), unit, limit);
        let kilobytes = |name: String, figure, limit| {
            Row::new(name, self.of(figure).iter().map(|bytes| bytes / 1e3).collect(), " KB", limit)
        };
        let to_full = ratios(self.of(Figure::SinceCpu), self.of(Figure::FullCpu));
        vec![
            row(overview("uncached, time"), Figure::OverviewMs, " ms", Limit::AtMost(5.0)),
            row(overview("uncached, CPU"), Figure::OverviewCpu, " ms", Limit::Open),
            row(overview("304, CPU"), Figure::UnchangedCpu, " ms", Limit::AtMost(0.2)),
            row(task("full read, CPU"), Figure::FullCpu, " ms", Limit::Open),
            kilobytes(task("full read, on the wire"), Figure::FullBytes, Limit::Open),
            row(task("`since` read, CPU"), Figure::SinceCpu, " ms", Limit::AtMost(1.0)),
            kilobytes(task("`since` read, on the wire"), Figure::SinceBytes, Limit::AtMost(1.5)),
            Row::new(task("CPU, the `since` read to the full read"), to_full, "x", Limit::AtMost(1.1)),
        ]
    }
}
