//! The reader of the log of Postgres, with a connection of its own.
//!
//! One statement asks for the rows that are visible now and were not visible in the snapshot of the last look. So each
//! row is read once, at the moment at which it is visible, whatever the order of the commits. A transaction that stays
//! open delays no other and costs nothing: its number stays in the list of the snapshot.

use std::time::Duration;

use requery_entities::{StoredText, change};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, FromQueryResult, QueryResult, TransactionTrait,
};
use tokio::time::{Instant, timeout};

use super::location::ANSWER_TIMEOUT;
use super::server::connect_direct;
use crate::protocol::Cursor;
use crate::server::database::sql::servers as sql;
use crate::server::database::{Database, DatabaseError, Open, Position};

/// The shortest time between two looks. Each look costs Postgres a statement, however often it is rung for.
const PAUSE: Duration = Duration::from_millis(5);
/// How often to look while the log grows: the bound on the delay of a writer that rings no bell.
const ACTIVE: Duration = Duration::from_millis(20);
/// How often to look when the log is quiet: a person does not notice this delay of a first change.
const IDLE: Duration = Duration::from_millis(100);
/// How long the log counts as growing after its last change.
const STAY_ACTIVE: Duration = Duration::from_secs(10);

/// Reads the log.
pub(in crate::server) struct LogReader {
    connection: DatabaseConnection,
    last_look: Instant,
    last_change: Option<Instant>,
}

/// A row of the log.
#[derive(Debug)]
pub(in crate::server) struct LoggedChange {
    /// The number of the transaction that logged the row.
    pub xid: u64,
    /// The row.
    pub row: change::Model,
}

/// What one look at the log found.
pub(in crate::server) struct Look {
    /// The snapshot of the look.
    pub cursor: Cursor,
    /// The rows that were not visible before, in the order of their transactions.
    pub changes: Vec<LoggedChange>,
}

/// A pass that is longer than one look: one snapshot, from which the rows are read in parts.
pub(in crate::server) struct LongPass(DatabaseTransaction, Cursor);

impl LogReader {
    /// Opens the connection.
    pub(in crate::server) async fn connect(database: &Database) -> Result<Self, DatabaseError> {
        let server = database.server().ok_or_else(|| DatabaseError::Away("the database is no server".to_owned()))?;
        let connection = connect_direct(server.location()).await?;
        Ok(Self { connection, last_look: Instant::now(), last_change: None })
    }

    /// Closes the connection.
    pub(in crate::server) async fn close(self) {
        // A connection whose other end is silent does not close in order.
        let _ = timeout(ANSWER_TIMEOUT, self.connection.close()).await;
    }

    /// The snapshot of now, and the first `most` rows that are visible in it and were not in `from`.
    pub(in crate::server) async fn look(
        &self,
        database: &Database,
        from: &Position,
        most: u64,
    ) -> Result<Look, DatabaseError> {
        let backend = self.connection.get_database_backend();
        let values = [from.to_value(backend), most.into()];
        let rows = in_time(sql::LOOK_AT_LOG.rows(&self.connection, values)).await?;
        let first = rows.first().ok_or(DatabaseError::Busy)?;
        let (snapshot, epoch) = (first.try_get::<StoredText>("", "snapshot")?, first.try_get("", "epoch")?);
        let cursor = cursor(database, epoch, &snapshot)?;
        let changes = rows.iter().filter_map(|row| logged(row).transpose()).collect::<Result<_, _>>()?;
        Ok(Look { cursor, changes })
    }

    /// Begins a pass that is longer than one look.
    pub(in crate::server) async fn long_pass(&self, database: &Database) -> Result<LongPass, DatabaseError> {
        let tx = in_time(self.connection.begin()).await?;
        in_time(sql::READ_ONE_SNAPSHOT.execute_all(&tx)).await?;
        let rows = in_time(sql::SEEN.rows(&tx, [])).await?;
        let first = rows.first().ok_or(DatabaseError::Busy)?;
        let (snapshot, epoch) = (first.try_get::<StoredText>("", "snapshot")?, first.try_get("", "epoch")?);
        let cursor = cursor(database, epoch, &snapshot)?;
        Ok(LongPass(tx, cursor))
    }

    /// Marks the log as growing: the reader looks often for a while.
    pub(in crate::server) fn stay_awake(&mut self) {
        self.last_change = Some(Instant::now());
    }

    /// Waits until the log may have grown.
    ///
    /// Not before a pause after the look before: a writer that commits without a pause, or a program that rings without
    /// one, would cost a statement each time.
    pub(in crate::server) async fn wait(&mut self, database: &Database) {
        tokio::time::sleep(PAUSE.saturating_sub(self.last_look.elapsed())).await;
        let is_active = self.last_change.is_some_and(|at| at.elapsed() < STAY_ACTIVE);
        let _ = timeout(if is_active { ACTIVE } else { IDLE }, database.rung()).await;
        self.last_look = Instant::now();
    }
}

impl LongPass {
    /// The snapshot of the pass.
    pub(in crate::server) fn cursor(&self) -> &Cursor {
        &self.1
    }

    /// The first `most` rows that are visible in the snapshot, were not in `from`, and come behind `place`: the number
    /// of a transaction and a row of it.
    pub(in crate::server) async fn behind(
        &self,
        from: &Position,
        (xid, id): (u64, i64),
        most: u64,
    ) -> Result<Vec<LoggedChange>, DatabaseError> {
        let values = [from.to_value(self.0.get_database_backend()), xid.to_string().into(), id.into(), most.into()];
        let rows = in_time(sql::LOG_BEHIND.rows(&self.0, values)).await?;
        Ok(rows.iter().filter_map(|row| logged(row).transpose()).collect::<Result<_, _>>()?)
    }
}

/// The cursor of a look. Fails if the database has another history than the server opened.
fn cursor(database: &Database, epoch: Option<StoredText>, snapshot: &str) -> Result<Cursor, DatabaseError> {
    match database.opened()? {
        Open::Server(open) => open.cursor(epoch, snapshot),
        Open::File(_) => Err(DatabaseError::Away("the database is no server".to_owned())),
    }
}

/// The change of a row of a look. None: the look found no change.
fn logged(row: &QueryResult) -> Result<Option<LoggedChange>, sea_orm::DbErr> {
    let Some(xid) = row.try_get::<Option<StoredText>>("", "xid")? else { return Ok(None) };
    let xid = xid.parse().map_err(|_| sea_orm::DbErr::Type("the number of a transaction".to_owned()))?;
    Ok(Some(LoggedChange { xid, row: change::Model::from_query_result(row, "")? }))
}

/// Fails if the other end is silent.
async fn in_time<T>(answer: impl Future<Output = Result<T, sea_orm::DbErr>>) -> Result<T, DatabaseError> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DatabaseError::Away("the server did not answer in time".to_owned())),
    }
}
