//! The processor time of the server for sending notices to many clients: one notice at a time, and many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::machine;
use crate::rows;
use crate::server::{Outside, runtime};
use crate::socket::{Shared, events_of};
use crate::table::{Limit, Row};

const WATCHERS: usize = 500;
const ROUNDS: usize = 5;
const CHANGES: usize = 20;
const APART: Duration = Duration::from_millis(100);
/// The number of tasks that change in one transaction. It is small enough that each task has its own notice and the
/// window keeps its base width.
const TOGETHER: usize = 32;
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure() -> Vec<Row> {
    runtime().block_on(async {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("requery.db");
        let server = Outside::start(&path, &[]);
        let db = rows::connect(&path).await;
        let tasks = rows::tasks(&db, TOGETHER).await;
        let delivered = Arc::new(AtomicUsize::new(0));
        for _ in 0..WATCHERS {
            let (mut socket, delivered) = (Shared::open(server.address).await, delivered.clone());
            tokio::spawn(async move {
                while let Some(frame) = socket.frame().await {
                    delivered.fetch_add(events_of(&frame), Ordering::Relaxed);
                }
            });
        }
        sleep(Duration::from_secs(1)).await;
        let mut figures = [1, TOGETHER].map(|together| (together, Vec::new()));
        for _ in 0..ROUNDS {
            for (together, figures) in &mut figures {
                let before = machine::processor_time(server.process());
                for _ in 0..CHANGES {
                    let next = Instant::now() + APART;
                    change(&db, &tasks[..*together], &delivered).await;
                    sleep_until(next).await;
                }
                let spent = machine::processor_time(server.process()) - before;
                figures.push(spent * 1e6 / (WATCHERS * CHANGES * *together) as f64);
            }
        }
        let row = |(together, figures): (usize, Vec<f64>)| {
            let load = match together {
                1 => "one notice at a time".to_owned(),
                many => format!("{many} notices at a time"),
            };
            Row::new(format!("processor time of a delivery, {WATCHERS} watchers, {load}"), figures, " µs", Limit::Open)
        };
        figures.into_iter().map(row).collect()
    })
}

/// Adds an event to each task in one transaction, and waits until every client has received the notices.
async fn change(db: &DatabaseConnection, tasks: &[String], delivered: &AtomicUsize) {
    let due = delivered.load(Ordering::Relaxed) + WATCHERS * tasks.len();
    rows::insert_many(db, tasks).await;
    let all = async {
        while delivered.load(Ordering::Relaxed) < due {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DELIVERY_TIMEOUT, all).await.expect("a delivery is lost");
}
