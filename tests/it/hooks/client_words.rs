//! The client's own word: files of sessions in a folder, read by a running server.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use requery::agent::process::Process;
use requery::server::agents::SilenceLimits;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{App, PATIENCE};
use crate::process::ServerProcess;

/// A session of a client: a process that the test keeps alive, and its file.
struct Session {
    folder: PathBuf,
    process: Child,
    kind: &'static str,
}

impl Session {
    /// A session whose folder is below the folder of the server.
    fn start(folder: PathBuf, kind: &'static str) -> Self {
        let process = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, process, kind }
    }

    fn named(&self) -> Process {
        Process::running(self.process.id()).unwrap()
    }

    /// Writes the file as the client does.
    fn say(&self, status: &str, waiting_for: Option<&str>, at_ms: i64) {
        self.say_of("agent", status, waiting_for, at_ms);
    }

    fn say_of(&self, session_id: &str, status: &str, waiting_for: Option<&str>, at_ms: i64) {
        let pid = self.process.id();
        let mut file = json!({
            "pid": pid, "sessionId": session_id, "cwd": "/home/dev/shop", "version": "2.1.332", "kind": self.kind,
            "procStart": self.named().began().to_string(), "name": "shop-1", "startedAt": 1, "entrypoint": "cli",
            "status": status, "statusUpdatedAt": at_ms, "updatedAt": at_ms,
        });
        if let Some(waiting_for) = waiting_for {
            file["waitingFor"] = waiting_for.into();
        }
        // The client replaces its file at once, so no reader sees half of it.
        let new = self.folder.join("new");
        std::fs::write(&new, file.to_string()).unwrap();
        std::fs::rename(new, self.folder.join(format!("{pid}.json"))).unwrap();
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn hook(app: &App, name: &str, more: Value, process: Option<&Process>) {
    let mut body = json!({"session_id": "agent", "hook_event_name": name, "cwd": "/home/dev/shop"});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let mut request = reqwest::Client::new().post(app.url("/api/v1/hooks/claude-code")).body(body.to_string());
    request = request.header("Content-Type", "application/json");
    if let Some(process) = process {
        request = request.header("Requery-Process", process.to_string());
    }
    assert_eq!(request.send().await.unwrap().status(), 204);
}

/// The status of the only task, its reason, and the reason of its stale flag.
async fn status(app: &App) -> String {
    let answer = reqwest::get(app.url("/api/v1/tasks")).await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let task = &answer["items"][0];
    ["status", "status_reason", "stale_reason"].map(|field| task[field].as_str().unwrap_or_default()).join(" ")
}

async fn until(app: &App, wanted: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let status = status(app).await;
        if status.trim_end() == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status} is not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the status of the only task is certain (`1`) or in doubt (`0`).
async fn until_certain(app: &App, wanted: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while app.sql_seen("select status_certain from tasks") != wanted {
        assert!(tokio::time::Instant::now() < deadline, "the column is not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn app(folder: &Arc<TempDir>, reads_files: bool) -> App {
    let sessions = folder.path().join("sessions");
    App::start_in(folder.clone(), |config| {
        config.session_files = reads_files.then_some(sessions);
        config.silence_limits =
            SilenceLimits { stale_after: Duration::from_secs(20), lost_after: Duration::from_secs(3_600) };
    })
    .await
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

const CALL: &str = r#"{"tool_name": "Bash", "tool_use_id": "a", "tool_input": {"command": "make the shop"}}"#;

fn call() -> Value {
    serde_json::from_str(CALL).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_approval_and_esc_are_seen_while_no_hook_runs() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = app(&folder, true).await;
    let mut session = Session::start(folder.path().join("sessions"), "bg");
    hook(&app, "UserPromptSubmit", json!({"prompt": "hi"}), None).await;
    hook(&app, "PreToolUse", call(), None).await;
    session.say("busy", None, now());
    hook(&app, "PermissionRequest", call(), None).await;
    session.say("waiting", Some("permission prompt"), now());
    until(&app, "waiting permission").await;
    until_certain(&app, "1").await;
    session.say("busy", None, now());
    until(&app, "running").await;
    session.say("idle", None, now());
    until(&app, "waiting interrupted").await;
    // The server knows the process from the file, so it notices that the session in the background was killed.
    session.kill();
    until(&app, "waiting interrupted gone").await;
    app.stop().await;
}

/// The word of the client confirms a request that a hook asked before. Without the word the request is in doubt again.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_permission_is_certain_as_long_as_the_client_says_so() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = app(&folder, true).await;
    let session = Session::start(folder.path().join("sessions"), "interactive");
    hook(&app, "UserPromptSubmit", json!({"prompt": "hi"}), None).await;
    hook(&app, "PreToolUse", call(), None).await;
    hook(&app, "PermissionRequest", call(), None).await;
    until_certain(&app, "0").await;
    session.say("waiting", Some("permission prompt"), now());
    until_certain(&app, "1").await;
    assert_eq!(status(&app).await.trim_end(), "waiting permission");
    std::fs::remove_file(session.folder.join(format!("{}.json", session.process.id()))).unwrap();
    until_certain(&app, "0").await;
    // A program that confirms the request counts as well.
    let task = app.sql_seen("select id from tasks");
    let body = json!({"status": "waiting"}).to_string();
    let patch = reqwest::Client::new().patch(app.url(&format!("/api/v1/tasks/{task}"))).body(body);
    let answer = patch.header("Content-Type", "application/json").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    until_certain(&app, "1").await;
    app.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_word_ends_with_its_process_and_across_a_restart() {
    let folder = Arc::new(TempDir::new().unwrap());
    let server = app(&folder, true).await;
    let session = Session::start(folder.path().join("sessions"), "interactive");
    hook(&server, "UserPromptSubmit", json!({"prompt": "hi"}), None).await;
    session.say("idle", None, now());
    until(&server, "waiting interrupted").await;
    // The hook is held back, and the server that would end the hold stops.
    hook(&server, "UserPromptSubmit", json!({"prompt": "on"}), None).await;
    assert_eq!(status(&server).await.trim_end(), "waiting interrupted");
    server.stop().await;
    let server = app(&folder, false).await;
    until(&server, "running").await;
    server.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_word_of_another_machine_or_user_does_not_count() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = app(&folder, true).await;
    let session = Session::start(folder.path().join("sessions"), "interactive");
    let elsewhere = "-:0f7a31f6-6b0e-4f7e-9d3a-0a9d1f8f5c11:1:1:7:1".parse::<Process>().unwrap();
    hook(&app, "UserPromptSubmit", json!({"prompt": "hi"}), Some(&elsewhere)).await;
    session.say("idle", None, now());
    // The word of a second session, written later, shows that the server has looked.
    hook(&app, "UserPromptSubmit", json!({"prompt": "hi", "session_id": "other"}), None).await;
    let other = Session::start(folder.path().join("sessions"), "interactive");
    other.say_of("other", "idle", None, now());
    let status = |id: &str| app.sql_seen(&format!("select status from tasks where external_id = '{id}'"));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while status("other") != "waiting" {
        assert!(tokio::time::Instant::now() < deadline, "the server has not looked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status("agent"), "running");
    app.stop().await;
}

/// The server reads the folder that the client uses, unless it was told to read no file.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_reads_the_folder_of_the_client_and_with_off_no_file() {
    let folder = TempDir::new().unwrap();
    let session = Session::start(folder.path().join("sessions"), "interactive");
    // A folder of this name is no reason to read it.
    std::os::unix::fs::symlink(&session.folder, folder.path().join("off")).unwrap();
    let mut servers = Vec::new();
    for (name, option) in [("told to read none", Some("off")), ("told no folder", None)] {
        let beside = folder.path().join(name);
        std::fs::create_dir(&beside).unwrap();
        let server = ServerProcess::start(&beside.join("test.db"), &beside, |command| {
            command
                .current_dir(folder.path())
                .env("CLAUDE_CONFIG_DIR", folder.path())
                .env_remove("REQUERY_SESSION_FILES");
            command.args(option.map(|option| ["--session-files", option]).into_iter().flatten());
        });
        let prompt = json!({"session_id": "agent", "hook_event_name": "UserPromptSubmit", "prompt": "hi"});
        let answer = server.send(Method::POST, "/api/v1/hooks/claude-code", Some(&prompt)).await.unwrap();
        assert_eq!(answer.status(), 204, "{name}");
        servers.push(server);
    }
    let tasks = async |server: &ServerProcess| server.body("/api/v1/tasks").await["items"].clone();
    let before = tasks(&servers[0]).await;
    // Each change of the word is a further look of both servers.
    for (word, status) in [("idle", "waiting"), ("busy", "running"), ("idle", "waiting"), ("busy", "running")] {
        session.say(word, None, now());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tasks(&servers[1]).await[0]["status"] != status {
            assert!(tokio::time::Instant::now() < deadline, "{}", servers[1].log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(tasks(&servers[0]).await, before);
}

/// A request that no session confirms ends when its command runs below the process of the agent.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_command_that_runs_ends_its_permission_request() {
    let folder = Arc::new(TempDir::new().unwrap());
    let app = app(&folder, false).await;
    let mut agent = Command::new("sh")
        .args(["-c", "read -r _; sh -c 'sleep 600; : make the shop'; :"])
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let process = Process::running(agent.id()).unwrap();
    hook(&app, "UserPromptSubmit", json!({"prompt": "hi"}), Some(&process)).await;
    hook(&app, "PreToolUse", call(), None).await;
    hook(&app, "PermissionRequest", call(), None).await;
    until(&app, "waiting permission").await;
    until_certain(&app, "0").await;
    std::io::Write::write_all(agent.stdin.as_mut().unwrap(), b"\n").unwrap();
    until(&app, "running").await;
    assert_eq!(app.sql_seen("select status_certain from tasks"), "1");
    for (_, line) in process.commands_below() {
        assert!(line.contains("sleep"), "{line}");
    }
    // The command of the shell below the agent as well: it would hold the output of the tests open.
    let group = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    agent.wait().unwrap();
    app.stop().await;
}
