//! The connections for requests: some that read and some that write.
//!
//! Both can go through a proxy that gives each transaction another connection of Postgres. So each transaction sets what
//! it needs itself: the schema, the timeouts and the isolation. Behind such a proxy no statement is prepared for a later
//! transaction. The driver then still gives each statement a name that it never removes, and a name can meet that of
//! another client of the proxy. So each transaction begins by removing the names.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use requery_entities::StoredText;
use requery_migrations::Migrated;
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{Connection, Postgres};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, FromQueryResult};
use sea_orm::{Database, TransactionTrait};
use tokio_util::sync::CancellationToken;

use super::location::{ANSWER_TIMEOUT, ServerLocation};
use crate::protocol::{Cursor, Snapshot, limits};
use crate::server::database::DatabaseError;
use crate::server::database::driver_error::silent;
use crate::server::database::sql::servers::{self as sql, TransactionLimits, TransactionSettings};

/// The connections for statements of the server itself: the lease and the ring.
const OWN: u32 = 2;
/// How many prepared statements a connection keeps: more than the server has different ones for requests.
const STATEMENTS: usize = 256;
/// How long an idle connection stays open.
const IDLE: Duration = Duration::from_secs(600);
/// Why requests fail while Postgres is away.
pub(in crate::server::database) const UNREACHABLE: &str = "the Postgres server cannot be reached";

/// The open connections to one history of the database.
#[derive(Clone)]
pub(in crate::server::database) struct ServerConnections {
    pub(in crate::server::database) epoch: Arc<str>,
    pub(in crate::server::database) migrated: Arc<Migrated>,
    /// Contains every change that this server has shown.
    shown: Arc<Mutex<Cursor>>,
    writers: DatabaseConnection,
    readers: DatabaseConnection,
    /// For the statements of the server itself: no request and no writer delays the renewal of the lease.
    own: DatabaseConnection,
    begin_read: TransactionSettings,
    begin_write: TransactionSettings,
    begin_own: TransactionSettings,
    /// Cancelled when the server knows that Postgres is away.
    lost: CancellationToken,
    /// How long a statement waits for its answer: longer than Postgres lets it run.
    pub(in crate::server::database) patience: Duration,
}

/// The changes that a statement sees.
#[derive(FromQueryResult)]
struct Seen {
    snapshot: StoredText,
    epoch: Option<StoredText>,
    has_grown: bool,
}

/// The changes that a transaction that writes will have shown with its commit.
#[derive(FromQueryResult)]
struct Written {
    snapshot: StoredText,
    own: Option<StoredText>,
    epoch: Option<StoredText>,
    has_logged: bool,
    has_grown: bool,
}

/// What a transaction that writes has done, known before its commit.
pub(in crate::server::database) struct WriteOutcome {
    /// Contains what the transaction saw, and the transaction itself if it has logged a change, once it is committed.
    pub(in crate::server::database) cursor: Cursor,
    /// Whether the transaction has logged a change.
    pub(in crate::server::database) has_logged: bool,
    /// Whether the log has a change in the cursor that `known` does not contain.
    pub(in crate::server::database) has_grown: bool,
}

impl ServerConnections {
    /// Makes the pools. A connection is opened when it is first needed.
    pub(super) async fn open(
        location: &ServerLocation,
        epoch: Arc<str>,
        now: Snapshot,
        migrated: Arc<Migrated>,
    ) -> Result<Self, DbErr> {
        let limits = TransactionLimits {
            schema: location.schema(),
            statement_timeout: location.statement_timeout,
            lock_timeout: location.lock_timeout,
            is_pooled: location.is_pooled(),
        };
        Ok(Self {
            shown: Arc::new(Mutex::new(Cursor::new(&*epoch, now))),
            epoch,
            migrated,
            patience: location.statement_timeout + ANSWER_TIMEOUT,
            writers: connect(location, location.writers).await?,
            readers: connect(location, location.readers).await?,
            own: connect(location, OWN).await?,
            begin_read: TransactionSettings::of_reads(limits),
            begin_write: TransactionSettings::of_writes(limits),
            begin_own: TransactionSettings::of_own_writes(limits),
            lost: CancellationToken::new(),
        })
    }

    /// The same connections for another history.
    pub(super) fn with_epoch(&self, epoch: Arc<str>, now: Snapshot) -> Self {
        let shown = Arc::new(Mutex::new(Cursor::new(&*epoch, now)));
        Self { shown, epoch, lost: CancellationToken::new(), ..self.clone() }
    }

    /// Ends the requests that wait for a connection: the server knows that Postgres is away. The driver would try to
    /// open one until the wait ends.
    pub(in crate::server::database) fn note_lost(&self) {
        self.lost.cancel();
    }

    /// Begins a transaction of a request.
    async fn begin(
        &self,
        pool: &DatabaseConnection,
        settings: &TransactionSettings,
    ) -> Result<DatabaseTransaction, DatabaseError> {
        let begun = self.lost.run_until_cancelled(begin(pool, settings)).await;
        begun.unwrap_or_else(|| Err(DatabaseError::Closed(UNREACHABLE.to_owned())))
    }

    /// Begins a transaction that reads one snapshot. Returns the cursor of that, and whether the log has a change in it
    /// that `known` does not contain: other transactions of the server move a snapshot, and most of them log nothing.
    pub(in crate::server::database) async fn begin_read(
        &self,
        known: Option<&Cursor>,
    ) -> Result<(DatabaseTransaction, Cursor, bool), DatabaseError> {
        let tx = self.begin(&self.readers, &self.begin_read).await?;
        let seen: Option<Seen> = sql::SEEN_AFTER.one(&tx, [self.known(known).into()]).await?;
        let seen = seen.ok_or(DatabaseError::Busy)?;
        let cursor = self.cursor(seen.epoch, &seen.snapshot)?;
        Ok((tx, cursor, seen.has_grown))
    }

