//! The time that an agent waits for a hook: the run of `requery hook`, from the start of its process to its end.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use requery::agent::spool::{Spool, SpooledRecord};
use tempfile::TempDir;

use crate::server::Outside;
use crate::table::{Limit, Row, quantile};

const HOOKS: usize = 200;
/// The number of records in a full spool. About as many fit.
const WAITING: usize = 16_000;
/// Few, since each of these hooks runs until its deadline.
const HANGING: usize = 11;

pub fn measure() -> Vec<Row> {
    let folder = TempDir::new().unwrap();
    let spool = folder.path().join("spool");
    let options = ["--spool", spool.to_str().unwrap()];
    let server = Outside::start(&folder.path().join("requery.db"), &options);
    let with_server = times(&server.address.to_string(), &options, HOOKS);
    drop(server);

    let closed_address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let without_server = times(&closed_address, &options, HOOKS);
    let full = folder.path().join("full");
    fill(&full, &closed_address);
    let with_full_spool = times(&closed_address, &["--spool", full.to_str().unwrap()], HOOKS);

    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hanging.local_addr().unwrap().to_string();
    let with_hanging_server = (0..HANGING).flat_map(|round| {
        // Each run has its own spool, because the spool notes a server that hangs and the next hook would not ask it.
        let spool = folder.path().join(format!("spool-{round}"));
        times(&address, &["--spool", spool.to_str().unwrap()], 1)
    });
    let rows = |condition: &str, times: Vec<f64>, most: f64| {
        let slow = vec![quantile(&times, 0.99)];
        [
            Row::new(format!("an agent's hook, start to end, {condition}"), times, " ms", Limit::AtMost(most)),
            Row::new("  the same, 99 of 100", slow, " ms", Limit::Open),
        ]
    };
    let mut all = Vec::new();
    all.extend(rows("the server there", with_server, 20.0));
    all.extend(rows("no server, 0 to 199 records waiting", without_server, 15.0));
    all.extend(rows("no server, 16,000 records waiting", with_full_spool, 15.0));
    all.push(Row::new(
        "an agent's hook, start to end, the server hangs",
        with_hanging_server.collect(),
        " ms",
        Limit::AtMost(300.0),
    ));
    all
}

fn fill(base: &Path, address: &str) {
    let spool = Spool::of(base, "127.0.0.1", address.rsplit(':').next().unwrap().parse().unwrap());
    for number in 0..WAITING {
        let record = SpooledRecord {
            process: None,
            source: "claude-code".to_owned(),
            delivery: format!("0190b0a0-0000-7000-8000-{number:012x}"),
            at_ms: 0,
            body: br#"{"session_id":"s","hook_event_name":"Stop","cwd":"/home/ada"}"#.to_vec(),
        };
        let until = Instant::now() + Duration::from_secs(1);
        let place = spool.take_place("an agent", &record.delivery, record.at_ms, until).unwrap();
        spool.put(&record, &place, until).unwrap();
    }
}

fn times(address: &str, options: &[&str], hooks: usize) -> Vec<f64> {
    let time = |number| {
        let body = format!(
            r#"{{"session_id":"s","hook_event_name":"PostToolUse","cwd":"/home/ada","tool_name":"Bash","tool_use_id":"{number}","tool_input":{{"command":"cargo test"}},"tool_response":"{}"}}"#,
            "ok ".repeat(1000)
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(["hook", "claude-code", "--server", &format!("http://{address}")]).args(options);
        let began = Instant::now();
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        began.elapsed().as_secs_f64() * 1e3
    };
    (0..hooks).map(time).collect()
}
