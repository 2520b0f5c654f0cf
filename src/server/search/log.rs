//! The part of the change log that the index has not followed.

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult};

use super::state::IndexState;
use crate::protocol::{NoticeKind, NoticeSubject};
use crate::server::change_log::{Between, LogPlace, has_gaps};
use crate::server::database::Position;
use crate::server::database::sql::search_log;

/// A row of the log.
#[derive(FromQueryResult)]
pub(super) struct IndexedChange {
    id: i64,
    /// The transaction of the row. Only Postgres has it.
    xid: Option<StoredText>,
    pub(super) kind: StoredText,
    pub(super) project: StoredText,
    task_id: Option<StoredText>,
    object_id: Option<StoredText>,
}

/// The row that a change is about.
pub(super) enum IndexedSubject<'a> {
    Task(&'a str),
    Event(&'a str, &'a str),
    Bookmark(&'a str),
    Purge,
    NotIndexed,
}

impl IndexedChange {
    pub(super) fn place(&self) -> LogPlace {
        LogPlace { id: self.id, xid: self.xid.as_ref().and_then(|xid| xid.parse().ok()) }
    }

    pub(super) fn changed_row(&self) -> IndexedSubject<'_> {
        let (task, object) = (self.task_id.as_deref(), self.object_id.as_deref());
        let Some(kind) = NoticeKind::parse(&self.kind) else { return IndexedSubject::NotIndexed };
        match kind.subject() {
            NoticeSubject::Task => task.map_or(IndexedSubject::NotIndexed, IndexedSubject::Task),
            NoticeSubject::Event => match (task, object) {
                (Some(task), Some(event)) => IndexedSubject::Event(task, event),
                _ => IndexedSubject::NotIndexed,
            },
            NoticeSubject::Bookmark => object.map_or(IndexedSubject::NotIndexed, IndexedSubject::Bookmark),
            NoticeSubject::Project => IndexedSubject::Purge,
            NoticeSubject::Session | NoticeSubject::Agent => IndexedSubject::NotIndexed,
        }
    }
}

/// The first `most` of the missing changes.
pub(super) async fn changes(
    tx: &impl ConnectionTrait,
    missing: &Between,
    state: &IndexState,
    most: u32,
) -> Result<Vec<IndexedChange>, DbErr> {
    let mut values = Vec::from(missing.values(tx));
    values.push(most.into());
    if tx.get_database_backend() == DbBackend::Postgres {
        values.extend(state.partly());
    }
    search_log::CHANGES.all(tx, values).await
}

/// Whether the log lacks rows of a part of which `read` rows were read. On Postgres the log says up to where it can
/// lack some.
pub(super) async fn lacks_changes(tx: &impl ConnectionTrait, part: &Between, read: u64) -> Result<bool, DbErr> {
    if tx.get_database_backend() != DbBackend::Postgres {
        return Ok(has_gaps(tx.get_database_backend(), part, read));
    }
    let floor: Option<Position> = search_log::FLOOR.value(tx, []).await?;
    Ok(floor.is_some_and(|floor| !part.start().covers(&floor)))
}

/// How many changes are missing. On Postgres a number above `most` means that there are more than `most`: only the log
/// tells how many changes the transactions between two positions have made.
pub(super) async fn count(tx: &impl ConnectionTrait, missing: &Between, most: u64) -> Result<u64, DbErr> {
    if tx.get_database_backend() != DbBackend::Postgres || missing.is_empty() {
        return Ok(missing.most_changes());
    }
    let mut values = Vec::from(missing.values(tx));
    values.push((most + 1).into());
    search_log::COUNT_CHANGES.number(tx, values).await.map(i64::unsigned_abs)
}
