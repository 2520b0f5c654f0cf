//! The target of a copy: an empty database that gets all rows in one transaction.
//!
//! No trigger runs for the rows, because the rows bring the values that triggers keep. A copy that ends before its commit
//! leaves the database empty.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

use super::cell::value;
use super::{CopiedPages, CopiedRow, CopyEndError};
use crate::server::database::postgres::server::connect_direct;
use crate::server::database::sql::copied_tables::CopiedTable;
use crate::server::database::sql::copy as sql;
use crate::server::database::{Database, Location};

/// The database that gets the rows, in the middle of its transaction.
pub struct CopyTarget {
    tx: DatabaseTransaction,
    /// The connection to Postgres. A file is written with the connection of `database`.
    connection: Option<DatabaseConnection>,
    /// Holds the lock of a file, so that no server runs on it meanwhile.
    database: Database,
    place: String,
}

impl CopyTarget {
    /// Migrates the database and begins the transaction. Fails if the database has tasks or rows of tasks.
    pub async fn open(location: &Location) -> Result<Self, CopyEndError> {
        let place = location.to_string();
        let database = Database::open(location.clone()).await?;
        let connection = match location {
            Location::File(_) => None,
            Location::Server(server) => {
                Some(connect_direct(server).await.map_err(|why| CopyEndError::unusable(&place, why))?)
            }
        };
        match begin(&database, connection.as_ref(), &place).await {
            Ok(tx) => Ok(Self { tx, connection, database, place }),
            Err(error) => {
                close(database, connection).await;
                Err(error)
            }
        }
    }

    /// The database as a person reads it, without a password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether a text has to be UTF-8 without NUL.
    pub fn is_strict(&self) -> bool {
        self.tx.get_database_backend() == DbBackend::Postgres
    }

    /// Inserts rows.
    pub async fn insert(&self, table: &'static CopiedTable, rows: Vec<CopiedRow>) -> Result<(), DbErr> {
        let backend = self.tx.get_database_backend();
        let values = |row: CopiedRow| {
            row.into_iter().zip(table.columns).map(|(cell, column)| value(cell, column.holds, backend)).collect()
        };
        sql::insert(&self.tx, table, &mut rows.into_iter().map(values).collect::<Vec<_>>()).await
    }

    /// The rows that the transaction has written.
    pub fn pages(&self, table: &'static CopiedTable) -> CopiedPages<'_> {
        CopiedPages::of(&self.tx, table)
    }

    /// Computes what follows from the rows. Events are given places behind `last_position` from now on, and the first
    /// server that opens the database begins a new epoch.
    pub async fn derive(&self, last_position: i64) -> Result<(), CopyEndError> {
        let derived = async {
            sql::GO_ON_AFTER.rows(&self.tx, [last_position.into()]).await?;
            sql::DERIVE.execute_all(&self.tx).await
        };
        derived.await.map_err(|why| CopyEndError::unusable(&self.place, why))
    }

    /// Makes the triggers work again, and commits.
    pub async fn finish(self) -> Result<(), CopyEndError> {
        let (place, database, connection) = (self.place, self.database, self.connection);
        let finished = finish(self.tx).await;
        close(database, connection).await;
        finished.map_err(|why| CopyEndError::unusable(&place, why))
    }

    /// Takes everything back.
    pub async fn abandon(self) {
        let _ = self.tx.rollback().await;
        close(self.database, self.connection).await;
    }
}

async fn begin(
    database: &Database,
    connection: Option<&DatabaseConnection>,
    place: &str,
) -> Result<DatabaseTransaction, CopyEndError> {
    let failed = |why: DbErr| CopyEndError::unusable(place, why);
    let tx = match connection {
        Some(connection) => connection.begin().await.map_err(failed)?,
        None => {
            let mode = Some(SqliteTransactionMode::Immediate);
            let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
            let file = database.file().map_err(|why| CopyEndError::unusable(place, why))?;
            file.writer.begin_with_options(options).await.map_err(failed)?
        }
    };
    sql::UNHURRIED.execute_all(&tx).await.map_err(failed)?;
    sql::LOCK_TARGET.execute_all(&tx).await.map_err(failed)?;
    if let Some(table) = sql::FIRST_TABLE_WITH_ROWS.value(&tx, []).await.map_err(failed)? {
        let way_out = match connection {
            Some(_) => "Name another database or another schema, or drop the schema",
            None => "Name another file, or move this one away",
        };
        return Err(CopyEndError::NotEmpty { place: place.to_owned(), table, way_out });
    }
    match connection {
        Some(_) => sql::DISABLE_TRIGGERS.execute_all(&tx).await.map_err(failed)?,
        None => requery_migrations::drop_triggers(&tx).await.map_err(failed)?,
    }
    sql::EMPTY_TARGET.execute_all(&tx).await.map_err(failed)?;
    Ok(tx)
}

async fn finish(tx: DatabaseTransaction) -> Result<(), DbErr> {
    match tx.get_database_backend() {
        DbBackend::Postgres => {
            sql::ENABLE_TRIGGERS.execute_all(&tx).await?;
            requery_migrations::postgres::record_triggers(&tx).await?;
        }
        _ => requery_migrations::make_triggers(&tx).await?,
    }
    tx.commit().await
}

async fn close(database: Database, connection: Option<DatabaseConnection>) {
    if let Some(connection) = connection {
        let _ = connection.close().await;
    }
    database.close("the copy ended").await;
}
