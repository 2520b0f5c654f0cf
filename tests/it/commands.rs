//! The built commands `demo`, `replay`, `watch`, `bench`, `openapi` and `serve`, each in a process of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use requery::protocol::Notice;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

/// A bound far above the time that each step takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// At speed 40 the first two minutes of the demo take three seconds.
#[tokio::test]
async fn the_demo_sends_every_kind_of_notice_and_leaves_no_files() {
    let demo = Served::start(&["demo", "--listen", "127.0.0.1:0", "--speed", "40", "--agents", "5"]).await;
    let mut missing: BTreeSet<&str> = Notice::KINDS.iter().copied().collect();
    let watch = async {
        let mut stream = reqwest::get(format!("{}/api/v1/stream", demo.url)).await.expect("a stream");
        let mut text = String::new();
        while let Some(chunk) = stream.chunk().await.expect("a chunk") {
            text += &String::from_utf8_lossy(&chunk);
            missing.retain(|kind| !text.contains(&format!("\"type\":\"{kind}\"")));
            if missing.is_empty() {
                return;
            }
            text.drain(..text.rfind('\n').unwrap_or(0));
        }
    };
    let watched = tokio::time::timeout(PATIENCE, watch).await;
    assert!(watched.is_ok() && missing.is_empty(), "not seen: {missing:?}");
    let (status, folder) = demo.end().await;
    assert!(status.success(), "{status}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[tokio::test]
async fn a_replay_gives_the_figures_of_its_recording() {
    let server = Served::start(&["serve", "--listen", "127.0.0.1:0", "--database-url", "requery.db"]).await;
    let replay = |file: &'static str, url: String| async move {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hooks").join(file);
        let mut replay = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
        replay.arg("replay").arg(file).args(["--speed", "max", "--server", &url]);
        replay.output().await.expect("a replay")
    };
    for file in ["claude-code-busy-day.jsonl", "codex-two-sessions.jsonl"] {
        let replayed = replay(file, server.url.clone()).await;
        assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    }
    let overview = reqwest::get(format!("{}/api/v1/overview", server.url)).await.expect("an answer");
    let overview: Value = serde_json::from_str(&overview.text().await.expect("a body")).expect("JSON");
    let stats = &overview["stats"];
    assert_eq!((&stats["total_tasks"], &stats["total_events"]), (&7.into(), &(349 + 36).into()), "{overview}");

    let refused = replay("hostile.jsonl", server.url.clone()).await;
    assert_eq!(refused.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(errors.starts_with("line 1: not a record: it has no body\n"), "{errors}");
    assert_eq!(errors.lines().count(), 11, "{errors}");
    assert!(errors.ends_with("further failures are only counted\n"), "{errors}");
    let summary = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(summary.starts_with("0 lines sent, 89 failed, 0 retried in "), "{summary}");
    assert!(server.end().await.0.success());
}

#[tokio::test]
async fn bench_measures_a_server_and_deletes_its_tasks() {
    let server = Served::start(&["serve", "--listen", "127.0.0.1:0", "--database-url", "requery.db"]).await;
    let bench = |more: &'static [&'static str]| {
        let mut bench = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
        bench.args(["bench", "--url", &server.url, "--watchers", "20", "--rate", "50", "--readers", "2"]).args(more);
        bench.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        bench
    };
    let measured = bench(&["--seconds", "1", "--json"]).output().await.expect("a bench");
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
    let figures: Value = serde_json::from_slice(&measured.stdout).expect("one JSON object");
    let number = |path: &str| figures.pointer(path).and_then(Value::as_f64).unwrap_or(-1.0);
    // The writers send at most the wanted number of writes, and each of the twenty watchers gets frames.
    assert!((1.0..=51.0).contains(&number("/writes/count")), "{figures}");
    assert!(number("/frames") >= 20.0 && number("/baseline/frames") >= 20.0, "{figures}");
    assert!(number("/write_to_client/p50_ms") > 0.0 && number("/baseline/send_to_client/p99_ms") > 0.0, "{figures}");
    assert_eq!((number("/errors"), number("/streams_lost")), (0.0, 0.0), "{figures}");
    assert_eq!(tasks_of(&server.url).await, 0);

    let table = bench(&["--seconds", "1", "--mix", "status=1"]).output().await.expect("a bench");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("\nwrite to client, p99"), "{table}");

    let mut interrupted = bench(&["--seconds", "60"]).spawn().expect("a bench");
    let writes = async {
        while tasks_of(&server.url).await < 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, writes).await.expect("the tasks of the bench in time");
    send(&interrupted, Signal::INT);
    let ended = tokio::time::timeout(PATIENCE, interrupted.wait()).await.expect("an end in time").expect("a status");
    assert_eq!(ended.code(), Some(130));
    assert_eq!(tasks_of(&server.url).await, 0);
    assert!(server.end().await.0.success());
}

