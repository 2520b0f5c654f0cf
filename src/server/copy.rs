//! A copy of a whole database into an empty one: between SQLite and Postgres in both directions, and between two of a
//! kind.
//!
//! The source is read in one snapshot and may be in use. The target gets everything in one transaction, in which each
//! table is read again and compared with the source before the commit. Memory for a page of rows is all that a copy
//! needs. What follows from the rows is not copied: the figures, the places in the lists and the search index are made
//! again, the change log of the target is empty, and no cursor of the source continues.

mod checksum;
use checksum::Checksum;

mod fit;
use fit::Fit;

use sea_orm::DbErr;

use super::database::Location;
use super::database::copy_ends::{CopiedPages, CopyEndError, CopySource, CopyTarget};
use super::database::sql::copied_tables::{COPIED_TABLES, CopiedTable};

/// Why a copy failed. The target is as empty as before.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source or the target cannot be used.
    #[error(transparent)]
    End(#[from] CopyEndError),
    /// The rows of a table could not be read.
    #[error("could not read the table {table} of {place}: {why}")]
    Read {
        /// The table.
        table: &'static str,
        /// The database.
        place: String,
        /// The message of the database.
        why: DbErr,
    },
    /// The target refused rows.
    #[error("could not write to the table {table} of {place}, in the rows from {first} to {last}: {why}")]
    Write {
        /// The table.
        table: &'static str,
        /// The target.
        place: String,
        /// The key of the first row of the page.
        first: String,
        /// The key of the last row of the page.
        last: String,
        /// The message of the database.
        why: DbErr,
    },
    /// The target has other rows than the source.
    #[error("the table {table} of {place} differs from the source: {found}, not {expected}; nothing was kept")]
    Differs {
        /// The table.
        table: &'static str,
        /// The target.
        place: String,
        /// The rows of the target.
        found: String,
        /// The rows of the source.
        expected: String,
    },
}

/// A step of a copy, for the display of its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStep {
    /// About how many rows will be copied.
    Begins(u64),
    /// So many rows were written.
    Wrote(u64),
    /// All rows of a table were written.
    Copied(&'static str, u64),
    /// So many rows were read again.
    Read(u64),
    /// The rows of a table were read again, and are those of the source.
    Verified(&'static str, u64),
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// The tables and how many rows of each were copied.
    pub tables: Vec<(&'static str, u64)>,
    /// How many texts were changed because Postgres cannot store them: NUL, and bytes that are no UTF-8, became U+FFFD.
    pub changed_texts: u64,
    /// How many of these texts were cut, because they exceeded their limit with the new characters.
    pub cut_texts: u64,
}

/// Copies all rows of one database into another one, which must be empty.
pub async fn copy(from: &Location, to: &Location, mut note: impl FnMut(CopyStep)) -> Result<Copied, CopyError> {
    let source = CopySource::open(from).await?;
    let target = match CopyTarget::open(to).await {
        Ok(target) => target,
        Err(error) => {
            source.close().await;
            return Err(error.into());
        }
    };
    let copied = fill(&source, &target, &mut note).await;
    let copied = match copied {
        Ok(copied) => target.finish().await.map(|()| copied).map_err(CopyError::from),
        Err(error) => {
            target.abandon().await;
            Err(error)
        }
    };
    source.close().await;
    copied
}

/// Writes the rows and what follows from them, and compares them with the source.
async fn fill(source: &CopySource, target: &CopyTarget, note: &mut impl FnMut(CopyStep)) -> Result<Copied, CopyError> {
    let mut rows = 0;
    for table in COPIED_TABLES {
        rows += source.count(table).await?;
    }
    note(CopyStep::Begins(rows));
    let mut fit = Fit::new(target.is_strict());
    let mut tables = Vec::new();
    for table in COPIED_TABLES {
        let rows = write(source, target, table, &mut fit, note).await?;
        note(CopyStep::Copied(table.name, rows));
        tables.push((table.name, rows));
    }
    target.derive(source.last_position().await?).await?;
    for table in COPIED_TABLES {
        let expected = sum(source.pages(table), source.place(), target.is_strict(), table, note).await?;
        let found = sum(target.pages(table), target.place(), target.is_strict(), table, note).await?;
        if found != expected {
            let place = target.place().to_owned();
            let (found, expected) = (found.to_string(), expected.to_string());
            return Err(CopyError::Differs { table: table.name, place, found, expected });
        }
        note(CopyStep::Verified(table.name, found.rows()));
    }
    Ok(Copied { tables, changed_texts: fit.changed, cut_texts: fit.cut })
}

async fn write(
    source: &CopySource,
    target: &CopyTarget,
    table: &'static CopiedTable,
    fit: &mut Fit,
    note: &mut impl FnMut(CopyStep),
) -> Result<u64, CopyError> {
    let mut pages = source.pages(table);
    let mut written = 0;
    loop {
        let mut rows = next(&mut pages, table, source.place()).await?;
        let key = |at: Option<&Vec<_>>| at.map(|row| checksum::shown_key(row, table)).unwrap_or_default();
        let (first, last) = (key(rows.first()), key(rows.last()));
        if rows.is_empty() {
            return Ok(written);
        }
        rows.iter_mut().for_each(|row| fit.change(row, table));
        let count = rows.len() as u64;
        if let Err(why) = target.insert(table, rows).await {
            let place = target.place().to_owned();
            return Err(CopyError::Write { table: table.name, place, first, last, why });
        }
        written += count;
        note(CopyStep::Wrote(count));
    }
}

/// The checksum of a table, with its texts as the target can store them.
async fn sum(
    mut pages: CopiedPages<'_>,
    place: &str,
    is_strict: bool,
    table: &'static CopiedTable,
    note: &mut impl FnMut(CopyStep),
) -> Result<Checksum, CopyError> {
    let (mut fit, mut sum) = (Fit::new(is_strict), Checksum::default());
    loop {
        let mut rows = next(&mut pages, table, place).await?;
        if rows.is_empty() {
            return Ok(sum);
        }
        for row in &mut rows {
            fit.change(row, table);
            sum.add(row);
        }
        note(CopyStep::Read(rows.len() as u64));
    }
}

async fn next(
    pages: &mut CopiedPages<'_>,
    table: &'static CopiedTable,
    place: &str,
) -> Result<Vec<super::database::copy_ends::CopiedRow>, CopyError> {
    pages.next().await.map_err(|why| CopyError::Read { table: table.name, place: place.to_owned(), why })
}
