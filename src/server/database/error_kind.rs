//! The kind of a failed statement, from the codes of either engine.

use sea_orm::{DbErr, sqlx};

use super::DatabaseError;
use super::driver_error::of_driver;
use super::postgres::error_codes as postgres;
use super::sqlite::error_codes as sqlite;

impl From<DbErr> for DatabaseError {
    fn from(error: DbErr) -> Self {
        let unknown = match postgres::code(&error) {
            Some(code) => postgres::error(&code, &error),
            None => sqlite::error(&error),
        };
        unknown.or_else(|| connection_error(&error)).unwrap_or(DatabaseError::Db(error))
    }
}

/// Whether a statement only broke a rule of the schema. The connection is sound then.
pub(super) fn is_constraint(error: &DbErr) -> bool {
    match postgres::code(error) {
        Some(code) => postgres::is_constraint(&code),
        None => sqlite::is_constraint(error),
    }
}

/// Whether the storage failed: the disk, its space, the memory, or the right to write. Another statement fails likewise
/// until the storage works again.
pub(super) fn is_of_storage(error: &DbErr) -> bool {
    match postgres::code(error) {
        Some(code) => postgres::is_of_storage(&code),
        None => sqlite::is_of_storage(error),
    }
}

/// Whether the transaction failed only because of another one that ran at the same time: it can be run again.
pub(super) fn is_conflict(error: &DbErr) -> bool {
    postgres::code(error).is_some_and(|code| postgres::is_conflict(&code))
}

/// Whether another writer stored a row with the same key at the same time. The verbs look for such a row before, so on a
/// file, which has one writer, there is none.
pub fn is_taken(error: &DbErr) -> bool {
    postgres::code(error).is_some_and(|code| postgres::is_taken(&code))
}

/// The error of a connection that was lost or that there was none of.
fn connection_error(error: &DbErr) -> Option<DatabaseError> {
    use sqlx::Error;

    let lost = || DatabaseError::Away("the connection to the database was lost".to_owned());
    match of_driver(error) {
        Some(Error::PoolTimedOut | Error::PoolClosed) => Some(DatabaseError::Busy),
        Some(Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed) => Some(lost()),
        None if matches!(error, DbErr::ConnectionAcquire(_)) => Some(DatabaseError::Busy),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::sqlx;

    use super::DatabaseError;
    use crate::server::database::driver_error::query;

    /// A job that finds the connections closed waits until the database is open again, and logs no error.
    #[test]
    fn a_closed_pool_is_no_failed_statement() {
        for error in [sqlx::Error::PoolClosed, sqlx::Error::PoolTimedOut] {
            assert!(matches!(DatabaseError::from(query(error)), DatabaseError::Busy));
        }
    }

    #[test]
    fn a_lost_connection_is_a_database_that_is_away() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(matches!(DatabaseError::from(query(sqlx::Error::Io(broken))), DatabaseError::Away(_)));
    }
}
