//! The costs of the server and its client, each with the bound that it must keep.
//!
//! `cargo bench` measures every benchmark, `cargo bench -- NAME...` each benchmark with all these names in its own
//! name, `cargo bench -- performance` the benchmarks of `docs/performance.md`, and `cargo bench -- postgres` those of
//! servers on Postgres; with `--quick` in three rounds instead of five. A figure is the median of several rounds of one run, with the lowest and the highest round beside
//! it. Timings are noisy, so a missed bound fails the run only with `--strict` or `REQUERY_BENCH_STRICT=1`.
//! `REQUERY_BENCH_SERVER` names the program of another version, whose server is measured instead.

#![allow(clippy::unwrap_used)]

mod table;

mod machine;
mod rows;
mod server;
mod socket;

mod swarm;

mod bare;
mod exchange;

mod latency;

mod beside_reads;

mod triggers;

mod deletion;

mod idle;

mod burst;

mod binary;

mod hook;

mod fanout;

mod search;

mod overview;

mod outside;

mod performance;

mod postgres;

use std::process::ExitCode;

use table::Row;

/// The name of a benchmark, and the function that measures it.
type Bound = (&'static str, fn() -> Vec<Row>);

/// The benchmarks in the order in which they run.
const BOUNDS: &[Bound] = &[
    ("latency", latency::measure),
    ("beside_reads", beside_reads::measure),
    ("triggers", triggers::measure),
    ("deletion", deletion::measure),
    ("idle", idle::measure),
    ("burst", burst::measure),
    ("binary", binary::measure),
    ("hook", hook::measure),
    ("fanout", fanout::measure),
    ("search", search::measure),
    ("overview", overview::measure),
    ("outside", outside::measure),
    ("performance fan-out", performance::fanout::measure),
    ("performance crowd", performance::crowd::measure),
    ("performance heartbeats", performance::heartbeats::measure),
    ("performance flood", performance::flood::measure),
    ("performance unread", performance::unread::measure),
    ("performance reads", performance::reads::measure),
    ("performance since", performance::since::measure),
    ("performance screens", performance::screens::measure),
    ("performance reconnect", performance::reconnect::measure),
    ("performance projects", performance::projects::measure),
    ("performance waiting", performance::waiting::measure),
    ("postgres inserts", postgres::inserts::measure),
    ("postgres latency", postgres::latency::measure),
    ("postgres replicas", postgres::replicas::measure),
    ("postgres ladder", postgres::ladder::measure),
    ("postgres faults", postgres::faults::measure),
    ("postgres sheet", postgres::sheet::measure),
];

/// A benchmark that also belongs to `docs/performance.md`.
const ALSO_PERFORMANCE: &str = "triggers";

fn main() -> ExitCode {
    let mut names = Vec::new();
    let mut strict = std::env::var("REQUERY_BENCH_STRICT").is_ok_and(|value| value == "1");
    let mut asked = false;
    let mut quick = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            latency::WRITER => return latency::write(arguments),
            "--bench" => asked = true,
            "--strict" => strict = true,
            "--quick" => quick = true,
            name => names.push(name.to_owned()),
        }
    }
    if !asked {
        println!("only `cargo bench` measures; figures of a build without optimization are of no use");
        return ExitCode::SUCCESS;
    }
    machine::set_quick(quick);
    let is_named =
        |bound: &str, name: &str| bound.contains(name) || (bound == ALSO_PERFORMANCE && name == "performance");
    let is_wanted = |bound: &str| names.iter().all(|name| is_named(bound, name));
    let wanted: Vec<_> = BOUNDS.iter().filter(|(name, _)| is_wanted(name)).collect();
    if wanted.is_empty() {
        eprintln!("no benchmark has all of these names: {}", names.join(" "));
        return ExitCode::FAILURE;
    }
    machine::raise_open_files();
    println!("\n{}\n", machine::describe());
    table::print_head();
    let (mut missed, mut failed) = (0, false);
    for (name, measure) in wanted {
        // A benchmark that fails is no reason to measure the others again.
        let Ok(rows) = std::panic::catch_unwind(measure) else {
            eprintln!("the benchmark {name} failed");
            failed = true;
            continue;
        };
        for row in rows {
            println!("{row}");
            missed += usize::from(row.is_missed());
        }
    }
    println!();
    if missed > 0 {
        eprintln!("{missed} bounds missed");
    }
    if failed || (strict && missed > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
