//! The bell between servers: each one rings the others after its commits, apart from the transactions of writers.
//!
//! `NOTIFY` in a transaction makes the commits of all writers wait for each other. So a server rings in a transaction of
//! its own, and at most once in a few milliseconds. The bell only wakes: a ring that is lost costs the others a poll.

use std::time::Duration;

use sea_orm::sqlx::Executor;
use sea_orm::sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::location::{ANSWER_TIMEOUT, parse};
use super::server::{PostgresServer, of_server};
use crate::server::database::sql::servers as sql;
use crate::server::database::{Database, DatabaseError};

/// The shortest time between two rings of one server.
const RING_INTERVAL: Duration = Duration::from_millis(5);
/// After how long without a ring the connection that listens is tried.
const SILENCE: Duration = Duration::from_secs(10);
/// The pause before a lost connection is opened again.
const PAUSE: Duration = Duration::from_millis(500);

impl Database {
    /// Rings the bell of the other servers soon. On a file there are none.
    pub(in crate::server::database) fn ring_others(&self) {
        if let Some(server) = self.server() {
            server.wrote.notify_one();
        }
    }
}

impl PostgresServer {
    /// Rings the bell of the other servers.
    async fn ring(&self) -> Result<(), DatabaseError> {
        let tx = self.begin().await?;
        sql::RING.execute(&tx, [self.location().channel().into(), self.name().into()]).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Waits for rings of other servers, and of writers whose triggers ring, until the connection is lost.
    async fn listen(&self, database: &Database) -> Result<(), DatabaseError> {
        let lost = |error: sea_orm::sqlx::Error| DatabaseError::Away(error.to_string());
        let options = parse(self.location().direct_url()).map_err(|error| DatabaseError::Away(error.to_string()))?;
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ANSWER_TIMEOUT);
        let pool = pool.connect_lazy_with(of_server(options, self.location().schema()));
        let mut listener = PgListener::connect_with(&pool).await.map_err(lost)?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        in_time(listener.listen(&self.location().channel())).await?.map_err(lost)?;
        // Rings can have been lost before.
        database.ring();
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(rung) => match rung.map_err(lost)? {
                    Some(rung) if rung.payload() == self.name() => {}
                    Some(_) => database.ring(),
                    None => return Ok(()),
                },
                // A connection whose other end is silent looks like one without rings.
                Err(_) => _ = in_time(listener.execute(sql::NOTHING)).await?.map_err(lost)?,
            }
        }
    }
}

/// Fails if the other end is silent.
async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, DatabaseError> {
    let answer = timeout(ANSWER_TIMEOUT, answer).await;
    answer.map_err(|_| DatabaseError::Away("the server did not answer in time".to_owned()))
}

/// Rings the bell of the other servers after commits of this one, until `stop`.
pub(in crate::server) async fn ring_others(database: Database, stop: CancellationToken) {
    let Some(server) = database.server() else { return stop.cancelled().await };
    let ring = async {
        loop {
            server.wrote.notified().await;
            // Without the ring the others look at the log a little later.
            if let Err(error) = server.ring().await {
                tracing::debug!(%error, "could not ring the bell of the other servers");
                tokio::time::sleep(PAUSE).await;
            }
            tokio::time::sleep(RING_INTERVAL).await;
        }
    };
    stop.run_until_cancelled(ring).await;
}

/// Listens for the rings of others, until `stop`. A lost connection is opened again.
pub(in crate::server) async fn listen(database: Database, stop: CancellationToken) {
    let Some(server) = database.server() else { return stop.cancelled().await };
    let listen = async {
        loop {
            match server.listen(&database).await {
                Ok(()) => tracing::debug!("the connection that listens was lost"),
                Err(error) => tracing::debug!(%error, "the connection that listens was lost"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    stop.run_until_cancelled(listen).await;
}
