//! Starts the servers that are measured: one inside this process with access to its database handle, and the release
//! binary as a separate process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use requery::protocol::Cursor;
use requery::server::access::scope::Scope;
use requery::server::config::ServerConfig;
use requery::server::database::{Database, DatabaseError, WriteTransaction};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A server with an empty database on its own threads inside this process. A drop ends the server.
pub struct Inside {
    pub address: SocketAddr,
    pub database: Database,
    _folder: TempDir,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Inside {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts a server after `change` has adjusted its configuration.
    pub fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = ServerConfig::new(folder.path().join("requery.db").into());
        change(&mut config);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (opened, is_open) = std::sync::mpsc::channel();
        let ending = shutdown.clone();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let database = Database::open(config.database.clone()).await.unwrap();
                let (handle, listener) = (database.clone(), TcpListener::from_std(listener).unwrap());
                let ready = || opened.send(handle).unwrap();
                requery::server::run_on(database, listener, config, ending, ready).await.unwrap();
            });
        });
        let database = is_open.recv().unwrap();
        Self { address, database, _folder: folder, shutdown, thread: Some(thread) }
    }

    /// Writes in one transaction of the server. Returns the result and the cursor of the commit.
    pub async fn write<T>(&self, rows: impl AsyncFnOnce(&WriteTransaction) -> T + Clone) -> (T, Cursor) {
        let write = async |tx: &WriteTransaction| Ok::<_, DatabaseError>(rows(tx).await);
        self.database.write(Scope::All, write).await.unwrap().into_parts()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.shutdown.cancel();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The release binary as a separate process. A drop kills the process.
pub struct Outside {
    pub address: SocketAddr,
    child: Child,
    /// Kept open, since the server writes further lines to its output.
    _said: BufReader<ChildStdout>,
}

impl Outside {
    pub fn start(database: &Path, options: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", database, options)
    }

    /// Starts a server that listens on this address.
    pub fn start_at(address: &str, database: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(["serve", "--listen", address, "--database-url"])
            .arg(database)
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let address =
            line.trim().rsplit('/').next().unwrap().parse().expect("the first line of the server contains its address");
        Self { address, child, _said: said }
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server with SIGTERM, and waits for its orderly end.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test. `REQUERY_BENCH_SERVER` names the program of another version, to compare two versions.
pub fn program() -> PathBuf {
    std::env::var_os("REQUERY_BENCH_SERVER").map_or(env!("CARGO_BIN_EXE_requery").into(), PathBuf::from)
}

/// A runtime with two threads: the bounds are meant for machines with two cores.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
