//! Reads a table page by page, so that the memory does not grow with the table.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};

use super::cell::{CopiedRow, cells, value};
use crate::server::database::sql::copied_tables::CopiedTable;
use crate::server::database::sql::copy as sql;

/// The pages of a table in one snapshot.
pub struct CopiedPages<'a> {
    tx: &'a DatabaseTransaction,
    table: &'static CopiedTable,
    /// The key of the last row. Empty before the first page.
    last: Vec<Value>,
}

impl<'a> CopiedPages<'a> {
    pub(super) fn of(tx: &'a DatabaseTransaction, table: &'static CopiedTable) -> Self {
        Self { tx, table, last: Vec::new() }
    }

    /// The next rows. None are left after an empty page.
    pub async fn next(&mut self) -> Result<Vec<CopiedRow>, DbErr> {
        let backend = self.tx.get_database_backend();
        let found = sql::page(self.tx, self.table, self.last.clone()).await?;
        let rows: Vec<CopiedRow> =
            found.iter().map(|row| cells(row, self.table, backend)).collect::<Result<_, DbErr>>()?;
        if let Some(row) = rows.last() {
            let of_key = row.iter().zip(self.table.columns).filter(|(_, column)| self.table.key.contains(&column.name));
            self.last = of_key.map(|(cell, column)| value(cell.clone(), column.holds, backend)).collect();
        }
        Ok(rows)
    }
}
