//! A sum over the rows of a table that does not depend on their order.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::server::database::copy_ends::Cell;
use crate::server::database::sql::copied_tables::CopiedTable;

/// The number of the rows, and the sum of a hash of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checksum {
    rows: u64,
    sum: u64,
}

impl Checksum {
    /// Adds a row.
    pub(super) fn add(&mut self, row: &[Cell]) {
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }

    /// The number of the rows.
    pub(super) fn rows(self) -> u64 {
        self.rows
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows with the sum {:016x}", self.rows, self.sum)
    }
}

/// The key of a row, for an error text.
pub(super) fn shown_key(row: &[Cell], table: &CopiedTable) -> String {
    let of_key = row.iter().zip(table.columns).filter(|(_, column)| table.key.contains(&column.name));
    let shown = of_key.map(|(cell, _)| match cell {
        Cell::Null => "null".to_owned(),
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) => String::from_utf8_lossy(text).into_owned(),
    });
    shown.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::{Cell, Checksum};

    #[test]
    fn the_order_of_the_rows_does_not_count_and_each_value_does() {
        let rows = [vec![Cell::Number(1), Cell::Null], vec![Cell::Text(b"1".to_vec()), Cell::Text(Vec::new())]];
        let sum = |rows: &[Vec<Cell>]| {
            let mut sum = Checksum::default();
            rows.iter().for_each(|row| sum.add(row));
            sum
        };
        let reversed: Vec<_> = rows.iter().rev().cloned().collect();
        assert_eq!(sum(&rows), sum(&reversed));
        let mut changed = rows.clone();
        changed[0][1] = Cell::Text(Vec::new());
        assert_ne!(sum(&rows), sum(&changed));
        assert_ne!(sum(&rows), sum(&rows[..1]));
    }
}
