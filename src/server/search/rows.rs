//! The rows whose words are indexed, each with what the index has of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement, Value};

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

const EVENTS: &str = "
select e.id, e.task_id, cast(t.project as blob) as project, e.position, null as bookmark_id,
    cast(e.title as blob) as title, cast(e.body as blob) as text, e.created_at, d.id as document, d.fingerprint
from events e join tasks t on t.id = e.task_id left join search_tasks s on s.task_id = e.task_id
    left join search_documents d on d.task = s.number and d.position = e.position ";

const BOOKMARKS: &str = "
select b.id, b.task_id, cast(t.project as blob) as project, null as position, b.id as bookmark_id,
    cast(b.title as blob) as title, cast(b.note as blob) as text, null as created_at, d.id as document, d.fingerprint
from bookmarks b join tasks t on t.id = b.task_id left join search_documents d on d.bookmark_id = b.id ";

const TASKS: &str = "
select t.id, t.id as task_id, cast(t.project as blob) as project, null as position, null as bookmark_id,
    cast(t.title as blob) as title, cast(t.summary as blob) as text, null as created_at, d.id as document, d.fingerprint
from tasks t left join search_tasks s on s.task_id = t.id
    left join search_documents d on d.task = s.number and d.position is null and d.bookmark_id is null ";

/// Which of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum IndexedTable {
    Tasks,
    Bookmarks,
    Events,
}

impl IndexedTable {
    fn select(self) -> &'static str {
        match self {
            IndexedTable::Tasks => TASKS,
            IndexedTable::Bookmarks => BOOKMARKS,
            IndexedTable::Events => EVENTS,
        }
    }

    /// Those with these ids.
    pub(super) async fn named(self, tx: &impl ConnectionTrait, ids: &[&str]) -> Result<Vec<IndexedRow>, DbErr> {
        let id = match self {
            IndexedTable::Tasks => "t.id",
            IndexedTable::Bookmarks => "b.id",
            IndexedTable::Events => "e.id",
        };
        self.rows(tx, &format!("where {id} in (select value from json_each(?))"), [list(ids).into()], ids.len()).await
    }

    /// The newest that are older than `at`, a key of their table.
    pub(super) async fn before(
        self,
        tx: &impl ConnectionTrait,
        at: Option<&str>,
        most: u32,
    ) -> Result<Vec<IndexedRow>, DbErr> {
        let (key, at) = match self {
            IndexedTable::Tasks => ("t.id", Value::from(at.unwrap_or("~"))),
            IndexedTable::Bookmarks => ("b.id", Value::from(at.unwrap_or("~"))),
            IndexedTable::Events => ("e.position", at.and_then(|at| at.parse().ok()).unwrap_or(i64::MAX).into()),
        };
        let which = format!("where {key} < ? order by {key} desc limit {most}");
        self.rows(tx, &which, [at], most as usize).await
    }

    async fn rows<const N: usize>(
        self,
        tx: &impl ConnectionTrait,
        which: &str,
        values: [Value; N],
        most: usize,
    ) -> Result<Vec<IndexedRow>, DbErr> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let sql = format!("{}{which}", self.select());
        IndexedRow::find_by_statement(Statement::from_sql_and_values(tx.get_database_backend(), sql, values))
            .all(tx)
            .await
    }
}

/// Events of a task behind a position.
pub(super) async fn events_of(
    tx: &impl ConnectionTrait,
    task: &str,
    after: i64,
    most: u32,
) -> Result<Vec<IndexedRow>, DbErr> {
    let which = format!("where e.task_id = ? and e.position > ? order by e.position limit {most}");
    IndexedTable::Events.rows(tx, &which, [task.into(), after.into()], most as usize).await
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
    let which = format!("where e.task_id in (select value from json_each(?)) order by e.position limit {most}");
    IndexedTable::Events.rows(tx, &which, [list(tasks).into()], most as usize).await
}

/// Bookmarks of a task behind an id.
pub(super) async fn bookmarks_of(
    tx: &impl ConnectionTrait,
    task: &str,
    after: &str,
    most: u32,
) -> Result<Vec<IndexedRow>, DbErr> {
    let which = format!("where b.task_id = ? and b.id > ? order by b.id limit {most}");
    IndexedTable::Bookmarks.rows(tx, &which, [task.into(), after.into()], most as usize).await
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
