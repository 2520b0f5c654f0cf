//! The cost of reads among many rows: the overview, a task, a refetch after one event, and a `304`.

use std::time::Instant;

use crate::exchange::{Answer, Exchange};
use crate::machine::{busy, is_quick, rounds};
use crate::table::{Limit, Row, median};

use super::stored::{Size, database, large_task};
use super::{Requery, log};

const SMALL: Size = Size { tasks: 1_000, events: 100_000 };
const LARGE: Size = Size { tasks: 10_000, events: 1_000_000 };
/// The reads of one round.
const TURNS: usize = 40;

/// The figures of one database, one for each round.
#[derive(Default)]
struct Figures {
    overview_ms: Vec<f64>,
    overview_cpu: Vec<f64>,
    unchanged_cpu: Vec<f64>,
    unchanged_bytes: Vec<f64>,
    full_cpu: Vec<f64>,
    full_bytes: Vec<f64>,
    since_cpu: Vec<f64>,
    since_bytes: Vec<f64>,
}

pub fn measure() -> Vec<Row> {
    // The large database takes minutes to build, so a quick run does not measure it.
    let sizes = if is_quick() { vec![SMALL] } else { vec![SMALL, LARGE] };
    super::on_load_core(|| {
        let mut all = Vec::new();
        let mut rows = Vec::new();
        for size in sizes {
            let path = database(size);
            let large = large_task(&path);
            let figures = of(&mut Requery::on(&path, &[]), &large);
            rows.extend(figures.rows(size));
            all.push(figures);
        }
        if let [small, large] = all.as_slice() {
            for (name, part) in [
                ("an overview, uncached", (|figures| &figures.overview_cpu) as fn(&Figures) -> &Vec<f64>),
                ("a 304", |figures| &figures.unchanged_cpu),
                ("a full read of the task after one event", |figures| &figures.full_cpu),
                ("a `since` read of the task after one event", |figures| &figures.since_cpu),
            ] {
                let ratios = part(large).iter().zip(part(small)).map(|(large, small)| large / small).collect();
                let name = format!("{name}, CPU at ten times the tasks and events");
                rows.push(Row::new(name, ratios, "x", Limit::AtMost(1.5)));
            }
        }
        rows
    })
}

fn of(requery: &mut Requery, large: &str) -> Figures {
    let process = requery.server.process();
    let mut reader = Exchange::open(requery.server.address);
    let other = requery.tasks(1, "acme-web").remove(0);
    let mut figures = Figures::default();
    for round in 0..=rounds() {
        let mut turns = Figures::default();
        for _ in 0..TURNS {
            log(&mut requery.writer, &other, 1);
            let began = Instant::now();
            let (overview, spent) = asked(process, &mut reader, "/api/v1/overview", "");
            turns.overview_ms.push(began.elapsed().as_secs_f64() * 1e3);
            turns.overview_cpu.push(spent);
            let held = format!("If-None-Match: {}\r\n", overview.header("etag").unwrap());
            let (unchanged, spent) = asked(process, &mut reader, "/api/v1/overview", &held);
            assert_eq!(unchanged.status, 304);
            turns.unchanged_cpu.push(spent);
            turns.unchanged_bytes.push(unchanged.bytes as f64);

            let path = format!("/api/v1/tasks/{large}");
            let compressed = "Accept-Encoding: gzip\r\n";
            log(&mut requery.writer, large, 1);
            let (full, spent) = asked(process, &mut reader, &path, compressed);
            turns.full_cpu.push(spent);
            turns.full_bytes.push(full.bytes as f64);
            let cursor = full.header("requery-cursor").unwrap();
            log(&mut requery.writer, large, 1);
            let (since, spent) = asked(process, &mut reader, &format!("{path}?since={cursor}"), compressed);
            turns.since_cpu.push(spent);
            turns.since_bytes.push(since.bytes as f64);
        }
        // The first round warms up.
        if round > 0 {
            figures.add(&turns);
        }
    }
    figures
}

/// Asks once. Returns the answer, and the processor time of the server in milliseconds.
pub fn asked(process: u32, reader: &mut Exchange, path: &str, headers: &str) -> (Answer, f64) {
    let before = busy(process);
    let answer = reader.ask("GET", path, headers, "");
    let spent = (busy(process) - before) * 1e3;
    assert!(matches!(answer.status, 200 | 304), "{path}: {}", answer.text());
    (answer, spent)
}

impl Figures {
    fn parts(&mut self) -> [&mut Vec<f64>; 8] {
        [
            &mut self.overview_ms,
            &mut self.overview_cpu,
            &mut self.unchanged_cpu,
            &mut self.unchanged_bytes,
            &mut self.full_cpu,
            &mut self.full_bytes,
            &mut self.since_cpu,
            &mut self.since_bytes,
        ]
    }

    fn add(&mut self, turns: &Self) {
        let turns = [
            &turns.overview_ms,
            &turns.overview_cpu,
            &turns.unchanged_cpu,
            &turns.unchanged_bytes,
            &turns.full_cpu,
            &turns.full_bytes,
            &turns.since_cpu,
            &turns.since_bytes,
        ];
        for (mine, turns) in self.parts().into_iter().zip(turns) {
            mine.push(median(turns));
        }
    }

    fn rows(&self, size: Size) -> Vec<Row> {
        let among = format!("among {} tasks and {} events", size.tasks, size.events);
        let task = format!("a task with {} events, one event later", size.of_large_task());
        let kilobytes = |bytes: &[f64]| bytes.iter().map(|bytes| bytes / 1e3).collect::<Vec<_>>();
        let to_full: Vec<_> = self.since_cpu.iter().zip(&self.full_cpu).map(|(since, full)| since / full).collect();
        let row = |name: String, figures: &[f64], unit, limit| Row::new(name, figures.to_vec(), unit, limit);
        vec![
            row(format!("the overview {among}, uncached, time"), &self.overview_ms, " ms", Limit::AtMost(5.0)),
            row(format!("the overview {among}, uncached, CPU"), &self.overview_cpu, " ms", Limit::Open),
            row(format!("the overview {among}, 304, CPU"), &self.unchanged_cpu, " ms", Limit::AtMost(0.2)),
            row(format!("{task}, full read, CPU"), &self.full_cpu, " ms", Limit::Open),
            row(format!("{task}, full read, on the wire"), &kilobytes(&self.full_bytes), " KB", Limit::Open),
            row(format!("{task}, `since` read, CPU"), &self.since_cpu, " ms", Limit::AtMost(1.0)),
            row(format!("{task}, `since` read, on the wire"), &kilobytes(&self.since_bytes), " KB", Limit::AtMost(1.5)),
            row(format!("{task}, CPU, the `since` read to the full read"), &to_full, "x", Limit::AtMost(1.1)),
        ]
    }
}
