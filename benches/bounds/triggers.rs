//! The cost of the triggers for a writer of events: the same inserts with the triggers and without them, in turns.

use std::path::Path;
use std::time::Instant;

use requery::protocol::EventId;
use requery::server::change_log::fold;
use requery::server::database::Database;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tempfile::TempDir;

use crate::machine::is_quick;
use crate::rows::{self, BATCH};
use crate::server::runtime;
use crate::table::{Limit, Row};

const ROUNDS: usize = 9;
/// The rounds of a quick run.
const QUICK_ROUNDS: usize = 3;
/// A round consists of short turns with and without the triggers, so that other load on the machine affects both alike.
const TURNS: usize = 15;
const SINGLE: usize = 500;
const BATCHES: usize = 20;
/// The number of tasks that receive events: many agents write at the same time.
const TASKS: usize = 20;

pub fn measure() -> Vec<Row> {
    runtime().block_on(async {
        let folder = TempDir::new().unwrap();
        let (path, bare) = (folder.path().join("with.db"), folder.path().join("without.db"));
        let database = Database::open(path.clone().into()).await.unwrap();
        let with = Writer::new(&path).await;
        let without = Writer::new(&bare).await;
        without.drop_triggers();

        let mut single = Figures::default();
        let mut batched = Figures::default();
        let rounds = if is_quick() { QUICK_ROUNDS } else { ROUNDS };
        for round in 0..=rounds {
            let (mut one_by_one, mut by_the_hundred) = (Seconds::default(), Seconds::default());
            take_turns(&mut one_by_one, [&with, &without], Writer::insert_single);
            one_by_one.fold = fold(&database).await;
            take_turns(&mut by_the_hundred, [&with, &without], Writer::insert_batches);
            by_the_hundred.fold = fold(&database).await;
            // The first round warms up the caches.
            if round > 0 {
                single.note(&one_by_one, TURNS * SINGLE);
                batched.note(&by_the_hundred, TURNS * BATCHES * BATCH);
            }
        }
        database.close("measured").await;
        let mut rows = single.rows("one event a transaction");
        rows.extend(batched.rows("events by the hundred"));
        rows
    })
}

/// The writer with the triggers and the one without them take turns, and turns to be first: the second one finds warmer
/// caches and a busier disk.
fn take_turns(seconds: &mut Seconds, [with, without]: [&Writer; 2], insert: fn(&Writer) -> f64) {
    for turn in 0..TURNS {
        for triggers in [turn % 2 == 0, turn % 2 == 1] {
            seconds.add(triggers, insert(if triggers { with } else { without }));
        }
    }
}

/// The seconds that it takes to fold the change log into the figures.
async fn fold(database: &Database) -> f64 {
    let began = Instant::now();
    fold::fold_all(database).await.unwrap();
    began.elapsed().as_secs_f64()
}

/// A program that writes events into the file, on one thread. Not the connection of the server: that has a thread of
/// its own, and each statement is a message to it and an answer, which take longer than the insert.
struct Writer {
    db: Connection,
    tasks: Vec<String>,
}

impl Writer {
    async fn new(path: &Path) -> Self {
        let db = rows::connect(path).await;
        requery_migrations::migrate(&db).await.unwrap();
        let tasks = rows::tasks(&db, TASKS).await;
        db.close().await.unwrap();
        let db = Connection::open(path).unwrap();
        db.pragma_update(None, "synchronous", "normal").unwrap();
        Self { db, tasks }
    }

    fn drop_triggers(&self) {
        let mut named =
            self.db.prepare("select name from sqlite_master where type = 'trigger' and tbl_name = 'events'").unwrap();
        let names: Vec<String> = named.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for name in names {
            self.db.execute_batch(&format!("drop trigger {name}")).unwrap();
        }
    }

    /// Inserts single events, each in its own transaction. Returns the seconds.
    fn insert_single(&self) -> f64 {
        let began = Instant::now();
        for task in self.tasks.iter().cycle().take(SINGLE) {
            let write = self.begin();
            insert(&write, task);
            write.commit().unwrap();
        }
        began.elapsed().as_secs_f64()
    }

    /// Inserts batches, each in one transaction. Returns the seconds.
    fn insert_batches(&self) -> f64 {
        let began = Instant::now();
        for _ in 0..BATCHES {
            let write = self.begin();
            for task in self.tasks.iter().cycle().take(BATCH) {
                insert(&write, task);
            }
            write.commit().unwrap();
        }
        began.elapsed().as_secs_f64()
    }

    fn begin(&self) -> Transaction<'_> {
        Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate).unwrap()
    }
}

/// Inserts a tool call with a text of usual size, by a statement that is prepared once.
fn insert(write: &Transaction<'_>, task_id: &str) {
    const INSERT: &str =
        "insert into events (id, task_id, kind, family, state, title, body, metadata, created_at, updated_at)
        values (?1, ?2, 'tool', 'terminal', 'ok', 'cargo test --workspace', ?3, ?4, ?5, ?5)";
    let now = chrono::Utc::now().timestamp_millis();
    let body = "test result: ok. 212 passed; 0 failed; 0 ignored\n".repeat(5);
    let values = params![EventId::new_at(now).to_string(), task_id, body, r#"{"exit_code":0,"duration_ms":8123}"#, now];
    write.prepare_cached(INSERT).unwrap().execute(values).unwrap();
}

/// The seconds of one round, for one way of writing.
#[derive(Default)]
struct Seconds {
    with: f64,
    without: f64,
    fold: f64,
}

impl Seconds {
    fn add(&mut self, triggers: bool, seconds: f64) {
        *(if triggers { &mut self.with } else { &mut self.without }) += seconds;
    }
}

/// The rates of all rounds in events per second, for one way of writing.
#[derive(Default)]
struct Figures {
    with: Vec<f64>,
    without: Vec<f64>,
    all_in: Vec<f64>,
}

impl Figures {
    fn note(&mut self, seconds: &Seconds, events: usize) {
        let events = events as f64;
        self.with.push(events / seconds.with);
        self.without.push(events / seconds.without);
        self.all_in.push(events / (seconds.with + seconds.fold));
    }

    fn rows(&self, kind: &str) -> Vec<Row> {
        let ratio = |some: &[f64]| some.iter().zip(&self.without).map(|(with, without)| with / without).collect();
        let thousands = |some: &[f64]| some.iter().map(|rate| rate / 1e3).collect();
        vec![
            Row::new(format!("{kind}, rate with the triggers to without"), ratio(&self.with), "", Limit::AtLeast(0.75)),
            Row::new(format!("{kind}, the same and the figures folded"), ratio(&self.all_in), "", Limit::Open),
            Row::new(format!("{kind}, with the triggers"), thousands(&self.with), "k/s", Limit::Open),
        ]
    }
}
