//! A temporary home folder, and commands that run in it as a person or an agent runs them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::app::PATIENCE;

pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        let home = Self(TempDir::new().unwrap());
        fs::create_dir_all(home.project()).unwrap();
        fs::create_dir_all(home.path("bin")).unwrap();
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The folder in which commands are run.
    pub fn project(&self) -> PathBuf {
        self.path("work/project")
    }

    /// The folder where hooks keep the records that they could not deliver to the local server on this port.
    pub fn spool(&self, port: u16) -> PathBuf {
        self.path(&format!(".local/state/requery/spool/local-{port}"))
    }

    /// The number of spooled records.
    pub fn spooled(&self, port: u16) -> usize {
        fs::read_dir(self.spool(port).join("queue")).map_or(0, Iterator::count)
    }

    /// The names of the spooled records, in their order.
    pub fn queued(&self, port: u16) -> Vec<String> {
        let entries = fs::read_dir(self.spool(port).join("queue")).into_iter().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Puts a shell script into the `PATH` of the commands, in place of a program that the user has.
    pub fn install_program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn at_home(&self, mut command: Command) -> Command {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["REQUERY_", "XDG_", "CLAUDE_", "CODEX_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command.current_dir(self.project()).env("HOME", self.0.path()).env("PATH", path);
        command
    }

    pub fn requery(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(args);
        self.at_home(command)
    }

    /// Runs a command that must succeed, and returns its output.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.requery(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with one line of error text, and returns this line.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.requery(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }

    /// Runs the hook command. It must succeed and print no text, even if the delivery fails.
    pub fn hook(&self, args: &[&str], input: &[u8]) {
        run_silently(self.requery(&[&["hook"], args].concat()), input);
    }

    /// Starts a server in a process of its own.
    pub async fn serve(&self, port: u16, more: &[&str]) -> Served {
        let listen = format!("127.0.0.1:{port}");
        let database = self.path("requery.db").display().to_string();
        let args = [&["serve", "--listen", &listen, "--database-url", &database], more].concat();
        let mut command = self.requery(&args);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        assert_eq!(line, Some(format!("requery serves http://{listen}")));
        // A full pipe would block the server, so its further output is read and dropped.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Served { child, url: format!("http://{listen}") }
    }
}

/// Runs a command with this input. It must succeed and print no text.
pub fn run_silently(mut command: Command, input: &[u8]) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    drop(stdin);
    check_silent(&child.wait_with_output().unwrap());
}

pub fn check_silent(output: &Output) {
    assert!(output.status.success(), "{}", output.status);
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b""[..], &b""[..]));
}

pub struct Served {
    child: Child,
    url: String,
}

impl Served {
    pub async fn get(&self, path: &str) -> Value {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// The cursor of the newest change.
    pub async fn cursor(&self) -> String {
        let answer = reqwest::get(format!("{}/api/v1/overview", self.url)).await.unwrap();
        answer.headers()["requery-cursor"].to_str().unwrap().to_owned()
    }

    /// The number of events that are logged.
    pub async fn logged_events(&self) -> usize {
        let overview = self.get("/api/v1/overview").await;
        usize::try_from(overview["stats"]["total_events"].as_u64().unwrap()).unwrap()
    }

    /// Waits until exactly `events` events are logged, and fails at once if there are more.
    pub async fn wait_for_events(&self, events: usize) {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let logged = self.logged_events().await;
            assert!(logged <= events, "{logged} events, not {events}");
            if logged == events {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "{logged} events, not {events}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The events of each task in their order, with the workspace of the task.
    pub async fn timelines(&self) -> Vec<(String, Vec<Value>)> {
        let mut timelines = Vec::new();
        for task in self.get("/api/v1/tasks?limit=200").await["items"].as_array().unwrap() {
            let id = task["task_id"].as_str().unwrap();
            let (mut items, mut path) = (Vec::new(), format!("/api/v1/tasks/{id}/timeline?limit=200"));
            loop {
                let page = self.get(&path).await;
                items.extend(page["items"].as_array().unwrap().iter().cloned());
                match page["next"].as_str() {
                    Some(next) => path = format!("/api/v1/tasks/{id}/timeline?limit=200&before={next}"),
                    None => break,
                }
            }
            items.sort_by_key(|event| event["position"].as_u64());
            timelines.push((task["workspace"].as_str().unwrap().to_owned(), items));
        }
        timelines.sort_by(|a, b| a.0.cmp(&b.0));
        timelines
    }

    /// Kills the process.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// A free port below the range from which the system assigns ports, so no other program gets it by chance.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder)
}
