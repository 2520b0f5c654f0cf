//! Rebuilds a corrupt index.

use crate::server::database::sql::search_writes;
use crate::server::database::{BackgroundWork, Database, DatabaseError, WriteTransaction};

/// Replaces the index by an empty one, so that the index job walks all rows.
///
/// This is one transaction, and the only long one in the background: some hundred milliseconds for a million rows. It
/// fails if SQLite cannot read the pages that it would free.
pub(super) async fn rebuild(database: &Database) -> Result<(), DatabaseError> {
    match make(database, false).await {
        Ok(()) => {}
        Err(error @ (DatabaseError::Busy | DatabaseError::Closed(_) | DatabaseError::Away(_))) => return Err(error),
        // The table with the format version of the index may be missing: without it SQLite cannot drop the index.
        Err(_) => make(database, true).await?,
    }
    database.search_index().begin_generation();
    Ok(())
}

/// Replaces the index in one transaction, after it was made readable if that is asked for.
async fn make(database: &Database, readable_first: bool) -> Result<(), DatabaseError> {
    let make = async |tx: &WriteTransaction| {
        if readable_first {
            search_writes::MAKE_INDEX_READABLE.execute_all(tx).await?;
        }
        search_writes::DROP_INDEX.execute_all(tx).await?;
        search_writes::MAKE_INDEX.execute_all(tx).await?;
        Ok::<_, DatabaseError>(())
    };
    database.write_in_background(BackgroundWork::Upkeep, make).await?;
    Ok(())
}
