//! The program as a process of its own, for faults that meet a whole process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::Value;

use crate::app::PATIENCE;

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
        let log = beside.join("server.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_requery"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--database-url"]).arg(database);
        command.arg("--spool").arg(beside.join("spool")).env("NO_COLOR", "1");
        command.stdout(Stdio::piped()).stderr(File::options().create(true).append(true).open(&log).unwrap());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap_or_default().parse();
        let address = address.unwrap_or_else(|_| panic!("no address: {line} {}", fs::read_to_string(&log).unwrap()));
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { address, child, log, client }
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
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
