//! The errors of the database from the codes of Postgres, which are texts of five characters: SQLSTATE.

use sea_orm::DbErr;
use sea_orm::sqlx::postgres::PgDatabaseError;

use crate::server::database::driver_error::of_driver;
use crate::server::database::error::DatabaseError;

/// The code of an error of Postgres.
pub(in crate::server::database) fn code(error: &DbErr) -> Option<String> {
    of_postgres(error).map(|error| error.code().to_owned())
}

/// The error of a statement whose code says more than that it failed.
pub(in crate::server::database) fn error(code: &str, error: &DbErr) -> Option<DatabaseError> {
    let message = || of_postgres(error).map_or_else(|| error.to_string(), |error| error.message().to_owned());
    match code {
        _ if is_conflict(code) => Some(DatabaseError::Busy),
        // A lock that did not come in time, a statement that took too long, too many connections, a server that stopped in
        // the middle of a transaction, a full queue of notifications.
        "55P03" | "57014" | "53300" | "25P03" | "54000" => Some(DatabaseError::Busy),
        _ if is_of_storage(code) => Some(DatabaseError::Storage(message())),
        "XX001" | "XX002" => Some(DatabaseError::Damaged(message())),
        // The server ends or starts, does not let us in, is a standby, or has lost the database or the schema.
        _ if code.starts_with("57P") || code.starts_with("08") || code.starts_with("28") => Some(away(&message())),
        "25006" | "3D000" | "3F000" | "42P01" | "42501" => Some(away(&message())),
        _ => None,
    }
}

/// Whether a statement only broke a rule of the schema.
pub(in crate::server::database) fn is_constraint(code: &str) -> bool {
    code.starts_with("23")
}

/// Whether a row with the same key exists.
pub(in crate::server::database) fn is_taken(code: &str) -> bool {
    code == "23505"
}

/// Whether the storage failed: the disk, its space, or the memory.
pub(in crate::server::database) fn is_of_storage(code: &str) -> bool {
    matches!(code, "53100" | "53200" | "58030")
}

/// Whether the transaction met another one: a serialization failure or a deadlock.
pub(in crate::server::database) fn is_conflict(code: &str) -> bool {
    matches!(code, "40001" | "40P01")
}

/// Whether a lock did not come in time.
pub(super) fn is_late_lock(error: &DbErr) -> bool {
    code(error).is_some_and(|code| code == "55P03")
}

fn away(message: &str) -> DatabaseError {
    DatabaseError::Away(message.to_owned())
}

fn of_postgres(error: &DbErr) -> Option<&PgDatabaseError> {
    of_driver(error)?.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}
