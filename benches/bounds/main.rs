//! The costs of the server and its client, each with the bound that it must keep.
//!
//! `cargo bench` measures every benchmark, `cargo bench -- NAME` each benchmark with NAME in its name. A figure is the
//! median of several rounds of one run, with the lowest and the highest round beside it. Timings are noisy, so a missed
//! bound fails the run only with `--strict` or `REQUERY_BENCH_STRICT=1`.

#![allow(clippy::unwrap_used)]

mod table;

mod machine;
mod rows;
mod server;
mod socket;

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
];

fn main() -> ExitCode {
    let mut names = Vec::new();
    let mut strict = std::env::var("REQUERY_BENCH_STRICT").is_ok_and(|value| value == "1");
    let mut asked = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            latency::WRITER => return latency::write(arguments),
            "--bench" => asked = true,
            "--strict" => strict = true,
            name => names.push(name.to_owned()),
        }
    }
    if !asked {
        println!("only `cargo bench` measures; figures of a build without optimization are of no use");
        return ExitCode::SUCCESS;
    }
    let wanted = |bound: &str| names.is_empty() || names.iter().any(|name| bound.contains(name.as_str()));
    machine::raise_open_files();
    println!("\n{}\n", machine::describe());
    table::print_head();
    let mut missed = 0;
    for (_, measure) in BOUNDS.iter().filter(|(name, _)| wanted(name)) {
        for row in measure() {
            println!("{row}");
            missed += usize::from(row.is_missed());
        }
    }
    println!();
    if missed > 0 {
        eprintln!("{missed} bounds missed");
    }
    if strict && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
