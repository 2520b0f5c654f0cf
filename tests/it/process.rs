//! The program as a process of its own: it can be killed, and its locks end with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;

use crate::app::{PATIENCE, Ws};

/// A running server.
pub struct ServerProcess {
    child: Child,
    pub url: String,
    log: PathBuf,
}

impl ServerProcess {
    /// Serves the database at `path`. Fails with the log if the server ends before it is ready.
    pub fn start(path: &Path) -> Result<Self, String> {
        let folder = path.parent().unwrap();
        let log = folder.join("server.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--database-url"]).arg(path);
        command.arg("--spool").arg(folder.join("spool"));
        let output = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let begin = output.metadata().unwrap().len();
        let child = command.stdout(output.try_clone().unwrap()).stderr(output).stdin(Stdio::null()).spawn().unwrap();
        let mut server = Self { child, url: String::new(), log };
        let since = Instant::now();
        loop {
            let text = server.log().split_off(usize::try_from(begin).unwrap());
            if let Some((_, rest)) = text.split_once("requery serves http://")
                && let Some((address, _)) = rest.split_once('\n')
            {
                server.url = format!("http://{}", address.trim());
                return Ok(server);
            }
            if server.child.try_wait().unwrap().is_some() {
                return Err(server.log().split_off(usize::try_from(begin).unwrap()));
            }
            assert!(since.elapsed() < PATIENCE, "no server in time: {text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
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

    /// Waits until the log contains the text.
    pub async fn until_log_contains(&self, text: &str) {
        let contains = async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, contains).await.unwrap_or_else(|_| panic!("no {text:?}: {}", self.log()));
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    pub async fn ready(&self) -> u16 {
        self.get("/readyz").await.0
    }

    /// Waits until `/readyz` gives this status.
    pub async fn until_ready_is(&self, status: u16) {
        let is = async {
            while self.ready().await != status {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, is).await.unwrap_or_else(|_| panic!("never {status}: {}", self.log()));
    }

    /// Starts a task over REST. Returns the status and the cursor.
    pub async fn add(&self, title: &str) -> (u16, String) {
        let body = serde_json::json!({ "title": title }).to_string();
        let request = reqwest::Client::new().post(format!("{}/api/v1/tasks", self.url));
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let cursor = answer.headers().get("requery-cursor").map(|it| it.to_str().unwrap().to_owned());
        (answer.status().as_u16(), cursor.unwrap_or_default())
    }

    /// The titles of all tasks, in the order of the alphabet.
    pub async fn titles(&self) -> String {
        let (_, body) = self.get("/api/v1/tasks?limit=200").await;
        let items = body["items"].as_array().unwrap_or_else(|| panic!("no tasks: {body}"));
        let mut titles: Vec<_> = items.iter().map(|it| it["title"].as_str().unwrap().to_owned()).collect();
        titles.sort();
        titles.join(" ")
    }

    pub async fn ws(&self, query: &str) -> Ws {
        let (socket, _) = connect_async(format!("{}/ws{query}", self.url.replace("http", "ws"))).await.unwrap();
        Ws(socket)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
