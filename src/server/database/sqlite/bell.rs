//! The bell of SQLite, and the one connection that reads the log.
//!
//! A write of this process calls [`Database::ring`] after its commit. A write of another process changes
//! `PRAGMA data_version`. Reading it costs microseconds on an open connection, so the bell reads it every 5 ms while
//! the log grows, and every 40 ms when the log is quiet. After each write the bell also reads `PRAGMA schema_version`:
//! another program may have changed the schema.

use std::time::{Duration, Instant};

use requery_entities::change;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{self, Row, SqliteConnection};
use sea_orm::{FromQueryResult, QueryResult};

use super::health::connect;
use super::schema;
use super::watchdog::{Probe, error};
use crate::server::database::{Database, DatabaseError, Position};

/// How often to look for writes of other processes while the log grows. This costs about 1 % of a core.
const ACTIVE: Duration = Duration::from_millis(5);
/// How often to look for these writes when the log is quiet: shorter than the 50 ms that a person does not notice.
const IDLE: Duration = Duration::from_millis(40);
/// How long the log counts as growing after its last change.
const STAY_ACTIVE: Duration = Duration::from_secs(2);

/// The error text when the path names another file, or none.
const MOVED: &str = "the file was moved or replaced";

/// Waits for changes and reads them.
pub(in crate::server) struct Bell {
    connection: SqliteConnection,
    version: i64,
    /// The last version of the schema that was compared with ours.
    schema: Option<i64>,
    last_change: Option<Instant>,
    probe: Probe,
}

impl Bell {
    pub(in crate::server) async fn connect(database: &Database) -> Result<Self, DatabaseError> {
        let mut connection = connect(database.path()).await?;
        let version = data_version(&mut connection).await?;
        Ok(Self { connection, version, schema: None, last_change: None, probe: Probe::default() })
    }

    /// The first changes of the log after `from`, up to `to`. At most `most` of them.
    pub(in crate::server) async fn changes(
        &mut self,
        from: &Position,
        to: &Position,
        most: u64,
    ) -> Result<Vec<change::Model>, DatabaseError> {
        const CHANGES: &str = "select id, kind, project, task_id, parent_task_id, object_id, status, \
            cast(count as integer) as count, cast(at as integer) as at \
            from changes where id >= ? and id < ? order by id limit ?";
        let rows = sqlx::query(CHANGES)
            .bind(from.to_column())
            .bind(to.to_column())
            .bind(most.cast_signed())
            .fetch_all(&mut self.connection)
            .await
            .map_err(error)?;
        let row = |row: SqliteRow| change::Model::from_query_result(&QueryResult::from(row), "");
        rows.into_iter().map(row).collect::<Result<_, _>>().map_err(DatabaseError::from)
    }

    /// The position of the newest change. Fails if the file was restored from another copy.
    ///
    /// A restore through SQLite keeps the inode, so the path shows no difference. Three signs show the restore: the
    /// file does not contain the run `epoch`, its log ends before `reached` or before a minted cursor, or another row
    /// has the id of `newest`.
    pub(in crate::server) async fn check(
        &mut self,
        database: &Database,
        epoch: &str,
        reached: &Position,
        newest: Option<&change::Model>,
    ) -> Result<Position, DatabaseError> {
        const SQL: &str = "select exists (select 1 from runs where token = ?), \
            coalesce((select seq from sqlite_sequence where name = 'changes'), 0), \
            (select schema_version from pragma_schema_version)";
        // Read before the query runs: the file must contain the changes of every cursor minted until then.
        let minted = database.minted();
        let facts = sqlx::query(SQL).bind(epoch).fetch_one(&mut self.connection).await.map_err(error)?;
        let (ours, end) = (facts.get::<bool, _>(0), Position::start().after_row(facts.get(1)));
        let schema = Some(facts.get::<i64, _>(2));
        if self.schema != schema {
            schema::check(database.path()).await?;
            self.schema = schema;
        }
        let restored = !ours || !end.covers(reached) || !end.covers(&minted);
        let same = match newest {
            Some(newest) if !restored => {
                let (from, to) = (reached.before_row(newest.id), reached.after_row(newest.id));
                self.changes(&from, &to, 1).await?.first() == Some(newest)
            }
            _ => !restored,
        };
        if same { Ok(end) } else { Err(DatabaseError::Away("the file was restored from another copy".to_owned())) }
    }

    /// Marks the log as growing: the bell looks often for a while.
    pub(in crate::server) fn stay_awake(&mut self) {
        self.last_change = Some(Instant::now());
    }

    /// Waits until the log may have grown. Fails if the file was moved, replaced or damaged.
    pub(in crate::server) async fn wait(&mut self, database: &Database) -> Result<(), DatabaseError> {
        loop {
            if !database.is_in_place() {
                return Err(DatabaseError::Away(MOVED.to_owned()));
            }
            let active = self.last_change.is_some_and(|at| at.elapsed() < STAY_ACTIVE);
            let pause = if active { ACTIVE } else { IDLE };
            if tokio::time::timeout(pause, database.rung()).await.is_ok() {
                return Ok(());
            }
            self.probe.look(database).await?;
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
    Ok(row.get(0))
}
