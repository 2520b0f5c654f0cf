//! The rows whose words are indexed, each with what the index has of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value};

use crate::server::database::sql::search;

/// What `words` makes of a text. Counted up when that changes: every document is then made again.
const ANALYSIS: u32 = 1;
/// How long before it was written an event happened that is history, in milliseconds: hooks that could not deliver keep
/// what they have for a week.
const HISTORY: i64 = 8 * 24 * 3_600_000;

/// A row, and its document if it has one.
///
/// Texts are read as bytes: plain SQL can store some that are none.
#[derive(Clone, Debug, FromQueryResult)]
pub(super) struct IndexedRow {
    pub(super) id: String,
    pub(super) task_id: String,
    project: Vec<u8>,
    /// Of an event.
    pub(super) position: Option<i64>,
    /// Of a bookmark.
    pub(super) bookmark_id: Option<String>,
    title: Vec<u8>,
    text: Option<Vec<u8>>,
    /// When it happened. Of an event.
    created_at: Option<i64>,
    pub(super) document: Option<i64>,
    fingerprint: Option<i64>,
}

/// Which of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum IndexedTable {
    Tasks,
    Bookmarks,
    Events,
}

impl IndexedTable {
    /// Those with these ids.
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

    /// The newest that are older than `at`, a key of their table.
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

/// Events of a task behind a position.
pub(super) async fn events_of(
    tx: &impl ConnectionTrait,
    task: &str,
    after: i64,
    most: u32,
) -> Result<Vec<IndexedRow>, DbErr> {
    search::EVENTS_OF_TASK.all(tx, [task.into(), after.into(), most.into()]).await
}

/// Events of these tasks.
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

/// Bookmarks of a task behind an id.
pub(super) async fn bookmarks_of(
    tx: &impl ConnectionTrait,
    task: &str,
    after: &str,
    most: u32,
) -> Result<Vec<IndexedRow>, DbErr> {
    search::BOOKMARKS_OF_TASK.all(tx, [task.into(), after.into(), most.into()]).await
}

impl IndexedRow {
    pub(super) fn project(&self) -> String {
        String::from_utf8_lossy(&self.project).into_owned()
    }

    pub(super) fn title(&self) -> String {
        String::from_utf8_lossy(&self.title).into_owned()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.text.as_deref().unwrap_or_default()).into_owned()
    }

    pub(super) fn bytes(&self) -> usize {
        self.title.len() + self.text.as_ref().map_or(0, Vec::len)
    }

    /// Whether it had long happened when it was written, as what is imported: its id has the time of that.
    pub(super) fn is_history(&self) -> bool {
        let written = uuid::Uuid::try_parse(&self.id).ok().filter(|id| id.get_version_num() == 7);
        let written = written.and_then(|id| id.get_timestamp()).map(|at| at.to_unix());
        let (Some((seconds, _)), Some(happened)) = (written, self.created_at) else { return false };
        i64::try_from(seconds).is_ok_and(|seconds| seconds.saturating_mul(1_000).saturating_sub(happened) > HISTORY)
    }

    /// What its document is known by.
    pub(super) fn fresh_fingerprint(&self) -> i64 {
        let mut hasher = DefaultHasher::new();
        (ANALYSIS, &self.project, &self.title, &self.text).hash(&mut hasher);
        hasher.finish().cast_signed()
    }

    /// Whether its document is as it should be.
    pub(super) fn is_indexed(&self) -> bool {
        self.document.is_some() && self.fingerprint == Some(self.fresh_fingerprint())
    }
}

/// Ids as one value.
pub(super) fn list(ids: &[&str]) -> String {
    serde_json::Value::from(ids).to_string()
}
