//! The notifications between servers, and those of writers that the setting `notify` asks for.

use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::{PgListener, PgNotification};

use super::replica::{Replica, until_started};
use crate::app::PATIENCE;
use crate::cluster::{Cluster, TestDatabase};

/// The shortest time between two rings of one server, as `bell.rs` has it.
const RING_INTERVAL: Duration = Duration::from_millis(5);

async fn listener(database: &TestDatabase) -> PgListener {
    let mut listener = PgListener::connect(&database.url).await.unwrap();
    listener.listen("requery_requery").await.unwrap();
    listener
}

/// The next ring.
async fn ring(listener: &mut PgListener) -> PgNotification {
    tokio::time::timeout(PATIENCE, listener.recv()).await.expect("a ring in time").unwrap()
}

/// The payloads of the rings so far: a mark comes behind each of them.
async fn rings_until_mark(database: &TestDatabase, listener: &mut PgListener) -> Vec<String> {
    database.psql("select pg_notify('requery_requery', 'mark')");
    let mut payloads = Vec::new();
    loop {
        match ring(listener).await.payload() {
            "mark" => return payloads,
            payload => payloads.push(payload.to_owned()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_rings_after_its_writes_and_not_for_each() {
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    let mut listener = listener(&database).await;
    let name = {
        server.add("the first").await;
        ring(&mut listener).await.payload().to_owned()
    };
    assert!(!name.is_empty(), "a server says its name, so that it does not wake itself");
    let began = Instant::now();
    for round in 0..100 {
        server.add(&format!("round {round}")).await;
    }
    let last = Instant::now();
    let mut counted = 0;
    // The last ring comes after the last write.
    while last.elapsed() < 4 * RING_INTERVAL {
        if let Ok(rung) = tokio::time::timeout(RING_INTERVAL, listener.recv()).await {
            assert_eq!(rung.unwrap().payload(), name);
            counted += 1;
        }
    }
    let most = began.elapsed().as_millis() / RING_INTERVAL.as_millis() + 1;
    assert!((1..=most).contains(&counted), "{counted} rings in {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_rings_while_the_setting_is_on() {
    let database = Cluster::shared().create_database();
    let server = Replica::start(&database).await;
    let mut listener = listener(&database).await;
    database.psql("insert into settings values ('notify', 'on')");
    let mut ws = server.stream("").await.0;
    for _ in 0..3 {
        let task = database.psql("insert into tasks (title) values ('by psql') returning id");
        while !ring(&mut listener).await.payload().is_empty() {}
        until_started(&mut ws, &task).await;
    }
    database.psql("update settings set value = 'off'");
    rings_until_mark(&database, &mut listener).await;
    let task = database.psql("insert into tasks (title) values ('by psql') returning id");
    until_started(&mut ws, &task).await;
    let rings = rings_until_mark(&database, &mut listener).await;
    assert!(rings.iter().all(|name| !name.is_empty()), "the setting is off: {rings:?}");
}
