//! The bell of SQLite, and the one connection that reads the log.
//!
//! A write of this process calls [`Database::ring`] after its commit. A write of another process changes `PRAGMA
//! data_version`. Reading it costs microseconds on an open connection, so the bell reads it every 5 ms while the log
//! grows, and every 40 ms when the log is quiet. As often it looks whether the files still have their names. After each
//! write the bell also reads `PRAGMA schema_version`: another program may have changed the schema.

use std::time::{Duration, Instant};

use requery_entities::change;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{self, Connection, Row, SqliteConnection};
use sea_orm::{DbErr, FromQueryResult, QueryResult};

use super::health::{connect, query as error};
use super::schema;
use crate::protocol::limits;
use crate::server::database::sql::runs::{HIGHEST_NUMBER, STATE_OF_LOG};
use crate::server::database::{Database, DatabaseError, Position};

/// How often to look for writes of other processes while the log grows. This costs about 1 % of a core.
const ACTIVE: Duration = Duration::from_millis(5);
/// How often to look for these writes when the log is quiet: shorter than the 50 ms that a person does not notice.
const IDLE: Duration = Duration::from_millis(40);
/// How long the log counts as growing after its last change.
const STAY_ACTIVE: Duration = Duration::from_secs(2);

/// The reason to open the file again if rows of the log were deleted before they were counted: then the events are
/// counted again.
pub(in crate::server) const UNCOUNTED: &str = "rows of the change log were deleted before they were counted";

/// How many changes a client can have missed and still resume.
const RESUME_CHANGES: i64 = limits::RESUME_CHANGES.cast_signed();

/// The columns of a row of the log.
const COLUMNS: &str = "id, kind, project, task_id, parent_task_id, object_id, status, \
    cast(count as integer) as count, cast(at as integer) as at, event_class, \
    cast(status_changed as integer) as status_changed";

/// Waits for changes and reads them.
pub(in crate::server) struct Bell {
    connection: SqliteConnection,
    version: i64,
    /// The last version of the schema that was compared with ours.
    schema: Option<i64>,
    last_change: Option<Instant>,
}

impl Bell {
    pub(in crate::server) async fn connect(database: &Database) -> Result<Self, DatabaseError> {
        // SQLite finds the log by the name of the file. So the names are checked before the file is opened and after
        // it.
        database.check_in_place()?;
        let mut connection = connect(database.path()).await?;
        let version = match database.check_in_place() {
            Ok(()) => data_version(&mut connection).await,
            Err(error) => Err(error),
        };
        match version {
            Ok(version) => Ok(Self { connection, version, schema: None, last_change: None }),
            Err(error) => {
                let _ = connection.close().await;
                Err(error)
            }
        }
    }

    /// Closes the connection. The database must not be opened again before.
    pub(in crate::server) async fn close(self) {
        let _ = self.connection.close().await;
    }

    /// The first changes of the log after `from`, up to `to`. At most `most` of them.
    pub(in crate::server) async fn changes(
        &mut self,
        from: &Position,
        to: &Position,
        most: u64,
    ) -> Result<Vec<change::Model>, DatabaseError> {
        let sql = format!("select {COLUMNS} from changes where id >= ? and id < ? order by id limit ?");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(from.to_column())
            .bind(to.to_column())
            .bind(most.cast_signed())
            .fetch_all(&mut self.connection)
            .await
            .map_err(error)?;
        Ok(rows.into_iter().map(row).collect::<Result<_, _>>()?)
    }

    /// The position of the newest change. Fails if the file was restored from another copy.
    ///
    /// A restore through SQLite keeps the inode, so the path shows no difference. Three signs show the restore: the
    /// file does not contain the run `epoch`, its log ends before `reached` or before a minted cursor, or another row
    /// has the id of `newest`. The row `newest` can be pruned, but then no older row is there either.
    pub(in crate::server) async fn check(
        &mut self,
        database: &Database,
        epoch: &str,
        reached: &Position,
        newest: Option<&change::Model>,
    ) -> Result<Position, DatabaseError> {
        // Read before the query runs: the file must contain the changes of every cursor minted until then.
        let minted = database.file()?.minted();
        let facts = sqlx::query(STATE_OF_LOG).bind(epoch).fetch_one(&mut self.connection).await.map_err(error)?;
        let column = |number| facts.try_get::<Option<i64>, _>(number).map_err(error);
        let (is_ours, last, schema, floor) = (column(0)? == Some(1), column(1)?.unwrap_or(0), column(2)?, column(3)?);
        let is_used_up = last >= HIGHEST_NUMBER || column(4)? == Some(1);
        let lacks_unfolded = column(5)? == Some(1);
        if self.schema != schema {
            schema::check(&database.file()?.checker).await?;
            self.schema = schema;
        }
        if is_used_up {
            return Err(DatabaseError::Away("another program has used up the numbers of a table".to_owned()));
        }
        let end = Position::start().after_row(last);
        let restored = !is_ours || !end.covers(reached) || !end.covers(&minted);
        let same = match newest {
            Some(newest) if !restored => {
                let (from, to) = (reached.before_row(newest.id), reached.after_row(newest.id));
                let is_pruned = floor.is_none_or(|floor| floor > newest.id);
                is_pruned || self.changes(&from, &to, 1).await?.first() == Some(newest)
            }
            _ => !restored,
        };
        if !same {
            return Err(DatabaseError::Away("the file was restored from another copy".to_owned()));
        }
        if lacks_unfolded {
            return Err(DatabaseError::Away(UNCOUNTED.to_owned()));
        }
        let oldest = floor.unwrap_or(last.saturating_add(1)).max(last.saturating_sub(RESUME_CHANGES).saturating_add(1));
        database.metrics().log_floor.set(oldest);
        Ok(end)
    }

    /// Marks the log as growing: the bell looks often for a while.
    pub(in crate::server) fn stay_awake(&mut self) {
        self.last_change = Some(Instant::now());
    }

    /// Waits until the log may have grown. Fails if the file was moved, replaced or damaged.
    pub(in crate::server) async fn wait(&mut self, database: &Database) -> Result<(), DatabaseError> {
        loop {
            database.check_in_place()?;
            database.check_doubt()?;
            let active = self.last_change.is_some_and(|at| at.elapsed() < STAY_ACTIVE);
            let pause = if active { ACTIVE } else { IDLE };
            if tokio::time::timeout(pause, database.rung()).await.is_ok() {
                return Ok(());
            }
            let version = data_version(&mut self.connection).await?;
            if version != self.version {
                self.version = version;
                return Ok(());
            }
        }
    }
}

async fn data_version(connection: &mut SqliteConnection) -> Result<i64, DatabaseError> {
    let row = sqlx::query("pragma data_version").fetch_one(connection).await.map_err(error)?;
    Ok(row.try_get(0).map_err(error)?)
}

/// The newest row of the log up to the row `id`. None if there is none, or if it cannot be read.
pub(super) async fn newest_change<'c>(
    connection: impl sqlx::Executor<'c, Database = sqlx::Sqlite>,
    id: i64,
) -> Option<change::Model> {
    let sql = format!("select {COLUMNS} from changes where id <= ? order by id desc limit 1");
    let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(connection).await.ok()??;
    row(found).ok()
}

fn row(row: SqliteRow) -> Result<change::Model, DbErr> {
    change::Model::from_query_result(&QueryResult::from(row), "")
}
