//! The time after a fault until a screen shows a change that was committed after the fault.
//!
//! A program with SQL tries to commit an event, again and again, from the fault on. The time ends when the screen has
//! the first one that was committed. Two servers are on the database, and the screen is one of the first server.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sea_orm::sqlx::Connection;
use sea_orm::sqlx::postgres::PgConnection;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::exchange::Exchange;
use crate::machine::{now, rounds};
use crate::performance::log;
use crate::server::runtime;
use crate::table::{Limit, Row};

use super::proxy::{Network, Proxy};
use super::screen::Screen;
use super::{Cluster, Db, Replica, commit_event, contains};

/// The pause of the writer after a failure.
const RETRY: Duration = Duration::from_millis(5);
/// How long the writer waits for a connection and a commit.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the network is closed.
const CLOSED: Duration = Duration::from_secs(2);
/// How long the network is silent: longer than a server waits for an answer of the tail.
const SILENT: Duration = Duration::from_secs(8);
/// The pause between two looks at the lease.
const LOOK: Duration = Duration::from_millis(5);

/// The server that has the lease.
const HOLDER: &str = "select holder from requery.leases where until > clock_timestamp()";
/// The processes of Postgres that listen for servers.
const LISTENERS: &str = "from pg_stat_activity where application_name = 'requery' and query ilike 'listen%'";

