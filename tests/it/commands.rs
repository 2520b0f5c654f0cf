//! The built commands `demo`, `replay`, `watch`, `openapi` and `serve`, each in a process of its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use requery::protocol::Notice;
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
    assert_eq!((&stats["total_tasks"], &stats["total_events"]), (&7.into(), &(347 + 35).into()), "{overview}");

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
async fn watch_ignores_the_proxy_of_the_environment() {
    let server = Served::start(&["serve", "--listen", "127.0.0.1:0", "--database-url", "requery.db"]).await;
    let mut watch = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
    watch.args(["watch", "--json", "--server", &server.url]).env("http_proxy", "http://127.0.0.1:9");
    let mut watch = watch.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("a process");
    let mut lines = BufReader::new(watch.stdout.take().expect("its output")).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text");
    let line: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
    assert_eq!(line["state"], "fresh", "{line}");
}

#[tokio::test]
async fn a_closed_output_pipe_is_no_failure() {
    let mut openapi = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
    let mut openapi = openapi.arg("openapi").stdout(Stdio::piped()).spawn().expect("a process");
    drop(openapi.stdout.take());
    assert!(openapi.wait().await.expect("it ends").success());
}

#[tokio::test]
async fn a_startup_error_is_printed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = tokio::process::Command::new(env!("CARGO_BIN_EXE_requery"));
    serve.args(["--listen", "127.0.0.1:0", "--database-url"]).arg(folder.path());
    let errors = String::from_utf8(serve.output().await.expect("it ends").stderr).expect("text");
    assert_eq!(errors.matches("unable to open database file").count(), 1, "{errors}");
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
    async fn end(mut self) -> (ExitStatus, TempDir) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("it runs"), rustix::process::Signal::INT).expect("a signal");
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        (ended.expect("the command ends in time").expect("a status"), self.folder)
    }
}
