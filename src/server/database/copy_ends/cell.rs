//! The values of a row that is copied.

use sea_orm::{DbBackend, DbErr, QueryResult, Value};

use crate::server::database::sql::copied_tables::{CopiedTable, Holds};

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// No value.
    Null,
    /// A whole number.
    Number(i64),
    /// A text. SQLite takes any bytes as a text, and Postgres only UTF-8 without NUL.
    Text(Vec<u8>),
}

/// The values of a row, in the order of the columns of its table.
pub type CopiedRow = Vec<Cell>;

/// The cells of a row that was read.
pub(super) fn cells(row: &QueryResult, table: &CopiedTable, backend: DbBackend) -> Result<CopiedRow, DbErr> {
    let cell = |at: usize, holds: Holds| {
        Ok(match (holds, backend) {
            (Holds::Number, _) => row.try_get_by_index::<Option<i64>>(at)?.map(Cell::Number),
            (Holds::Text(_), DbBackend::Postgres) => {
                row.try_get_by_index::<Option<String>>(at)?.map(|text| Cell::Text(text.into_bytes()))
            }
            (Holds::Text(_), _) => row.try_get_by_index::<Option<Vec<u8>>>(at)?.map(Cell::Text),
        }
        .unwrap_or(Cell::Null))
    };
    table.columns.iter().enumerate().map(|(at, column)| cell(at, column.holds)).collect()
}

/// The value of a cell for a statement.
pub(super) fn value(cell: Cell, holds: Holds, backend: DbBackend) -> Value {
    match (cell, holds, backend) {
        (Cell::Number(number), ..) => Value::BigInt(Some(number)),
        (Cell::Null, Holds::Number, _) => Value::BigInt(None),
        (Cell::Null, Holds::Text(_), DbBackend::Postgres) => Value::String(None),
        (Cell::Null, Holds::Text(_), _) => Value::Bytes(None),
        (Cell::Text(text), _, DbBackend::Postgres) => {
            Value::String(Some(String::from_utf8(text).unwrap_or_else(|text| text.to_string())))
        }
        (Cell::Text(text), ..) => Value::Bytes(Some(text)),
    }
}