/// The name of a fault, and the function that measures it: in seconds.
type Fault = (&'static str, fn(&mut Stage) -> f64);

struct Stage {
    runtime: Runtime,
    cluster: Cluster,
    db: Db,
    task: String,
}

pub fn measure() -> Vec<Row> {
    super::on_cluster(|cluster| {
        let runtime = runtime();
        let db = runtime.block_on(cluster.create("faults"));
        let task = runtime.block_on(super::tasks(&db, 1)).remove(0);
        let mut stage = Stage { runtime, cluster, db, task };
        let faults: [Fault; 9] = [
            ("the server of the screen is killed", Stage::kill_server),
            ("the server with the lease is killed, until another one has it", Stage::kill_holder),
            ("the connections that listen end, a write through the other server", Stage::end_listeners),
            ("the process of Postgres that listens is killed", Stage::kill_listener),
            ("Postgres is killed and started", Stage::kill_primary),
            ("the same, from the moment at which Postgres is ready", Stage::recover_primary),
            ("Postgres is restarted in order", Stage::restart_primary),
            ("the network is closed for 2 s, from its return", |stage| stage.cut(Network::Closed, CLOSED)),
            ("the network is silent for 8 s, from its return", |stage| stage.cut(Network::Silent, SILENT)),
        ];
        let mut rows = Vec::new();
        for (name, fault) in faults {
            let times = (0..rounds()).map(|_| fault(&mut stage)).collect();
            rows.push(Row::new(format!("fault to screen: {name}"), times, " s", Limit::Open));
        }
        rows
    })
}

impl Stage {
    fn kill_server(&mut self) -> f64 {
        let (first, _second, screen) = self.open();
        let began = now();
        drop(first);
        self.shown(&screen, None);
        seconds_since(began)
    }

    fn kill_holder(&mut self) -> f64 {
        // The leases of the round before have ended.
        self.wait_for_holder(|holder| holder.is_none());
        let first = self.replica();
        let before = self.wait_for_holder(|holder| holder.is_some());
        let _second = self.replica();
        let began = now();
        drop(first);
        self.wait_for_holder(|holder| holder.is_some() && *holder != before);
        seconds_since(began)
    }

    fn end_listeners(&mut self) -> f64 {
        let (_first, second, screen) = self.open();
        let mut writer = Exchange::open(second.server.address);
        let began = now();
        self.runtime.block_on(self.db.run(&format!("select pg_terminate_backend(pid) {LISTENERS}")));
        let answer = log(&mut writer, &self.task, 1);
        let written = answer.header("requery-cursor").unwrap().parse().unwrap();
        screen.wait_for("the screen has the change", |cursor| cursor.covers(&written));
        seconds_since(began)
    }

    fn kill_listener(&mut self) -> f64 {
        let (_first, _second, screen) = self.open();
        let epoch = screen.epoch();
        let process = loop {
            let listener = self.runtime.block_on(self.db.text(&format!("select pid::text {LISTENERS} limit 1")));
            if let Some(process) = listener {
                break Pid::from_raw(process.parse().unwrap()).unwrap();
            }
        };
        let began = now();
        kill_process(process, Signal::KILL).unwrap();
        self.shown(&screen, Some(&epoch));
        seconds_since(began)
    }

    fn kill_primary(&mut self) -> f64 {
        self.crash().0
    }

    fn recover_primary(&mut self) -> f64 {
        self.crash().1
    }

    /// Kills Postgres and starts it. Returns the time from the kill, and from the moment at which Postgres is ready.
    fn crash(&mut self) -> (f64, f64) {
        let (_first, _second, screen) = self.open();
        let epoch = screen.epoch();
        let began = now();
        self.cluster.end("KILL");
        self.cluster.run();
        let ready = now();
        self.shown(&screen, Some(&epoch));
        (seconds_since(began), seconds_since(ready))
    }

    fn restart_primary(&mut self) -> f64 {
        let (_first, _second, screen) = self.open();
        let began = now();
        self.cluster.end("INT");
        self.cluster.run();
        self.shown(&screen, None);
        seconds_since(began)
    }

    /// The network between the server of the screen and Postgres fails for this time. Returns the time from its return.
    fn cut(&mut self, state: Network, time: Duration) -> f64 {
        let proxy = Proxy::start(self.cluster.port());
        let url = format!("postgres://postgres@{}/{}", proxy.address, self.db.name());
        let (first, _second) = (Replica::start(&url), self.replica());
        let screen = Screen::open(vec![first.server.address]);
        self.shown(&screen, None);
        proxy.set(state);
        std::thread::sleep(time);
        let began = now();
        proxy.set(Network::Open);
        self.shown(&screen, None);
        seconds_since(began)
    }

    /// Two servers, and a screen of the first one that shows the newest change.
    fn open(&self) -> (Replica, Replica, Screen) {
        let (first, second) = (self.replica(), self.replica());
        let screen = Screen::open(vec![first.server.address, second.server.address]);
        self.shown(&screen, None);
        (first, second, screen)
    }

    fn replica(&self) -> Replica {
        Replica::start(self.db.url())
    }

    /// Commits an event as soon as possible, and waits until the screen has it: in another epoch than `before`, if the
    /// fault ends the epoch.
    fn shown(&self, screen: &Screen, before: Option<&str>) {
        let transaction = self.runtime.block_on(async {
            loop {
                if let Ok(Some(transaction)) = timeout(PATIENCE, self.try_commit()).await {
                    return transaction;
                }
                sleep(RETRY).await;
            }
        });
        screen.wait_for("the screen has the change", |cursor| {
            contains(cursor, transaction) && before.is_none_or(|before| cursor.epoch() != before)
        });
    }

    async fn try_commit(&self) -> Option<u64> {
        let mut connection = PgConnection::connect(self.db.url()).await.ok()?;
        Some(commit_event(&mut connection, &self.task).await.ok()?.transaction)
    }

    /// Waits until the server that has the lease satisfies this, and returns its name.
    fn wait_for_holder(&self, is_it: impl Fn(&Option<String>) -> bool) -> Option<String> {
        self.runtime.block_on(async {
            loop {
                let holder = self.db.text(HOLDER).await;
                if is_it(&holder) {
                    return holder;
                }
                sleep(LOOK).await;
            }
        })
    }
}

fn seconds_since(began: u64) -> f64 {
    (now() - began) as f64 / 1e9
}
