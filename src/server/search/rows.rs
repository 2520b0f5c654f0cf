//! The rows whose words are indexed, each with its document in the index.

use std::hash::{DefaultHasher, Hash, Hasher};

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value};

use super::words;
use crate::server::database::sql::search;

/// An event counts as imported if it was written later than this after it happened, in milliseconds. It is longer than
/// the week for which hooks keep records that they could not deliver.
const HISTORY: i64 = 8 * 24 * 3_600_000;

/// A row, and its document if it has one.
#[derive(Clone, Debug, FromQueryResult)]
pub(super) struct IndexedRow {
    pub(super) id: StoredText,
    pub(super) task_id: StoredText,
    pub(super) project: StoredText,
    /// Only for an event.
    pub(super) position: Option<i64>,
    /// Only for a bookmark.
    pub(super) bookmark_id: Option<StoredText>,
    pub(super) title: StoredText,
    text: Option<StoredText>,
    /// Only for an event: the time at which it happened.
    created_at: Option<i64>,
    pub(super) document: Option<i64>,
    fingerprint: Option<i64>,
}

/// A table whose rows are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum IndexedTable {
    Tasks,
    Bookmarks,
    Events,
}

impl IndexedTable {
    /// The rows with these ids.
    pub(super) async fn named(self, tx: &impl ConnectionTrait, ids: &[&str]) -> Result<Vec<IndexedRow>, DbErr> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = match self {
            IndexedTable::Tasks => search::TASKS_NAMED,
            IndexedTable::Bookmarks => search::BOOKMARKS_NAMED,
            IndexedTable::Events => search::EVENTS_NAMED,
        };
        rows.all(tx, [list(ids).into()]).await
    }

    /// The newest rows that are older than `at`, a key of the table.
    pub(super) async fn before(
        self,
        tx: &impl ConnectionTrait,
        at: Option<&str>,
        most: u32,
    ) -> Result<Vec<IndexedRow>, DbErr> {
        let (rows, at) = match self {
            IndexedTable::Tasks => (search::TASKS_BEFORE, Value::from(at.unwrap_or("~"))),
            IndexedTable::Bookmarks => (search::BOOKMARKS_BEFORE, Value::from(at.unwrap_or("~"))),
            IndexedTable::Events => {
                let position = at.and_then(|at| at.parse().ok()).unwrap_or(i64::MAX);
                (search::EVENTS_BEFORE, Value::from(position))
            }
        };
        rows.all(tx, [at, most.into()]).await
    }
}

/// The first events of a task after a position.
pub(super) async fn events_of(
    tx: &impl ConnectionTrait,
    task: &str,
    after: i64,
    most: u32,
) -> Result<Vec<IndexedRow>, DbErr> {
    search::EVENTS_OF_TASK.all(tx, [task.into(), after.into(), most.into()]).await
}

/// The first events of these tasks.
pub(super) async fn events_of_all(
    tx: &impl ConnectionTrait,
    tasks: &[&str],
    most: u32,
) -> Result<Vec<IndexedRow>, DbErr> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    search::EVENTS_OF_TASKS.all(tx, [list(tasks).into(), most.into()]).await
}

/// The first bookmarks of a task after an id.
pub(super) async fn bookmarks_of(
    tx: &impl ConnectionTrait,
    task: &str,
    after: &str,
    most: u32,
) -> Result<Vec<IndexedRow>, DbErr> {
    search::BOOKMARKS_OF_TASK.all(tx, [task.into(), after.into(), most.into()]).await
}

impl IndexedRow {
    pub(super) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> usize {
        self.title.len() + self.text().len()
    }

    /// Whether the row is an imported event: it was written long after it happened. The time of writing is in its id,
    /// if that is a UUID of version 7.
    pub(super) fn is_history(&self) -> bool {
        let written = uuid::Uuid::try_parse(&self.id).ok().filter(|id| id.get_version_num() == 7);
        let written = written.and_then(|id| id.get_timestamp()).map(|at| at.to_unix());
        let (Some((seconds, _)), Some(happened)) = (written, self.created_at) else { return false };
        i64::try_from(seconds).is_ok_and(|seconds| seconds.saturating_mul(1_000).saturating_sub(happened) > HISTORY)
    }

    /// The fingerprint of the row as it is now. The document keeps the fingerprint of the row that was indexed.
    pub(super) fn fresh_fingerprint(&self) -> i64 {
        let mut hasher = DefaultHasher::new();
        (words::VERSION, &self.project, &self.title, &self.text).hash(&mut hasher);
        hasher.finish().cast_signed()
    }

    /// Whether its document is up to date.
    pub(super) fn is_indexed(&self) -> bool {
        self.document.is_some() && self.fingerprint == Some(self.fresh_fingerprint())
    }
}

/// A JSON array of ids, as one value of a statement.
pub(super) fn list(ids: &[&str]) -> String {
    serde_json::Value::from(ids).to_string()
}
