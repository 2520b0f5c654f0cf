//! The bounds of servers on Postgres, each beside its baseline in the same run where it has one.
//!
//! The cluster is a private one with the default settings, so each commit waits for the disk. Postgres, the servers and
//! the load share all cores. The group needs the programs of Postgres 15 or later and is skipped without them.

use std::path::Path;
use std::time::Duration;

use requery::protocol::Cursor;
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Connection, Row as _};
use tempfile::TempDir;

use crate::machine;
use crate::server::Outside;
use crate::table::Row;

mod programs;

mod cluster;
use cluster::{Cluster, Db};

pub mod faults;

pub mod inserts;

pub mod ladder;

pub mod latency;

mod proxy;

pub mod replicas;

mod screen;

pub mod sheet;

/// The body of an event of usual size.
const BODY: &str = "test result: ok. 212 passed; 0 failed; 0 ignored\n\
    test result: ok. 212 passed; 0 failed; 0 ignored\n\
    test result: ok. 212 passed; 0 failed; 0 ignored\n\
    test result: ok. 212 passed; 0 failed; 0 ignored\n\
    test result: ok. 212 passed; 0 failed; 0 ignored\n";
/// Inserts a tool call `$2` on the task `$1`.
const INSERT: &str = "insert into requery.events (task_id, kind, family, state, title, body, metadata)
    values ($1, 'tool', 'terminal', 'ok', 'cargo test --workspace', $2, '{\"exit_code\":0,\"duration_ms\":8123}')";
/// The processor time that is left of a pause when all backlog is worked off, as a share of the pause.
const REST: f64 = 0.1;
/// The pause in which that is measured.
const REST_PAUSE: Duration = Duration::from_millis(400);
/// How often the pause is repeated at most.
const REST_PAUSES: usize = 75;

/// Runs a benchmark on a cluster of its own. Without Postgres there is nothing to measure.
fn on_cluster(measure: impl FnOnce(Cluster) -> Vec<Row>) -> Vec<Row> {
    match Cluster::start() {
        Some(cluster) => measure(cluster),
        None => {
            eprintln!("skipped: the programs of Postgres 15 or later are not installed");
            Vec::new()
        }
    }
}

/// A server as a process of its own, which other agents of this machine do not reach. A drop kills it.
struct Replica {
    server: Outside,
    _spool: TempDir,
}

impl Replica {
    fn start(url: &str) -> Self {
        let spool = TempDir::new().unwrap();
        let options = ["--session-files", "off", "--max-streams", "16000", "--spool", spool.path().to_str().unwrap()];
        Self { server: Outside::start(Path::new(url), &options), _spool: spool }
    }
}

/// Inserts tasks. Returns their ids.
async fn tasks(db: &Db, count: usize) -> Vec<String> {
    let sql = "insert into requery.tasks (title, project)
        select 'Port the settings page to the new form components', 'acme-web' from generate_series(1, $1) returning id";
    let rows = sqlx::query(sql).bind(count as i64).fetch_all(&mut db.connect().await).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Commits one event. Returns the number of its transaction, and the times just before the commit and just after its
/// answer.
async fn commit_event(connection: &mut PgConnection, task: &str) -> Result<Written, sqlx::Error> {
    let mut write = connection.begin().await?;
    sqlx::query(INSERT).bind(task).bind(BODY).execute(&mut *write).await?;
    let row = sqlx::query("select pg_current_xact_id()::text").fetch_one(&mut *write).await?;
    let transaction = row.get::<String, _>(0).parse().unwrap();
    let sent = machine::now();
    write.commit().await?;
    Ok(Written { transaction, sent, done: machine::now() })
}

/// A committed event.
#[derive(Clone, Copy)]
struct Written {
    transaction: u64,
    sent: u64,
    done: u64,
}

/// Waits until Postgres and the servers have worked off what a load left: the figures, the search, the vacuum.
fn rest(cluster: &Cluster, replicas: &[&Replica]) {
    let spent = || {
        let of_servers = replicas.iter().map(|replica| machine::processor_time(replica.server.process()));
        cluster.processor_time() + of_servers.sum::<f64>()
    };
    for _ in 0..REST_PAUSES {
        let before = spent();
        std::thread::sleep(REST_PAUSE);
        if spent() - before <= REST * REST_PAUSE.as_secs_f64() {
            return;
        }
    }
    eprintln!("the servers still work after {:?}", REST_PAUSE * REST_PAUSES as u32);
}

/// Whether the changes of a transaction are in a cursor.
fn contains(cursor: &Cursor, transaction: u64) -> bool {
    transaction < cursor.snapshot().xmax() && !cursor.snapshot().xip().contains(&transaction)
}
