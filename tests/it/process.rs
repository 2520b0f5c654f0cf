//! The program as a process of its own, for faults that meet a whole process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

use crate::app::{PATIENCE, Ws};

/// `requery serve` as a process. A drop kills it.
pub struct ServerProcess {
    pub address: SocketAddr,
    child: Child,
    log: PathBuf,
    client: reqwest::Client,
}

impl ServerProcess {
    /// Serves `database`. The log goes into the folder `beside`, and `change` can set up the command.
    pub fn start(database: &Path, beside: &Path, change: impl FnOnce(&mut Command)) -> Self {
        Self::try_start(database, beside, change).unwrap_or_else(|log| panic!("no server: {log}"))
    }

    /// The same. Fails with the log if the server ends before it is ready.
    pub fn try_start(database: &Path, beside: &Path, change: impl FnOnce(&mut Command)) -> Result<Self, String> {
        let log = beside.join("server.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--database-url"]).arg(database);
        command.arg("--spool").arg(beside.join("spool")).env("NO_COLOR", "1");
        command.stdout(Stdio::piped()).stderr(File::options().create(true).append(true).open(&log).unwrap());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(address) = line.trim().rsplit('/').next().unwrap_or_default().parse() else {
            child.wait().unwrap();
            return Err(fs::read_to_string(&log).unwrap());
        };
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Ok(Self { address, child, log, client })
    }

    /// Ends the process as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the process as Ctrl-C does.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The log until now.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Sends a request with a JSON body, if it has one.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Response> {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()).send().await,
            None => request.send().await,
        }
    }

    /// The status of a GET.
    pub async fn status(&self, path: &str) -> u16 {
        self.send(Method::GET, path, None).await.unwrap().status().as_u16()
    }

    /// Waits until `/readyz` has this status.
    pub async fn until_ready_is(&self, status: u16) {
        let until = Instant::now() + PATIENCE;
        while self.status("/readyz").await != status {
            assert!(Instant::now() < until, "/readyz is not {status} in time: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the log contains the text.
    pub async fn until_log_contains(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < until, "no {text:?} in time: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The body of a GET.
    pub async fn body(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, None).await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    /// Starts a task. Returns the status and the cursor.
    pub async fn add(&self, title: &str) -> (u16, String) {
        let answer = self.send(Method::POST, "/api/v1/tasks", Some(&json!({ "title": title }))).await.unwrap();
        let cursor = answer.headers().get("requery-cursor").map(|it| it.to_str().unwrap().to_owned());
        (answer.status().as_u16(), cursor.unwrap_or_default())
    }

    /// The titles of all tasks, in the order of the alphabet.
    pub async fn titles(&self) -> String {
        let body = self.body("/api/v1/tasks?limit=200").await;
        let items = body["items"].as_array().unwrap_or_else(|| panic!("no tasks: {body}"));
        let mut titles: Vec<_> = items.iter().map(|it| it["title"].as_str().unwrap().to_owned()).collect();
        titles.sort();
        titles.join(" ")
    }

    pub async fn ws(&self, query: &str) -> Ws {
        let (socket, _) = connect_async(format!("ws://{}/ws{query}", self.address)).await.unwrap();
        Ws(socket)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
