//! The server as a process of its own, at an address that it keeps after a restart.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::clock::ClockStep;
use crate::app::PATIENCE;
use crate::home::{Home, free_port};
use crate::io_faults::IoFaults;

/// The program, its files and the libraries that disturb it. The process itself comes and goes.
pub struct Server {
    pub address: SocketAddr,
    pub database: PathBuf,
    pub io_faults: Option<IoFaults>,
    pub clock: Option<ClockStep>,
    home: Home,
    child: Option<Child>,
    http: reqwest::Client,
}

impl Server {
    /// The files of a server that does not run yet.
    pub fn new(database: PathBuf) -> Self {
        let home = Home::new();
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], free_port())),
            database,
            io_faults: IoFaults::build(&home.path("")),
            clock: ClockStep::build(&home.path("")),
            home,
            child: None,
            http: reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap(),
        }
    }

    /// Another build can be tested: `REQUERY_FAULTS_PROGRAM` has its path.
    fn requery(&self) -> std::process::Command {
        let program = std::env::var_os("REQUERY_FAULTS_PROGRAM");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_requery").into());
        self.home.at_home(std::process::Command::new(program))
    }

    /// Starts a server on `database`. The error is the text with which the program ended.
    async fn spawn(&self, listen: &str, database: &Path) -> Result<Child, String> {
        let mut command = self.requery();
        command.args(["serve", "--listen", listen, "--database-url"]).arg(database).env("NO_COLOR", "1");
        command.stdout(Stdio::piped());
        command.stderr(File::options().create(true).append(true).open(self.log_path()).unwrap());
        let mut libraries = Vec::new();
        if let Some(faults) = &self.io_faults {
            faults.load_into(&mut command);
            libraries
                .extend(command.get_envs().filter(|(name, _)| *name == "LD_PRELOAD").filter_map(|(_, value)| value));
        }
        let mut libraries = libraries.join(std::ffi::OsStr::new(":"));
        if let Some(clock) = &self.clock {
            libraries.push(":");
            libraries.push(&clock.library);
            command.env("REQUERY_CLOCK_STEP", &clock.control);
        }
        command.env("LD_PRELOAD", libraries);
        let before = self.log().len();
        let mut child = Command::from(command).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("the server begins or ends in time").unwrap();
        if line.is_none() {
            timeout(PATIENCE, child.wait()).await.expect("the program ends in time").unwrap();
            // As immutable: an ordinary open would bring the changes of a foreign `-wal` file into the database.
            let uri = format!("file:{}?immutable=1", database.display());
            let checked = std::process::Command::new("sqlite3").arg(uri).arg("pragma integrity_check").output();
            let checked = String::from_utf8(checked.unwrap().stdout).unwrap();
            return Err(format!("{}sqlite3 finds: {checked}", &self.log()[before..]));
        }
        // A full pipe would block the server, so its further output is read and dropped.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(child)
    }

    /// Starts the server at its address. The error is the text with which the program ended.
    pub async fn start(&mut self) -> Result<(), String> {
        assert!(self.child.is_none());
        self.child = Some(self.spawn(&self.address.to_string(), &self.database).await?);
        Ok(())
    }

    /// Starts a second server on the same database under another name. The error is its last word.
    pub async fn start_second(&self, database: &Path) -> Result<(), String> {
        let mut child = self.spawn("127.0.0.1:0", database).await?;
        child.kill().await.unwrap();
        Ok(())
    }

    pub async fn kill(&mut self) {
        self.check_running();
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Ends the server as Ctrl-C does.
    pub async fn stop(&mut self) {
        self.check_running();
        let mut child = self.child.take().unwrap();
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.unwrap(), rustix::process::Signal::INT).unwrap();
        let ended = timeout(PATIENCE, child.wait()).await.expect("the server ends in time").unwrap();
        assert!(ended.success(), "the server was stopped and ended with {ended}\n{}", self.log_tail());
    }

    /// The server must not have ended by itself.
    pub fn check_running(&mut self) {
        let ended: Option<ExitStatus> = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
        assert!(ended.is_none(), "the server ended by itself with {}\n{}", ended.unwrap(), self.log_tail());
    }

    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Runs another command of the program, which must succeed.
    pub async fn run(&self, args: &[&str]) {
        let mut command = self.requery();
        command.args(args).arg("--database-url").arg(&self.database);
        let output = timeout(PATIENCE, Command::from(command).kill_on_drop(true).output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A command that forwards one hook to the server.
    pub fn hook(&self) -> Command {
        let mut command = self.requery();
        command.args(["hook", "claude-code", "--server", &self.url()]);
        Command::from(command)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn spooled(&self) -> usize {
        self.home.spooled(self.address.port())
    }

    /// A place on another disk than the database.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    fn log_path(&self) -> PathBuf {
        self.home.path("server.log")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// The status of `/readyz`, or `None` without an answer.
    pub async fn readiness(&self) -> Option<u16> {
        let answer = self.http.get(format!("{}/readyz", self.url())).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    pub async fn is_ready_within(&self, status: u16, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while self.readiness().await != Some(status) {
            if Instant::now() > until {
                return false;
            }
            sleep(Duration::from_millis(20)).await;
        }
        true
    }
}
