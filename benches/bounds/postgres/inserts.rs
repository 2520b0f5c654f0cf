//! The cost of requery for programs that insert events with SQL: one event a transaction, by one writer and by many.
//!
//! Three databases take turns: one with a server that listens, one with the same tables and rules without triggers and
//! without a server, and one whose triggers notify the server in each transaction.

use std::time::{Duration, Instant};

use sea_orm::sqlx;
use sea_orm::sqlx::postgres::PgConnection;

use crate::machine::{is_quick, rounds};
use crate::server::runtime;
use crate::table::{Limit, Row};

use super::{BODY, Cluster, Db, INSERT, Replica};

/// The number of writers, each with the bound on the rate with requery to the rate without.
const WRITERS: [(usize, Limit); 3] = [(1, Limit::Open), (8, Limit::Open), (32, Limit::AtLeast(0.8))];
/// A round consists of short turns, so that other work on the machine meets all databases alike.
const TURNS: usize = 3;
/// The time of one turn in a full run and in a quick one.
const TURN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(1)];
/// The number of tasks that receive events: many agents write at the same time.
const TASKS: usize = 100;

/// Disables the triggers of requery, and gives the table the rules that they check as a table without triggers has them: a
/// foreign key and conditions.
const DISABLE: &str = "alter table requery.events
    add foreign key (task_id) references requery.tasks on delete cascade,
    add check (position between 1 and 9007199254740991),
    add check (requery.is_uuid(id)),
    add check (kind ~ '^[a-z0-9._]{1,64}$'),
    add check (family in ('terminal', 'file', 'explore', 'agent', 'mcp', 'todo', 'question')),
    add check (lane in ('user', 'assistant', 'exploration', 'implementation', 'terminal', 'planning', 'questions',
        'todos', 'git', 'background', 'coordination', 'system')),
    add check (state in ('running', 'ok', 'failed', 'denied', 'abandoned')),
    add check (length(title) <= 500),
    add check (octet_length(body) <= 65536),
    add check (requery.is_json_object(metadata)),
    add check (requery.is_time(created_at)),
    add check (requery.is_time(updated_at));
do $$ declare name text; begin
    for name in select tablename from pg_tables where schemaname = 'requery' loop
        execute format('alter table requery.%I disable trigger user', name);
    end loop;
end $$";

/// A database that takes turns with the others.
struct Side {
    db: Db,
    tasks: Vec<String>,
    _replica: Option<Replica>,
}

pub fn measure() -> Vec<Row> {
    super::on_cluster(|cluster| {
        let runtime = runtime();
        let sides = runtime.block_on(async {
            let with = Side::start(&cluster, "served").await;
            let notifying = Side::start(&cluster, "notifying").await;
            notifying.db.run("insert into requery.settings values ('notify', 'on')").await;
            let db = cluster.create("bare").await;
            let tasks = super::tasks(&db, TASKS).await;
            db.run(DISABLE).await;
            [with, Side { db, tasks, _replica: None }, notifying]
        });
        let replicas: Vec<_> = sides.iter().filter_map(|side| side._replica.as_ref()).collect();
        let mut rows = Vec::new();
        for (writers, limit) in WRITERS {
            let mut rates = [const { Vec::new() }; 3];
            // The first round warms up the caches.
            for round in 0..=rounds() {
                let mut inserted = [0.0; 3];
                for turn in 0..TURNS {
                    for place in 0..sides.len() {
                        let side = (place + turn) % sides.len();
                        super::rest(&cluster, &replicas);
                        inserted[side] += runtime.block_on(sides[side].insert(writers));
                    }
                }
                if round > 0 {
                    rates.iter_mut().zip(inserted).for_each(|(rates, rate)| rates.push(rate / TURNS as f64));
                }
            }
            rows.extend(rows_of(writers, limit, &rates));
        }
        rows
    })
}

fn rows_of(writers: usize, limit: Limit, [with, without, notifying]: &[Vec<f64>; 3]) -> Vec<Row> {
    let name = |figure: &str| match writers {
        1 => format!("inserts by 1 writer of Postgres, {figure}"),
        many => format!("inserts by {many} writers of Postgres, {figure}"),
    };
    let ratio = |some: &[f64]| crate::performance::ratios(some, without);
    vec![
        Row::new(name("without requery"), without.clone(), " /s", Limit::Open),
        Row::new(name("with requery"), with.clone(), " /s", Limit::Open),
        Row::new(name("with notify"), notifying.clone(), " /s", Limit::Open),
        Row::new(name("rate with requery to without"), ratio(with), "", limit),
        Row::new(name("rate with notify to without"), ratio(notifying), "", Limit::Open),
    ]
}

impl Side {
    async fn start(cluster: &Cluster, name: &str) -> Self {
        let db = cluster.create(name).await;
        let tasks = super::tasks(&db, TASKS).await;
        let replica = Replica::start(db.url());
        Self { db, tasks, _replica: Some(replica) }
    }

    /// Inserts events by so many writers for the time of a turn. Returns the number of them a second.
    async fn insert(&self, writers: usize) -> f64 {
        let mut connections = Vec::new();
        for _ in 0..writers {
            let mut connection = self.db.connect().await;
            // The first insert of a connection compiles the statement, the conditions and the triggers.
            insert(&mut connection, &self.tasks[0]).await;
            connections.push(connection);
        }
        let length = TURN[usize::from(is_quick())];
        let began = Instant::now();
        let inserting = connections.into_iter().enumerate().map(|(number, mut connection)| {
            let tasks = self.tasks.clone();
            tokio::spawn(async move {
                let mut inserted = 0.0;
                for task in tasks.iter().cycle().skip(number * 3) {
                    if began.elapsed() > length {
                        break;
                    }
                    insert(&mut connection, task).await;
                    inserted += 1.0;
                }
                inserted
            })
        });
        let inserting: Vec<_> = inserting.collect();
        let mut inserted = 0.0;
        for writer in inserting {
            inserted += writer.await.unwrap();
        }
        inserted / began.elapsed().as_secs_f64()
    }
}

/// Inserts one event.
async fn insert(connection: &mut PgConnection, task: &str) {
    sqlx::query(INSERT).bind(task).bind(BODY).execute(connection).await.unwrap();
}