#[tokio::test]
async fn bench_refuses_a_server_that_it_cannot_reach() {
    let bench = |args: &'static [&'static str]| {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_requery")).arg("bench").args(args).output()
    };
    // No program listens on port 1.
    for (args, code, reason) in [
        (&["--url", "http://127.0.0.1:1"][..], 1, "cannot be reached (Connection refused (os error"),
        (&["--url", "ftp://127.0.0.1:1"], 1, "expected http://host:port"),
        (&["--mix", "tasks=1"], 2, "there is no \"tasks\""),
        (&["--watchers", "0"], 2, "0 is not in 1..=10000"),
        (&["--rate", "1000000"], 2, "1000000 is not in 1..=20000"),
    ] {
        let refused = bench(args).await.expect("a bench");
        let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(code), "{args:?}: {errors}");
        assert!(errors.contains(reason), "{args:?}: {errors}");
    }
}

/// The number of tasks on the first page.
async fn tasks_of(url: &str) -> usize {
    let page = reqwest::get(format!("{url}/api/v1/tasks?limit=200")).await.expect("an answer");
    let page: Value = serde_json::from_str(&page.text().await.expect("a body")).expect("JSON");
    page["items"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn watch_ignores_the_proxy_of_the_environment() {
    let server = Served::start(&["serve", "--listen", "127.0.0.1:0", "--database-url", "requery.db"]).await;
    let mut watch = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
    watch.args(["watch", "--json", "--server", &server.url]).env("http_proxy", "http://127.0.0.1:9");
    let mut watch = watch.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("a process");
    let mut lines = BufReader::new(watch.stdout.take().expect("its output")).lines();
    let fresh = async {
        loop {
            let line = lines.next_line().await.expect("text").expect("a line");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            if line["state"] == "fresh" {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, fresh).await.expect("in time");
}

#[tokio::test]
async fn a_closed_output_pipe_is_no_failure() {
    let mut openapi = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
    let mut openapi = openapi.arg("openapi").stdout(Stdio::piped()).spawn().expect("a process");
    drop(openapi.stdout.take());
    assert!(openapi.wait().await.expect("it ends").success());
}

/// Each signal comes twice: while the demo runs, and while it still starts.
#[tokio::test]
async fn the_demo_leaves_no_files_after_any_signal() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (status, folder) = Served::start(&["demo", "--listen", "127.0.0.1:0"]).await.end_by(signal).await;
        assert!(status.success(), "{signal:?}: {status}");
        assert!(is_empty(folder.path()), "{signal:?}");

        let folder = tempfile::tempdir().expect("a folder");
        let mut demo = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
        demo.args(["demo", "--listen", "127.0.0.1:0"]).env("TMPDIR", folder.path()).stdout(Stdio::null());
        let mut demo = demo.kill_on_drop(true).spawn().expect("a process");
        let has_folder = async {
            while is_empty(folder.path()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, has_folder).await.expect("the folder of the demo in time");
        send(&demo, signal);
        let ended = tokio::time::timeout(PATIENCE, demo.wait()).await.expect("it ends in time").expect("a status");
        assert!(ended.success(), "{signal:?} at the start: {ended}");
        assert!(is_empty(folder.path()), "{signal:?} at the start");
    }
}

/// The terminal is gone: standard output and standard error are closed, and SIGHUP ends the command as SIGTERM does.
#[tokio::test]
async fn a_server_whose_terminal_was_closed_runs_on_until_the_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
    serve.args(["serve", "--listen", "127.0.0.1:0", "--database-url", "requery.db"]).env("REQUERY_LOG", "debug");
    serve.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut serve = serve.spawn().expect("a process");
    let mut lines = BufReader::new(serve.stdout.take().expect("its output")).lines();
    let line =
        tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text").expect("a line");
    drop((lines, serve.stderr.take()));
    let url = line.split_whitespace().last().expect("the URL").to_owned();
    // Each of these requests makes lines in the log, which cannot be written.
    for _ in 0..3 {
        assert_eq!(reqwest::get(format!("{url}/api/v1/overview")).await.expect("an answer").status(), 200);
    }
    send(&serve, Signal::HUP);
    let ended = tokio::time::timeout(PATIENCE, serve.wait()).await.expect("it ends in time").expect("a status");
    assert!(ended.success(), "{ended}");
}

/// `nohup` starts a command with SIGHUP ignored, so that the command outlives its terminal.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_command_under_nohup_ignores_sighup() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = tokio::process::Command::new("nohup");
    serve.arg(env!("CARGO_BIN_EXE_requery")).args(["serve", "--listen", "127.0.0.1:0", "--database-url", "requery.db"]);
    serve.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut serve = serve.spawn().expect("a process");
    let mut lines = BufReader::new(serve.stdout.take().expect("its output")).lines();
    let line =
        tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text").expect("a line");
    let url = line.split_whitespace().last().expect("the URL").to_owned();
    send(&serve, Signal::HUP);
    assert_eq!(reqwest::get(format!("{url}/healthz")).await.expect("an answer").status(), 200);
    send(&serve, Signal::TERM);
    let ended = tokio::time::timeout(PATIENCE, serve.wait()).await.expect("it ends in time").expect("a status");
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn watch_says_that_the_server_does_not_know_the_project() {
    let server = Served::start(&["serve", "--listen", "127.0.0.1:0", "--database-url", "requery.db"]).await;
    let mut watch = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
    watch.args(["watch", "--json", "--project", "mistypd", "--server", &server.url]);
    let mut watch = watch.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("a process");
    let mut lines = BufReader::new(watch.stderr.take().expect("its errors")).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text");
    assert_eq!(line.expect("a line"), "the project \"mistypd\" has no task; is the name right?");
}

#[tokio::test]
async fn a_server_without_streams_is_refused() {
    let mut serve = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
    let refused = serve.args(["serve", "--max-streams", "0"]).output().await.expect("it ends");
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[tokio::test]
async fn a_startup_error_is_printed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
    serve.args(["--listen", "127.0.0.1:0", "--database-url"]).arg(folder.path());
    let errors = String::from_utf8(serve.output().await.expect("it ends").stderr).expect("text");
    assert_eq!(errors.matches("Is a directory").count(), 1, "{errors}");
}

fn send(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    kill_process(id.expect("it runs"), signal).expect("a signal");
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

/// A command that runs a server, in a folder of its own.
struct Served {
    url: String,
    child: Child,
    folder: TempDir,
}

impl Served {
    async fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(args).current_dir(folder.path()).env("TMPDIR", folder.path()).stdout(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let url = async {
            loop {
                let line = lines.next_line().await.expect("text").expect("a line");
                if let Some((_, url)) = line.split_once("http://") {
                    return format!("http://{}", url.split_whitespace().next().unwrap_or_default());
                }
            }
        };
        let url = tokio::time::timeout(PATIENCE, url).await.expect("the URL in time");
        // A full pipe would block the server, so its further output is read and dropped.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url, child, folder }
    }

    /// Ends the command as Ctrl-C does.
    async fn end(self) -> (ExitStatus, TempDir) {
        self.end_by(Signal::INT).await
    }

    async fn end_by(mut self, signal: Signal) -> (ExitStatus, TempDir) {
        send(&self.child, signal);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        (ended.expect("the command ends in time").expect("a status"), self.folder)
    }
}
