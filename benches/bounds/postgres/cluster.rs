//! A private cluster of Postgres with its default settings: each commit waits for the disk.
//!
//! A shell keeps the cluster and reads from a pipe. However the benchmark ends, the pipe is closed then, and the shell
//! stops the cluster and deletes its folder. The shell and Postgres run as `nobody` for root, because Postgres refuses
//! to run as root.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use requery::server::database::{Database, Location};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

use super::programs::{as_server_user, give_away, program};

/// The settings that are not the default. The group has more connections than the default allows.
const SETTINGS: &str = "max_connections = 400\nlisten_addresses = '127.0.0.1'\n";
const READY: &str = "database system is ready to accept";
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the server, waits for an order, and sends it as a signal. Without an order the benchmark has ended.
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

/// A cluster. A drop stops it and deletes its folder.
pub struct Cluster {
    folder: TempDir,
    port: u16,
    starts: u32,
    keeper: Option<Child>,
}

/// A database of a cluster, with a schema of requery.
#[derive(Clone)]
pub struct Db {
    name: String,
    url: String,
}

impl Cluster {
    /// `None` if Postgres is not installed.
    pub fn start() -> Option<Self> {
        let initdb = program("initdb")?;
        let folder = TempDir::with_prefix("requery-bench-pg-").unwrap();
        give_away(folder.path());
        let data = folder.path().join("data");
        let mut command = as_server_user(&initdb, folder.path());
        command.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]).arg(&data);
        let made = command.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut file = std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        writeln!(file, "{SETTINGS}unix_socket_directories = '{}'", folder.path().display()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut cluster = Self { folder, port, starts: 0, keeper: None };
        cluster.run();
        Some(cluster)
    }

    /// Starts Postgres again after [`Self::end`], and waits until it takes connections.
    pub fn run(&mut self) {
        assert!(self.keeper.is_none(), "the cluster runs");
        let until = Instant::now() + START_TIMEOUT;
        // The processes of a killed cluster hold its memory for a moment, and a start fails until they are gone.
        while !self.try_run() {
            assert!(Instant::now() < until, "the cluster does not start: {}", self.log());
        }
    }

    /// Ends the first process by a signal: `INT` is an orderly end, `KILL` a crash.
    pub fn end(&mut self, signal: &str) {
        let mut keeper = self.keeper.take().expect("the cluster runs");
        writeln!(keeper.stdin.take().unwrap(), "{signal}").unwrap();
        keeper.wait().unwrap();
    }

    /// A new database with the schema of requery.
    pub async fn create(&self, name: &str) -> Db {
        let admin = self.db("postgres");
        let create = format!("create database {name} template template0");
        admin.run(&create).await;
        let db = self.db(name);
        let database = Database::open(db.location()).await.unwrap();
        database.close("the schema is made").await;
        db
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The processor time of all processes of the cluster in seconds, with the ones that have ended.
    pub fn processor_time(&self) -> f64 {
        const TICKS: f64 = 100.0;
        let first = self.process();
        let ticks = |stat: &str, fields: std::ops::Range<usize>| {
            let all: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            all[fields].iter().map(|field| field.parse::<f64>().unwrap()).sum::<f64>()
        };
        let stats = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let name = entry.ok()?.file_name().to_str()?.parse::<u32>().ok()?;
            Some((name, std::fs::read_to_string(format!("/proc/{name}/stat")).ok()?))
        });
        let spent = stats.map(|(process, stat)| {
            let parent = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse::<u32>();
            match (process == first, parent == Ok(first)) {
                // The first process has the time of the ones that have ended in two further fields.
                (true, _) => ticks(&stat, 11..15),
                (false, true) => ticks(&stat, 11..13),
                (false, false) => 0.0,
            }
        });
        spent.sum::<f64>() / TICKS
    }

    /// The id of the first process.
    fn process(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    fn db(&self, name: &str) -> Db {
        let socket = self.folder.path().display();
        let url = format!("postgres:///{name}?host={socket}&port={}&user=postgres", self.port);
        Db { name: name.to_owned(), url }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The log of the newest start.
    fn log_path(&self) -> PathBuf {
        self.folder.path().join(format!("log.{}", self.starts))
    }

    fn try_run(&mut self) -> bool {
        self.starts += 1;
        let folder = self.folder.path();
        let mut keeper = as_server_user(Path::new("sh"), folder);
        keeper.args(["-c", KEEPER, "keeper"]).arg(folder).arg(self.log_path());
        keeper.arg(program("postgres").unwrap()).arg("-D").arg(folder.join("data"));
        keeper.args(["-p", &self.port.to_string()]);
        self.keeper = Some(keeper.stdin(Stdio::piped()).spawn().unwrap());
        let until = Instant::now() + START_TIMEOUT;
        loop {
            let log = self.log();
            if log.contains(READY) {
                return true;
            }
            if ["could not create", "pre-existing", "lock file"]
                .iter()
                .any(|why| log.contains(&format!("FATAL:  {why}")))
            {
                self.end("QUIT");
                return false;
            }
            assert!(Instant::now() < until, "the cluster is not ready in time: {log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.end("QUIT");
        }
    }
}

impl Db {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL with the private socket of the cluster.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn location(&self) -> Location {
        self.url.parse().unwrap()
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connect().await).await.unwrap();
    }

    /// The text of the first column of the first row. `None`: there is no row, or no text.
    pub async fn text(&self, sql: &str) -> Option<String> {
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_optional(&mut self.connect().await).await.unwrap();
        row.and_then(|row| row.get(0))
    }
}
