//! An index that does not fit together, made again from the rows.

use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;

use crate::server::access::scope::Scope;
use crate::server::database::{Database, DatabaseError, WriteTransaction};

/// Makes the index again, empty: all rows are to be walked. For how long that held up others.
///
/// One transaction, and the only long one: some hundred milliseconds for a million rows. It fails where SQLite cannot
/// read the pages that it would free.
pub(super) async fn rebuild(database: &Database) -> Result<Duration, DatabaseError> {
    let make = async |tx: &WriteTransaction| {
        let began = Instant::now();
        if tx.execute_unprepared(DROP).await.is_err() {
            // What says how to read it is gone: without that it cannot be dropped either.
            tx.execute_unprepared(READABLE).await?;
            tx.execute_unprepared(DROP).await?;
        }
        tx.execute_unprepared(MAKE).await?;
        Ok::<_, DatabaseError>(began)
    };
    let (began, _) = database.write(Scope::All, make).await?.into_parts();
    database.index().renew();
    Ok(began.elapsed())
}

const DROP: &str = "drop table if exists search_words; drop table if exists search_index";

const READABLE: &str = "
create table if not exists search_index_config (k primary key, v) without rowid;
insert or replace into search_index_config (k, v) values ('version', 5)";

/// The same as in its migrations.
const MAKE: &str = "
create virtual table search_index using fts5 (
    title, text, scope, content = '', contentless_delete = 1, tokenize = 'ascii'
);
insert into search_index (search_index, rank) values ('automerge', 0);
insert into search_index (search_index, rank) values ('crisismerge', 1000);
insert into search_index (search_index, rank) values ('usermerge', 16);
create virtual table search_words using fts5vocab (search_index, instance);
delete from search_documents;
delete from search_tasks;
update searched set (next, document, stage, stage_at, stage_document) = (0, 1, null, null, null);
";
