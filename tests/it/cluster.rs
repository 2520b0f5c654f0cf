//! A private Postgres cluster for the tests of one process.
//!
//! A shell keeps the cluster and reads from a pipe. However the process of the test ends, the pipe is closed then, and
//! the shell stops the cluster and deletes its folder. The shell and Postgres run as `nobody` where the tests run as
//! root, because Postgres refuses to run as root.

mod database;
pub mod programs;

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use database::{SCHEMA, TestDatabase};

use crate::app::BACKGROUND_PATIENCE;

/// The settings of each cluster. A test server has tens of connections, and many tests run at the same time.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "max_connections=800",
    "max_prepared_transactions=8",
    "listen_addresses=127.0.0.1",
    "autovacuum_naptime=10s",
    "shared_buffers=64MB",
];

/// Starts the server, waits for an order, and sends it as a signal. Without an order the process of the test has ended.
const KEEPER: &str = r#"
    trap '' HUP INT TERM
    folder=$1 log=$2
    shift 2
    "$@" >>"$log" 2>&1 &
    if read -r signal; then
        kill -"$signal" $!
        wait $! 2>/dev/null
    else
        kill -QUIT $!
        wait $!
        cd /
        rm -rf "$folder"
    fi
"#;

/// A cluster. The end of the process of the test stops it and deletes its folder.
pub struct Cluster {
    folder: TempDir,
    port: u16,
    runs: u32,
    keeper: Option<Child>,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Cluster {
    /// The cluster that all tests of this process share. The first call starts it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start_own)
    }

    /// A cluster for one test, which may stop it. A drop stops it.
    pub fn start_own() -> Self {
        Self::start_with(&[])
    }

    /// The same with further settings, such as `wal_level=logical`.
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_in(settings, |_| Vec::new())
    }

    /// The same with variables of the environment of Postgres, which can name files in the folder of the cluster.
    pub fn start_in(settings: &[&str], environment: impl FnOnce(&Path) -> Vec<(&'static str, PathBuf)>) -> Self {
        let folder = TempDir::with_prefix("requery-pg-").unwrap();
        programs::give_away(folder.path());
        let environment = environment(folder.path());
        let data = folder.path().join("data");
        let mut initdb = programs::as_server_user(&programs::server_program("initdb"), folder.path());
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]);
        let made = initdb.arg(&data).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut text = format!("unix_socket_directories = '{}'\n", folder.path().display());
        for setting in SETTINGS.iter().chain(settings) {
            let (name, value) = setting.split_once('=').unwrap();
            text.push_str(&format!("{name} = '{value}'\n"));
        }
        let mut file = std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut cluster = Self { folder, port: 0, runs: 0, keeper: None, environment };
        // Another process can take the port before Postgres does.
        let until = Instant::now() + BACKGROUND_PATIENCE;
        while let Err(log) = {
            cluster.port = free_port();
            cluster.try_start()
        } {
            assert!(Instant::now() < until, "the cluster does not start: {log}");
        }
        cluster
    }

    /// Starts a stopped or killed cluster at its port.
    pub fn start(&mut self) {
        let until = Instant::now() + BACKGROUND_PATIENCE;
        // The processes of a killed cluster hold its memory for a moment.
        while let Err(log) = self.try_start() {
            assert!(Instant::now() < until, "the cluster does not start again: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops the cluster in order: each connection is closed, and all data is written.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// Stops the cluster in order and starts it at the same port.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Kills the first process of the cluster as `kill -9` does. The next start recovers the database.
    pub fn kill_primary(&mut self) {
        self.end("KILL");
    }

    /// A new empty database.
    pub fn create_database(&self) -> TestDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.database("postgres").psql(&format!("create database {name} template template0"));
        self.database(&name)
    }

    /// The database with this name.
    pub fn database(&self, name: &str) -> TestDatabase {
        let socket = self.folder.path().display();
        let url = format!("postgres:///{name}?host={socket}&port={}&user=postgres", self.port);
        TestDatabase { url, name: name.to_owned() }
    }

    /// The URL of a database at the TCP port, for tests with a proxy between the server and Postgres.
    pub fn tcp_url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the data, as `-D` takes it.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The process id of the first process.
    pub fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    /// The log of the newest start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_of(self.folder.path(), self.runs)).unwrap_or_default()
    }

    /// Starts Postgres and waits until it takes connections. Fails with the log if it ends before.
    fn try_start(&mut self) -> Result<(), String> {
        assert!(self.keeper.is_none(), "the cluster runs");
        self.runs += 1;
        let folder = self.folder.path();
        let mut keeper = programs::as_server_user(Path::new("sh"), folder);
        keeper.args(["-c", KEEPER, "keeper"]).arg(folder).arg(log_of(folder, self.runs));
        // Only Postgres gets the variables, and neither the shell nor the program that changes the user.
        keeper.arg("env").args(self.environment.iter().map(|(name, value)| format!("{name}={}", value.display())));
        keeper.arg(programs::server_program("postgres")).arg("-D").arg(folder.join("data"));
        keeper.args(["-p", &self.port.to_string()]);
        self.keeper = Some(keeper.stdin(Stdio::piped()).spawn().unwrap());
        let until = Instant::now() + BACKGROUND_PATIENCE;
        loop {
            let log = self.log();
            if log.contains("database system is ready to accept") {
                return Ok(());
            }
            let failed = ["could not create", "pre-existing", "lock file"].map(|text| format!("FATAL:  {text}"));
            if failed.iter().any(|text| log.contains(text)) {
                self.end("QUIT");
                return Err(log);
            }
            assert!(Instant::now() < until, "the cluster is not ready in time: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(&mut self, signal: &str) {
        let mut keeper = self.keeper.take().expect("the cluster runs");
        // The keeper of a cluster that ended by itself still reads its order.
        writeln!(keeper.stdin.take().unwrap(), "{signal}").unwrap();
        keeper.wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.end("QUIT");
        }
    }
}

fn log_of(folder: &Path, run: u32) -> PathBuf {
    folder.join(format!("log.{run}"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
