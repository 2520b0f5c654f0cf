//! What the server and its client cost, beside the bound each is held to.
//!
//! `cargo bench` prints every bound; `cargo bench -- NAME` those whose name contains NAME. Every figure is the median of
//! several rounds of one run, beside the least and the most of them. Timings are noisy, so a bound that is missed only
//! fails the run with `--strict` or `REQUERY_BENCH_STRICT=1`.

#![allow(clippy::unwrap_used)]

mod table;

mod machine;
mod rows;
mod server;
mod socket;

mod latency;

mod triggers;

mod idle;

mod burst;

mod binary;

mod hook;

mod fanout;

mod search;

use std::process::ExitCode;

use table::Row;

/// A name to ask for it by, and what measures it.
type Bound = (&'static str, fn() -> Vec<Row>);

/// In the order in which they are measured.
const BOUNDS: &[Bound] = &[
    ("latency", latency::measure),
    ("triggers", triggers::measure),
    ("idle", idle::measure),
    ("burst", burst::measure),
    ("binary", binary::measure),
    ("hook", hook::measure),
    ("fanout", fanout::measure),
    ("search", search::measure),
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
        println!("cargo bench measures; built any other way the figures say nothing");
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
        eprintln!("{missed} missed");
    }
    if strict && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
