//! The processor time of Postgres for each server that follows the log.
//!
//! A tail is the reader of the log of one server, with a connection of its own and without streams. One writer inserts
//! events in batches. The time of the same writer without tails is taken off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use requery::server::access::scope::Scope;
use requery::server::change_log::{Outlet, tail};
use requery::server::database::Database;
use requery::server::hub::HubInput;
use sea_orm::sqlx;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::machine::{is_quick, now, rounds};
use crate::performance::paced;
use crate::server::runtime;
use crate::swarm::wait_until;
use crate::table::{Limit, Row};

use super::{Cluster, Db};

const STEPS: [usize; 4] = [1, 10, 20, 40];
const ROWS_A_SECOND: usize = 10_000;
/// The rows of one transaction.
const BATCH: usize = 500;
/// The time of one step in a full run and in a quick one.
const SECONDS: [usize; 2] = [8, 4];
const TASKS: usize = 100;
/// How many batches of the log may wait for their reader, as in a server.
const INPUTS: usize = 16;
const TIMEOUT: Duration = Duration::from_secs(60);

/// The vacuum would cost as much as many tails, in some steps and not in others.
const NO_VACUUM: &str = "alter table requery.events set (autovacuum_enabled = off);
    alter table requery.changes set (autovacuum_enabled = off)";
/// The statistics that the vacuum would have made.
const ANALYZE: &str = "analyze requery.events; analyze requery.changes";

/// Inserts one batch for the tasks `$1`.
const INSERT: &str = "insert into requery.events (task_id, kind, family, state, title)
    select ($1::text[])[1 + i % array_length($1::text[], 1)], 'tool', 'terminal', 'ok', 'cargo test --workspace'
    from generate_series(1, $2::bigint) i";

pub fn measure() -> Vec<Row> {
    super::on_cluster(|cluster| {
        let (writing, reading) = (runtime(), runtime());
        let db = writing.block_on(cluster.create("ladder"));
        let tasks = writing.block_on(super::tasks(&db, TASKS));
        writing.block_on(db.run(NO_VACUUM));
        let mut alone = Vec::new();
        let mut steps = STEPS.map(|count| (count, Vec::new(), Vec::new()));
        for _ in 0..rounds() {
            writing.block_on(db.run(ANALYZE));
            super::rest(&cluster, &[]);
            let writer = spent(&cluster, || write(&writing, &db, &tasks)).per_row();
            alone.push(writer * 1e6);
            for (count, costs, rates) in &mut steps {
                let tails = Tails::start(&reading, &db, *count);
                super::rest(&cluster, &[]);
                let step = spent(&cluster, || {
                    let rows = write(&writing, &db, &tasks);
                    let due = (rows * *count) as u64;
                    wait_until("each tail has each row", TIMEOUT, || tails.rows.load(Ordering::Relaxed) >= due);
                    rows
                });
                tails.stop(&reading);
                costs.push((step.per_row() - writer) * 1e6 / *count as f64);
                rates.push(step.rows as f64 / step.seconds / 1e3);
            }
        }
        let mut rows =
            vec![Row::new("processor time of Postgres for a row of the log, no tail", alone, " µs", Limit::Open)];
        for (count, costs, rates) in steps {
            let tails = if count == 1 { "1 tail".to_owned() } else { format!("{count} tails") };
            let name = format!("processor time of Postgres for a row and a tail, {tails}");
            // One tail costs less than the writer differs from one step to the next.
            let limit = if count == 1 { Limit::Open } else { Limit::AtMost(2.5) };
            rows.push(Row::new(name, costs, " µs", limit));
            rows.push(Row::new(format!("  rows that each of {tails} read"), rates, "k/s", Limit::Open));
        }
        rows
    })
}

/// What a step cost.
struct Step {
    rows: usize,
    /// The time until the last tail had the last row.
    seconds: f64,
    processor: f64,
}

impl Step {
    fn per_row(&self) -> f64 {
        self.processor / self.rows as f64
    }
}

fn spent(cluster: &Cluster, work: impl FnOnce() -> usize) -> Step {
    let (began, before) = (now(), cluster.processor_time());
    let rows = work();
    let seconds = (now() - began) as f64 / 1e9;
    Step { rows, seconds, processor: cluster.processor_time() - before }
}

/// Inserts batches at their due times. Returns the number of rows.
fn write(runtime: &Runtime, db: &Db, tasks: &[String]) -> usize {
    let batches = SECONDS[usize::from(is_quick())] * ROWS_A_SECOND / BATCH;
    let mut connection = runtime.block_on(db.connect());
    for _ in paced(batches, Duration::from_secs(1) * BATCH as u32 / ROWS_A_SECOND as u32) {
        let insert = sqlx::query(INSERT).bind(tasks).bind(BATCH as i64);
        runtime.block_on(insert.execute(&mut connection)).unwrap();
    }
    batches * BATCH
}

/// Tails of several servers. The rows that they read go nowhere.
struct Tails {
    rows: Arc<AtomicU64>,
    stop: CancellationToken,
    tails: Vec<(Database, JoinHandle<()>)>,
}

impl Tails {
    fn start(runtime: &Runtime, db: &Db, count: usize) -> Self {
        let (rows, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let mut tails = Vec::new();
        runtime.block_on(async {
            for _ in 0..count {
                let database = Database::open(db.location()).await.unwrap();
                let cursor = database.snapshot(Scope::All).await.unwrap().cursor().clone();
                let (to_hub, mut inputs) = mpsc::channel(INPUTS);
                let outlet = Outlet::new(database.clone(), to_hub, &cursor);
                let log_grew = Arc::new(Notify::new());
                let following = tokio::spawn(tail(database.clone(), cursor, outlet, log_grew, stop.clone()));
                let rows = rows.clone();
                tokio::spawn(async move {
                    while let Some(input) = inputs.recv().await {
                        match input {
                            HubInput::Notices { notices, .. } => {
                                rows.fetch_add(notices.len() as u64, Ordering::Relaxed);
                            }
                            HubInput::Complete(_) => {}
                            other => panic!("a tail lost its place: {other:?}"),
                        }
                    }
                });
                tails.push((database, following));
            }
        });
        Self { rows, stop, tails }
    }

    fn stop(self, runtime: &Runtime) {
        self.stop.cancel();
        runtime.block_on(async {
            for (database, following) in self.tails {
                following.await.unwrap();
                database.close("measured").await;
            }
        });
    }
}
