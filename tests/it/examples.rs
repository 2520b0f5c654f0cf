//! The programs in `examples/`, each run against a real server.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::app::{App, PATIENCE};
use crate::rest::{Client, TASK};

#[tokio::test]
async fn the_terminal_prints_the_overview_when_it_changes() {
    let app = App::start().await;
    let rest = Client::of(&app);
    let mut program = Program::start("overview_terminal", &[&app.url("")]);
    program.stdout_line("0 tasks").await;
    rest.task("write\u{1b}[2J docs", json!({})).await;
    program.stdout_line("1 tasks, 1 running").await;
    assert_eq!(program.stdout_line("running").await, "  running    write [2J docs");
}

#[tokio::test]
async fn the_terminal_ends_quietly_when_its_output_is_closed() {
    let app = App::start().await;
    let mut program = Program::start("overview_terminal", &[&app.url("")]);
    program.stdout_line("0 tasks").await;
    let Program { mut child, stdout, mut stderr } = program;
    drop(stdout);
    Client::of(&app).task("a", json!({})).await;
    let ended = timeout(PATIENCE, child.wait()).await.expect("the program did not end").unwrap();
    assert!(ended.success(), "{ended}");
    assert_eq!(stderr.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn axum_serves_current_bodies_with_their_age() {
    let app = App::start().await;
    let rest = Client::of(&app);
    let task = rest.task("before", json!({})).await;
    let mut program = Program::start("axum_state", &[&app.url(""), "127.0.0.1:0"]);
    let line = program.stdout_line("listening on ").await;
    let address = line.trim_start_matches("listening on ").to_owned();
    let pages =
        [(format!("{address}/overview"), "/tasks/items/0/title"), (format!("{address}/tasks/{task}"), "/task/title")];

    for title in ["before", "after"] {
        let answer = rest.patch(&format!("/api/v1/tasks/{task}"), json!({ "title": title })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        for (page, pointer) in &pages {
            until(|| async {
                let page = Page::get(page).await;
                (page.status, page.state.as_str()) == (200, "fresh")
                    && page.body.pointer(pointer) == Some(&json!(title))
            })
            .await;
        }
    }
    assert_eq!(Page::get(&format!("{address}/tasks/not-an-id")).await.status, 400);
    let missing = Page::get(&format!("{address}/tasks/{TASK}")).await;
    assert_eq!((missing.status, missing.state.as_str(), missing.body), (404, "gone", Value::Null));

    // Without the server the bodies stay, and their age grows.
    app.stop().await;
    for (page, pointer) in &pages {
        until(|| async { Page::get(page).await.age >= 1 }).await;
        let page = Page::get(page).await;
        assert_eq!((page.status, page.body.pointer(pointer)), (200, Some(&json!("after"))));
    }
}

#[tokio::test]
async fn waiting_for_a_task_ends_with_its_result() {
    let app = App::start().await;
    let rest = Client::of(&app);
    for (status, expected) in [("completed", (Some(0), "completed\n")), ("errored", (Some(1), "errored\n"))] {
        let task = rest.task(status, json!({})).await;
        let program = Program::start("wait_for_task", &[&app.url(""), &task]);
        assert_eq!(rest.patch(&format!("/api/v1/tasks/{task}"), json!({ "status": status })).await.status, 200);
        assert_eq!(program.end().await, (expected.0, expected.1.to_owned()));
    }

    let task = rest.task("deleted", json!({})).await;
    let program = Program::start("wait_for_task", &[&app.url(""), &task]);
    assert_eq!(rest.delete(&format!("/api/v1/tasks/{task}")).await.status, 204);
    assert_eq!(program.end().await, (Some(1), "not found\n".to_owned()));

    assert_eq!(Program::start("wait_for_task", &[]).end().await, (Some(2), String::new()));
}

#[test]
fn the_examples_are_short_and_the_readme_shows_one() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    for example in ["axum_state", "overview_terminal", "wait_for_task"] {
        let lines = read(&format!("examples/{example}.rs")).lines().count();
        assert!(lines <= 40, "{example} has {lines} lines");
    }
    let example = read("examples/overview_terminal.rs");
    let code: Vec<&str> = example.lines().skip_while(|line| line.starts_with("//!")).skip(1).collect();
    assert!(read("README.md").contains(&format!("```rust,no_run\n{}\n```", code.join("\n"))));
}

#[tokio::test]
async fn a_shop_is_watched_by_two_tables() {
    let (code, output) = Program::start("other_domain", &[]).end().await;
    let lines: Vec<&str> = output.lines().collect();
    let last = r#"orders: [{"id":0,"customer":"ada","amount":30},{"id":1,"customer":"bob","amount":5},{"id":2,"customer":"ada","amount":12}]"#;
    assert_eq!((code, lines.len()), (Some(0), 4), "{output}");
    assert_eq!(lines[2..], [last, r#"ada: {"name":"ada","spent":42}"#]);
}

/// An example that runs, until this value is dropped.
struct Program {
    child: Child,
    stdout: Lines<BufReader<tokio::process::ChildStdout>>,
    stderr: Lines<BufReader<tokio::process::ChildStderr>>,
}

impl Program {
    fn start(example: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(BUILT_IN.join(example));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{example}: {error}"));
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, stdout, stderr }
    }

    /// The next line that contains `text`.
    async fn stdout_line(&mut self, text: &str) -> String {
        line_with(&mut self.stdout, text).await
    }

    /// The exit code and the rest of the output.
    async fn end(mut self) -> (Option<i32>, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the program did not end").unwrap();
        let mut text = String::new();
        while let Some(line) = self.stdout.next_line().await.unwrap() {
            text += &format!("{line}\n");
        }
        (status.code(), text)
    }
}

async fn line_with(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>, text: &str) -> String {
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(text) {
                return line;
            }
        }
        panic!("the program ended without {text:?}");
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no line with {text:?}"))
}

/// An answer of the axum example.
struct Page {
    status: u16,
    age: u64,
    state: String,
    body: Value,
}

impl Page {
    async fn get(url: &str) -> Self {
        let answer = reqwest::get(url).await.unwrap();
        let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (age, state) = (header("age").parse().unwrap_or_default(), header("x-state"));
        let status = answer.status().as_u16();
        Self { status, age, state, body: serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default() }
    }
}

async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("the condition never held");
}

/// The folder of the examples, which are built first: `cargo test --test it` builds none, and examples that an earlier
/// command left there may be outdated. The build takes no time where the examples are current.
static BUILT_IN: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let (folder, profile) = if cfg!(debug_assertions) { ("debug", "dev") } else { ("release", "release") };
    let mut build = std::process::Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--quiet", "--examples", "--profile", profile, "--target-dir"]).arg(target);
    let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join(folder).join("examples")
});
