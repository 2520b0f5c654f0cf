//! The reader of the log of Postgres, with a connection of its own.
//!
//! One statement asks for the rows that are visible now and were not visible in the snapshot of the last look. So each
//! row is read once, at the moment at which it is visible, whatever the order of the commits. A transaction that stays
//! open delays no other and costs nothing: its number stays in the list of the snapshot.

use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use requery_entities::{StoredText, change};
use sea_orm::sqlx::{Connection, PgConnection, Row};
use sea_orm::{DbErr, FromQueryResult, QueryResult};
use tokio::time::{Instant, timeout};

use super::location::ANSWER_TIMEOUT;
use super::server::connect_once;
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
    connection: PgConnection,
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

/// What one look at the log finds. The rows arrive while they are taken.
pub(in crate::server) struct Look<R> {
    /// The snapshot of the look.
    pub cursor: Cursor,
    rows: R,
}

impl LogReader {
    /// Opens the connection.
    pub(in crate::server) async fn connect(database: &Database) -> Result<Self, DatabaseError> {
        let server = database.server().ok_or_else(|| DatabaseError::Away("the database is no server".to_owned()))?;
        let connected = connect_once(server.location(), &sql::LOOK_SETTINGS).await;
        let connection = connected.map_err(|error| DatabaseError::Away(error.why))?;
        Ok(Self { connection, last_look: Instant::now(), last_change: None })
    }

    /// Closes the connection.
    pub(in crate::server) async fn close(self) {
        // A connection whose other end is silent does not close in order.
        let _ = timeout(ANSWER_TIMEOUT, self.connection.close()).await;
    }

    /// The snapshot of now, and the rows that are visible in it and were not in `from`.
    pub(in crate::server) async fn look(
        &mut self,
        database: &Database,
        from: &Position,
    ) -> Result<Look<impl Stream<Item = Result<QueryResult, DbErr>> + Send + '_>, DatabaseError> {
        let mut rows = sql::LOOK_AT_LOG.stream(&mut self.connection, from.snapshot().to_string());
        let first = in_time(rows.try_next()).await?.ok_or(DatabaseError::Busy)?;
        let (snapshot, epoch) = (first.try_get::<StoredText>("", "snapshot")?, first.try_get("", "epoch")?);
        Ok(Look { cursor: cursor(database, epoch, &snapshot)?, rows })
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

impl<R: Stream<Item = Result<QueryResult, DbErr>> + Unpin> Look<R> {
    /// The next `most` rows, in the order of their transactions. Fewer at the end.
    pub(in crate::server) async fn part(&mut self, most: usize) -> Result<Vec<LoggedChange>, DatabaseError> {
        let mut part = Vec::new();
        let read = async {
            while part.len() < most {
                let Some(row) = self.rows.try_next().await? else { break };
                part.push(logged(&row)?);
            }
            Ok(())
        };
        in_time(read).await?;
        Ok(part)
    }
}

/// The cursor of a look. Fails if the database has another history than the server opened.
fn cursor(database: &Database, epoch: Option<StoredText>, snapshot: &str) -> Result<Cursor, DatabaseError> {
    match database.opened()? {
        Open::Server(open) => open.cursor(epoch, snapshot),
        Open::File(_) => Err(DatabaseError::Away("the database is no server".to_owned())),
    }
}

/// The change of a row of a look.
fn logged(row: &QueryResult) -> Result<LoggedChange, DbErr> {
    let no_number = || DbErr::Type("the number of a transaction".to_owned());
    // The driver does not know the type of the column. As a text, the number would cost Postgres more than the row.
    let xid = row.try_as_pg_row().and_then(|row| row.try_get_raw("xid").ok()).ok_or_else(no_number)?;
    let xid = xid.as_bytes().ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(no_number)?;
    Ok(LoggedChange { xid: u64::from_be_bytes(xid), row: change::Model::from_query_result(row, "")? })
}

/// Fails if the other end is silent.
async fn in_time<T>(answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, DatabaseError> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DatabaseError::Away("the server did not answer in time".to_owned())),
    }
}
