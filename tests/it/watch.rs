//! `requery watch` as a process: its lines and its end. The tests of its screen are in `screen`.

#[cfg(target_os = "linux")]
mod screen;
#[cfg(target_os = "linux")]
mod terminal;

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::app::{App, PATIENCE};

async fn start_task(app: &App, title: &str) -> String {
    let task = json!({ "title": title, "project": "acme" });
    let answer = reqwest::Client::new()
        .post(app.url("/api/v1/tasks"))
        .header("content-type", "application/json")
        .body(task.to_string());
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let task: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    task["task_id"].as_str().unwrap().to_owned()
}

/// Whether the thread that writes waits until its pipe or terminal takes more bytes.
#[cfg(target_os = "linux")]
fn is_blocked_in_a_write(id: i32) -> bool {
    let threads = std::fs::read_dir(std::path::Path::new("/proc").join(id.to_string()).join("task")).unwrap();
    let text = |thread: &std::fs::DirEntry, file| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
    let mut threads = threads.flatten().filter(|thread| text(thread, "comm").trim() == "output");
    let waits = |thread: &std::fs::DirEntry| text(thread, "wchan");
    // A pipe waits in `pipe_write`, and a terminal in `wait_woken`. A thread without work waits in a `futex` function.
    threads.any(|thread| ["pipe_write", "wait_woken"].iter().any(|name| waits(&thread).contains(name)))
}

/// A process of `requery watch` whose output is a pipe.
struct Watched {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watched {
    fn start(url: &str, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(["watch", "--server", url]).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time").unwrap()
    }

    /// The next JSON line, in a short form.
    async fn short(&mut self) -> String {
        let line = self.line().await.expect("a line");
        short(&serde_json::from_str(&line).expect("JSON"))
    }

    /// The JSON lines until this one, in a short form.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != last) {
            lines.push(self.short().await);
            assert!(lines.len() < 1000, "no {last}: {lines:#?}");
        }
        lines
    }

    /// The exit code and the text on standard error.
    async fn ended(mut self) -> (Option<i32>, String) {
        drop(self.lines);
        let ended = timeout(PATIENCE, self.child.wait()).await.expect("the end in time").unwrap();
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        tokio::io::AsyncReadExt::read_to_string(stderr, &mut errors).await.unwrap();
        (ended.code(), errors)
    }
}

fn short(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    match line.get("status") {
        Some(_) => format!("{} {}", text("status"), text("reason")).trim().to_owned(),
        None => format!("{} {}", text("read_model"), text("state")),
    }
}

/// Between the line of the loss and the line of the new stream no read model is fresh.
#[tokio::test]
async fn json_lines_tell_the_connection_and_the_staleness() {
    let app = App::start().await;
    let mut watched = Watched::start(&format!("http://{}", app.address), &["--json"]);
    let begun = watched.until("overview fresh").await;
    assert!(begun.contains(&"live".to_owned()), "{begun:?}");
    start_task(&app, "a task").await;
    assert_eq!(watched.until("overview fresh").await, ["overview stale", "overview fresh"]);
    let address = app.address;
    let folder = app.crash().await;
    let lost = watched.line().await.unwrap();
    let lost: Value = serde_json::from_str(&lost).unwrap();
    assert_eq!((lost["status"].as_str(), lost["reason"].as_str()), (Some("reconnecting"), Some("ended")), "{lost}");
    let since: requery::protocol::model::Timestamp = lost["since"].as_str().unwrap().parse().unwrap();
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let age = i64::try_from(age.as_millis()).unwrap() - since.as_ms();
    assert!((0..10_000).contains(&age), "{lost}");
    assert!(!lost["error"].as_str().unwrap().is_empty(), "{lost}");
    let unconfirmed = watched.until("overview unconfirmed").await;
    let app = App::start_at(address, folder, |_| ()).await;
    let mut lines = watched.until("overview fresh").await;
    lines.splice(..0, unconfirmed);
    let live = lines.iter().position(|line| line == "live").expect("a live stream");
    assert!(lines[..live].iter().all(|line| !line.ends_with("fresh")), "{lines:?}");
    app.stop().await;
}

