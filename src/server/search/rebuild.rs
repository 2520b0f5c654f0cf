//! Rebuilds a corrupt index.

use std::time::{Duration, Instant};

use crate::server::access::scope::Scope;
use crate::server::database::sql::search_writes;
use crate::server::database::{Database, DatabaseError, WriteTransaction};

/// Replaces the index by an empty one, so that the index job walks all rows. Returns how long the write lock was held.
///
/// This is one transaction, and the only long one: some hundred milliseconds for a million rows. It fails if SQLite
/// cannot read the pages that it would free.
pub(super) async fn rebuild(database: &Database) -> Result<Duration, DatabaseError> {
    let began = match make(database, false).await {
        Ok(began) => began,
        Err(error @ (DatabaseError::Busy | DatabaseError::Away(_))) => return Err(error),
        // The table with the format version of the index may be missing: without it SQLite cannot drop the index.
        Err(_) => make(database, true).await?,
    };
    database.search_index().begin_generation();
    Ok(began.elapsed())
}

/// Replaces the index in one transaction, after it was made readable if that is asked for.
async fn make(database: &Database, readable_first: bool) -> Result<Instant, DatabaseError> {
    let make = async |tx: &WriteTransaction| {
        let began = Instant::now();
        if readable_first {
            search_writes::MAKE_INDEX_READABLE.execute_all(tx).await?;
        }
        search_writes::DROP_INDEX.execute_all(tx).await?;
        search_writes::MAKE_INDEX.execute_all(tx).await?;
        Ok::<_, DatabaseError>(began)
    };
    Ok(database.write(Scope::All, make).await?.into_parts().0)
}
