//! The locks that one writer takes to keep the others out, on an engine with several writers.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::Sql;

/// Takes the lock with the name `?1` until the end of the transaction.
const TAKE: Sql = Sql::postgres("select pg_advisory_xact_lock(hashtextextended($1::text, 0))");

/// Waits until no other transaction has the lock with this name, and takes it until the end of the transaction. On SQLite
/// the one transaction that writes has it already.
///
/// A name begins with the kind of row. A transaction that takes several locks takes them in the order of their names, and
/// locks rows only afterwards.
pub async fn take(tx: &impl ConnectionTrait, name: &str) -> Result<(), DbErr> {
    match tx.get_database_backend() {
        DbBackend::Postgres => TAKE.execute(tx, [name.into()]).await.map(drop),
        _ => Ok(()),
    }
}
