//! The errors of the database from the result codes of SQLite.

use requery_migrations::MigrateError;
use sea_orm::DbErr;

use super::health::{self, code, damage, damage_of_index, lacks_connection};
use super::location::Location;
use crate::server::database::error::{DatabaseError, OpenError};

impl From<DbErr> for DatabaseError {
    fn from(error: DbErr) -> Self {
        const BUSY: i32 = 5;
        const LOCKED: i32 = 6;
        if let Some(detail) = damage_of_index(&error) {
            return DatabaseError::Index(detail);
        }
        if let Some(detail) = damage(&error) {
            return if health::is_within(&error) {
                DatabaseError::Damaged(detail)
            } else {
                DatabaseError::Away(detail)
            };
        }
        match code(&error) {
            Some(BUSY | LOCKED) => DatabaseError::Busy,
            _ if lacks_connection(&error) => DatabaseError::Busy,
            _ if is_of_storage(&error) => DatabaseError::Storage(error.to_string()),
            _ => DatabaseError::Db(error),
        }
    }
}

/// Whether a statement only broke a rule of the schema. SQLite then undoes that statement, and the connection is sound.
pub(in crate::server::database) fn is_constraint(error: &DbErr) -> bool {
    const CONSTRAINT: i32 = 19;
    code(error) == Some(CONSTRAINT)
}

/// Whether the storage failed: the disk, its space, the memory, or the right to write. Another statement fails likewise
/// until the storage works again.
pub(in crate::server::database) fn is_of_storage(error: &DbErr) -> bool {
    const NO_MEMORY: i32 = 7;
    const READ_ONLY: i32 = 8;
    const IO_ERROR: i32 = 10;
    const FULL: i32 = 13;
    const CANNOT_OPEN: i32 = 14;
    matches!(code(error), Some(NO_MEMORY | READ_ONLY | IO_ERROR | FULL | CANNOT_OPEN))
}

/// Converts an error of opening the file at `location`.
pub(in crate::server::database) fn as_open_error(location: &Location) -> impl Fn(DbErr) -> OpenError {
    let path = location.path().to_owned();
    move |why| match damage(&why) {
        Some(_) if !health::is_within(&why) => OpenError::NoDatabase(path.clone()),
        Some(_) => OpenError::Damaged { path: path.clone(), detail: health::message(&why) },
        None => OpenError::Db { path: path.clone(), why: health::message(&why) },
    }
}

/// Converts an error of the schema of the file at `location`.
pub(in crate::server::database) fn as_schema_error(location: &Location) -> impl Fn(MigrateError) -> OpenError {
    let location = location.clone();
    move |why| match why {
        MigrateError::Db(why) => as_open_error(&location)(why),
        why => OpenError::Schema { path: location.path().to_owned(), why },
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::sqlx;

    use super::DatabaseError;
    use crate::server::database::sqlite::health::query;

    /// A job that finds the connections closed waits until the file is open again, and logs no error.
    #[test]
    fn a_closed_pool_is_no_failed_statement() {
        for error in [sqlx::Error::PoolClosed, sqlx::Error::PoolTimedOut] {
            assert!(matches!(DatabaseError::from(query(error)), DatabaseError::Busy));
        }
    }
}