#[tokio::test]
async fn the_end_of_the_attempts_is_a_last_line_a_sentence_and_a_failure() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let mut watched = Watched::start(&url, &["--json", "--attempts", "2"]);
    let lines = watched.until("closed attempts").await;
    assert!(lines.contains(&"reconnecting not_reached".to_owned()), "{lines:?}");
    assert!(lines.contains(&"overview loading".to_owned()), "a failed fetch is a line: {lines:?}");
    assert_eq!(watched.line().await, None, "the last line");
    let (code, errors) = watched.ended().await;
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("requery: the last attempt to connect failed: could not connect to"), "{errors}");

    let mut watched = Watched::start(&url, &["--attempts", "1"]);
    let mut lines = Vec::new();
    while let Some(line) = watched.line().await {
        lines.push(line);
    }
    assert!(lines.last().is_some_and(|line| line.starts_with("closed: ")), "{lines:?}");
    assert_eq!(watched.ended().await.0, Some(1));
}

/// The server answers to its own address only, and not to another form of it.
#[tokio::test]
async fn a_client_that_the_server_refuses_ends_with_a_failure() {
    let app = App::start().await;
    let url = format!("http://[::ffff:127.0.0.1]:{}", app.address.port());
    let mut watched = Watched::start(&url, &["--json"]);
    let lines = watched.until("closed refused").await;
    assert!(!lines.iter().any(|line| line.ends_with("fresh")), "{lines:?}");
    assert_eq!(watched.line().await, None, "the last line");
    let (code, errors) = watched.ended().await;
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.starts_with("requery: the server refuses this client: "), "{errors}");
    app.stop().await;
}

#[tokio::test]
async fn a_reader_that_closes_the_output_is_no_failure() {
    let app = App::start().await;
    let mut watched = Watched::start(&format!("http://{}", app.address), &["--json"]);
    watched.until("overview fresh").await;
    let (child, lines) = (watched.child, watched.lines);
    drop(lines);
    start_task(&app, "a task").await;
    let ended = timeout(PATIENCE, async {
        let mut child = child;
        child.wait().await
    })
    .await
    .expect("it ends")
    .unwrap();
    assert!(ended.success(), "{ended}");
    app.stop().await;
}

/// A reader that stops reading fills the pipe, and the write blocks.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_signal_ends_a_command_whose_reader_has_stopped_reading() {
    let app = App::start().await;
    let mut watched = Watched::start(&format!("http://{}", app.address), &["--json", "--body"]);
    watched.until("overview fresh").await;
    let id = watched.child.id().and_then(|id| i32::try_from(id).ok()).unwrap();
    // The body of the overview holds 50 titles of 4 KB, which is more than a pipe takes.
    for number in 0..50 {
        app.sql(&format!("insert into tasks (title) values ('{}{number}')", "x".repeat(400)));
    }
    let full = async {
        while !is_blocked_in_a_write(id) {
            app.sql("insert into tasks (title) values ('one more')");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, full).await.expect("a full pipe in time");
    rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), rustix::process::Signal::TERM).unwrap();
    let ended = timeout(PATIENCE, watched.child.wait()).await.expect("it ends in time").unwrap();
    assert!(ended.success(), "{ended}");
    app.stop().await;
}

#[tokio::test]
async fn explain_says_why_a_read_model_is_stale_and_what_it_waits_for() {
    let app = App::start().await;
    let url = format!("http://{}", app.address);
    let mut watched = Watched::start(&url, &["--json", "--explain"]);
    let mut explanations = Vec::new();
    let mut began = false;
    let is_told = |text: &String| text.contains("(task.started)");
    // A first fetch can be repeated, so a fresh read model alone does not show that the notice has come.
    while !(explanations.iter().any(is_told) && explanations.last().is_some_and(|text| text.starts_with("fresh"))) {
        let line: Value = serde_json::from_str(&watched.line().await.expect("a line")).unwrap();
        if let Some(text) = line["explanation"].as_str() {
            assert_eq!(line["read_model"], "overview", "{line}");
            explanations.push(text.to_owned());
        }
        if !began && explanations.last().is_some_and(|text| text.starts_with("fresh")) {
            began = true;
            start_task(&app, "a task").await;
            explanations.clear();
        }
    }
    let text = explanations.join("\n");
    // The pace takes the place of the quiet if a fetch has ended shortly before the notice.
    let waits = |text: &&String| {
        let waits = [", waits for quiet until ", ", waits for the pace until "];
        text.contains("(task.started)") && waits.iter().any(|reason| text.contains(reason))
    };
    let stale = explanations.iter().find(waits).expect(&text);
    assert!(stale.starts_with("stale since "), "{text}");
    assert!(explanations.last().is_some_and(|text| text.starts_with("fresh, waits for a change until ")), "{text}");

    let mut watched = Watched::start(&url, &["--explain"]);
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.starts_with("overview: fresh, waits for a change")) {
        lines.push(watched.line().await.expect("a line"));
    }
    assert!(lines.iter().any(|line| line.starts_with("overview fresh")), "{lines:?}");
    app.stop().await;
}