    /// Begins a transaction that writes.
    pub(in crate::server::database) async fn begin_write(&self) -> Result<DatabaseTransaction, DatabaseError> {
        self.begin(&self.writers, &self.begin_write).await
    }

    /// Begins a short transaction of the server itself.
    pub(super) async fn begin_own(&self) -> Result<DatabaseTransaction, DatabaseError> {
        begin(&self.own, &self.begin_own).await
    }

    /// The outcome of this transaction. To be asked for as the last statement: then a write that was committed cannot fail
    /// any more.
    pub(in crate::server::database) async fn written(
        &self,
        tx: &impl ConnectionTrait,
        known: Option<&Cursor>,
    ) -> Result<WriteOutcome, DatabaseError> {
        let written: Option<Written> = sql::WRITTEN.one(tx, [self.known(known).into()]).await?;
        let written = written.ok_or(DatabaseError::Busy)?;
        let seen = self.cursor(written.epoch, &written.snapshot)?;
        // A transaction that logs nothing changes no answer, and the cache would wait for a look of the tail that sees it.
        let own = written.own.filter(|_| written.has_logged).and_then(|own| own.parse().ok());
        let cursor = own.map_or_else(|| seen.clone(), |own| Cursor::new(seen.epoch(), seen.snapshot().with(own)));
        Ok(WriteOutcome { cursor, has_logged: written.has_logged, has_grown: written.has_grown })
    }

    /// The snapshot of a known cursor, for a question after the changes behind it. Of an empty snapshot every change is a
    /// new one, and one is enough to know.
    fn known(&self, known: Option<&Cursor>) -> String {
        let known = known.filter(|known| known.epoch() == &*self.epoch);
        known.map_or_else(|| "1:1:".to_owned(), |known| known.snapshot().to_string())
    }

    /// The cursor of a snapshot, as the database wrote it. Fails if the database has another history now.
    pub(super) fn cursor(&self, epoch: Option<StoredText>, snapshot: &str) -> Result<Cursor, DatabaseError> {
        if epoch.as_deref() != Some(&*self.epoch) {
            return Err(DatabaseError::Away("the database has another history than before".to_owned()));
        }
        let snapshot = snapshot.parse().map_err(|_| DatabaseError::Away("the database has no snapshots".to_owned()))?;
        Ok(Cursor::new(&*self.epoch, snapshot))
    }

    /// The cursor that contains every change that this server has shown.
    pub(in crate::server::database) fn shown(&self) -> Cursor {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a cursor that is handed out: its changes are committed. Returns whether it has changes that no cursor
    /// before had.
    pub(in crate::server::database) fn note_minted(&self, cursor: &Cursor) -> bool {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.covers(cursor) {
            return false;
        }
        if let Some(joined) = shown.joined(cursor) {
            *shown = joined;
        }
        true
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        let _ = self.readers.close_by_ref().await;
        let _ = self.writers.close_by_ref().await;
        let _ = self.own.close_by_ref().await;
    }
}

/// Begins a transaction and sets what it needs. A connection that was lost fails at its first use; the next try takes
/// another one.
async fn begin(
    pool: &DatabaseConnection,
    settings: &TransactionSettings,
) -> Result<DatabaseTransaction, DatabaseError> {
    // Also of several connections whose other ends are silent.
    let until = tokio::time::Instant::now() + limits::CONNECTION_WAIT + ANSWER_TIMEOUT;
    loop {
        let has_idle = pool.get_postgres_connection_pool().num_idle() > 0;
        let begun = async {
            let tx = pool.begin().await?;
            settings.apply(&tx).await?;
            Ok::<_, DbErr>(tx)
        };
        let begun = tokio::time::timeout_at(until, begun).await;
        match begun.unwrap_or_else(|_| Err(silent())).map_err(DatabaseError::from) {
            // Each idle connection can be broken, after a restart of Postgres. The last try opens a new one.
            Err(DatabaseError::Away(_)) if has_idle && tokio::time::Instant::now() < until => {}
            Err(DatabaseError::Db(error)) => return Err(DatabaseError::Away(error.to_string())),
            begun => return begun,
        }
    }
}

/// Makes a pool. No connection is opened yet, so a database that is away is found by the first transaction.
async fn connect(location: &ServerLocation, connections: u32) -> Result<DatabaseConnection, DbErr> {
    let statements = if location.is_pooled() { 0 } else { STATEMENTS };
    let mut options = ConnectOptions::new(location.url());
    options
        .max_connections(connections)
        .min_connections(0)
        .connect_lazy(true)
        .acquire_timeout(limits::CONNECTION_WAIT)
        .idle_timeout(IDLE)
        .max_lifetime(None)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_postgres_opts(move |options| of_requests(options, statements))
        .map_sqlx_postgres_pool_opts(close_silent);
    Database::connect(options).await
}

/// Closes a released connection whose other end is silent. The pool itself would wait for an answer without a bound, and
/// have one connection less meanwhile.
fn close_silent(pool: PoolOptions<Postgres>) -> PoolOptions<Postgres> {
    pool.after_release(|connection, _| {
        Box::pin(async move {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, connection.ping()).await;
            answer.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())).map(|()| true)
        })
    })
}

/// A proxy knows few settings of a connection, and refuses a connection that brings others.
fn of_requests(options: PgConnectOptions, statements: usize) -> PgConnectOptions {
    options.statement_cache_capacity(statements).extra_float_digits(None).application_name("requery")
}
