//! The errors of the database from the result codes of SQLite.

use requery_migrations::MigrateError;
use sea_orm::DbErr;

use super::health::{self, code, damage, damage_of_index};
use super::location::FileLocation;
use crate::server::database::error::{DatabaseError, OpenError};

/// The error of a statement whose code says more than that it failed.
pub(in crate::server::database) fn error(error: &DbErr) -> Option<DatabaseError> {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    if let Some(detail) = damage_of_index(error) {
        return Some(DatabaseError::Index(detail));
    }
    if let Some(detail) = damage(error) {
        let is_within = health::is_within(error);
        return Some(if is_within { DatabaseError::Damaged(detail) } else { DatabaseError::Away(detail) });
    }
    match code(error) {
        Some(BUSY | LOCKED) => Some(DatabaseError::Busy),
        _ if is_of_storage(error) => Some(DatabaseError::Storage(error.to_string())),
        _ => None,
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
pub(in crate::server::database) fn as_open_error(location: &FileLocation) -> impl Fn(DbErr) -> OpenError {
    let path = location.path().to_owned();
    move |why| match damage(&why) {
        Some(_) if !health::is_within(&why) => OpenError::NoDatabase(path.clone()),
        Some(_) => OpenError::Damaged { path: path.clone(), detail: health::message(&why) },
        None => OpenError::Db { path: path.clone(), why: health::message(&why) },
    }
}

/// Converts an error of the schema of the file at `location`.
pub(in crate::server::database) fn as_schema_error(location: &FileLocation) -> impl Fn(MigrateError) -> OpenError {
    let location = location.clone();
    move |why| match why {
        MigrateError::Db(why) => as_open_error(&location)(why),
        why => OpenError::Schema { path: location.path().to_owned(), why },
    }
}
