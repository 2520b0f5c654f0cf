//! An index that does not fit together, made again from the rows.

use std::time::{Duration, Instant};

use crate::server::access::scope::Scope;
use crate::server::database::sql::search_writes;
use crate::server::database::{Database, DatabaseError, WriteTransaction};

/// Makes the index again, empty: all rows are to be walked. For how long that held up others.
///
/// One transaction, and the only long one: some hundred milliseconds for a million rows. It fails where SQLite cannot
/// read the pages that it would free.
pub(super) async fn rebuild(database: &Database) -> Result<Duration, DatabaseError> {
    let make = async |tx: &WriteTransaction| {
        let began = Instant::now();
        if search_writes::DROP_INDEX.execute_all(tx).await.is_err() {
            // What says how to read it is gone: without that it cannot be dropped either.
            search_writes::MAKE_INDEX_READABLE.execute_all(tx).await?;
            search_writes::DROP_INDEX.execute_all(tx).await?;
        }
        search_writes::MAKE_INDEX.execute_all(tx).await?;
        Ok::<_, DatabaseError>(began)
    };
    let (began, _) = database.write(Scope::All, make).await?.into_parts();
    database.search_index().begin_generation();
    Ok(began.elapsed())
}
