//! The errors of the driver of a database, inside and outside of those of the library above it.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// The driver's own error.
pub(super) fn of_driver(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// The error of a server that gives no answer.
pub(super) fn silent() -> DbErr {
    query(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}

/// The error of a query on a connection of its own.
pub(super) fn query(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}
