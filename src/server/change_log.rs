//! The change log: the only source of notices.
//!
//! The database's triggers append to `changes`; [`tail`] reads what it has not read yet and hands it on with the cursor
//! that contains it. A bell only wakes it: what is sent always comes from the table, so a lost ring costs milliseconds
//! and never a notice. [`since`] asks the same table what a client that comes back has missed, and [`upkeep`] folds it
//! into the figures and prunes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use requery_entities::change;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::access::scope::Scope;
use super::database::sqlite::bell::Bell;
use super::database::{Database, DatabaseError, ReadTransaction};
use crate::protocol::model::FinalStatus;
use crate::protocol::{
    BookmarkDeleted, BookmarkSaved, Cursor, EventLogged, EventUpdated, Notice, NoticeKind, SessionEnded,
    SessionStarted, TaskCompleted, TaskDeleted, TaskStarted, TaskUpdated, TasksPurged,
};

pub mod upkeep;

/// How many changes are read at once. A bound on memory; the rest follows at once.
const BATCH: u64 = 1_000;
/// How far behind a cursor may be to be continued. Reading more costs more than starting afresh.
const REACH: u64 = 100_000;
/// How often a database that is away is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What the tail hands on.
#[derive(Clone, Debug, PartialEq)]
pub enum Tailed {
    /// What changed, in the order of the log, and the cursor that contains it and everything before.
    Changed(Vec<Notice>, Cursor),
    /// Something changed that this version has no notice for.
    Unknown(Cursor),
    /// The file is another one, or may be: whatever anyone holds is in doubt.
    Reopened(Cursor),
    /// The database cannot be read; the text says why.
    Away(String),
}

/// Hands on what is appended to the log, from now on and until `shutdown`.
///
/// Whatever happens to the file is survived: it is opened anew as soon as that is possible. `news` is rung for others who
/// follow the log in their own time.
pub async fn tail(
    database: Database,
    from: Cursor,
    sink: mpsc::Sender<Tailed>,
    news: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let ended = shutdown.run_until_cancelled(async {
        let mut from = from;
        let mut reopened: Option<Instant> = None;
        // The receiver is gone only when the server ends.
        while !sink.is_closed() {
            let error = match follow(&database, from.clone(), &sink, &news).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            tracing::warn!(%error, "the change log cannot be followed; opening the database anew");
            // What opens and then cannot be followed, time and again, takes no core and no disk.
            if let Some(at) = reopened {
                tokio::time::sleep(RETRY.saturating_sub(at.elapsed())).await;
            }
            from = match reopen(&database, &sink).await {
                Some(cursor) => cursor,
                None => return,
            };
            reopened = Some(Instant::now());
        }
    });
    ended.await;
}

/// Follows the log of the file as it is open now. Returns only when that is no longer possible.
async fn follow(
    database: &Database,
    from: Cursor,
    sink: &mpsc::Sender<Tailed>,
    news: &Notify,
) -> Result<std::convert::Infallible, DatabaseError> {
    let mut bell = Bell::connect(database).await?;
    let mut next = from.snapshot().xmax();
    let mut seen: Option<change::Model> = None;
    loop {
        loop {
            let rows = bell.changes(next, BATCH).await?;
            let Some(last) = rows.last() else { break };
            bell.stay_awake();
            news.notify_one();
            next = last.id.unsigned_abs() + 1;
            let full = rows.len() as u64 == BATCH;
            let cursor = Cursor::counter(from.epoch(), next);
            seen = rows.last().cloned();
            let tailed = match rows.iter().map(notice).collect() {
                Some(notices) => Tailed::Changed(notices, cursor),
                None => Tailed::Unknown(cursor),
            };
            if sink.send(tailed).await.is_err() || !full {
                break;
            }
        }
        bell.check(database, from.epoch(), next, seen.as_ref()).await?;
        bell.wait(database).await?;
    }
}

/// Opens the database anew, for as long as it takes. None when nobody is there to be told any more.
async fn reopen(database: &Database, sink: &mpsc::Sender<Tailed>) -> Option<Cursor> {
    let mut told = false;
    loop {
        let opened = match database.reopen().await {
            Ok(()) => database.snapshot().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match opened {
            Ok(read) => {
                let cursor = read.cursor().clone();
                tracing::info!(epoch = cursor.epoch(), "the database is open again");
                sink.send(Tailed::Reopened(cursor.clone())).await.ok()?;
                return Some(cursor);
            }
            Err(reason) if told => tracing::debug!(reason, "the database is still away"),
            Err(reason) => {
                tracing::error!(reason, "the database is away; it is tried again every second");
                sink.send(Tailed::Away(reason)).await.ok()?;
                told = true;
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// What changed after `cursor`, or none where that cannot be told: another history, a pruned log, too much.
///
/// Of several changes of one kind to one task one is given.
pub async fn since(
    read: &ReadTransaction,
    cursor: &Cursor,
    scope: &Scope,
    most: u64,
) -> Result<Option<Vec<Notice>>, DbErr> {
    let Some(first) = continues(read, cursor).await? else { return Ok(None) };
    let mut query = change::Entity::find().filter(change::Column::Id.gte(first));
    if let Some(project) = scope.project() {
        query = query.filter(change::Column::Project.eq(project));
    }
    let rows = query
        .group_by(change::Column::Kind)
        .group_by(change::Column::Project)
        .group_by(change::Column::TaskId)
        .group_by(change::Column::ParentTaskId)
        .order_by_asc(change::Column::Id)
        .limit(most + 1)
        .all(read)
        .await?;
    if rows.len() as u64 > most { Ok(None) } else { Ok(rows.iter().map(notice).collect()) }
}

/// The id of the first change that `cursor` does not contain, if the log tells all of them.
async fn continues(read: &ReadTransaction, cursor: &Cursor) -> Result<Option<i64>, DbErr> {
    const SQL: &str = "select \
        (select later.begins from runs later where later.id > run.id order by later.id limit 1) as ends, \
        (select min(id) from changes) as floor \
        from runs run where run.token = ?";
    let (first, now) = (cursor.snapshot().xmax(), read.cursor().snapshot().xmax());
    if cursor.snapshot().xmin() != first || first > now || now - first > REACH {
        return Ok(None);
    }
    let first = i64::try_from(first).unwrap_or(i64::MAX);
    let statement = Statement::from_sql_and_values(read.get_database_backend(), SQL, [cursor.epoch().into()]);
    let Some(run) = read.query_one_raw(statement).await? else { return Ok(None) };
    let (ends, floor) = (run.try_get::<Option<i64>>("", "ends")?, run.try_get::<Option<i64>>("", "floor")?);
    let within_its_run = ends.is_none_or(|ends| first <= ends);
    // A log without rows tells nothing: its floor is what comes next.
    let above_the_floor = floor.unwrap_or(now.cast_signed()) <= first;
    Ok((within_its_run && above_the_floor && first > 0).then_some(first))
}

/// The notice that a row of the log is. None for a kind that came later.
fn notice(row: &change::Model) -> Option<Notice> {
    let project = row.project.clone();
    let task_id = || row.task_id.as_deref()?.parse().ok();
    let parent_task_id = row.parent_task_id.as_deref().and_then(|id| id.parse().ok());
    let object = row.object_id.as_deref();
    macro_rules! of_task {
        ($name:ident) => {
            Notice::$name($name { task_id: task_id()?, project, parent_task_id })
        };
    }
    macro_rules! of_object {
        ($name:ident, $id:ident) => {
            Notice::$name($name { $id: object?.parse().ok()?, task_id: task_id()?, project })
        };
    }
    let found = match NoticeKind::parse(&row.kind)? {
        NoticeKind::TaskStarted => of_task!(TaskStarted),
        NoticeKind::TaskUpdated => of_task!(TaskUpdated),
        NoticeKind::TaskDeleted => of_task!(TaskDeleted),
        NoticeKind::TaskCompleted => {
            let status = FinalStatus::parse(row.status.as_deref()?)?;
            Notice::TaskCompleted(TaskCompleted { task_id: task_id()?, project, parent_task_id, status })
        }
        NoticeKind::TasksPurged => Notice::TasksPurged(TasksPurged { count: row.count?.unsigned_abs(), project }),
        NoticeKind::SessionStarted => of_object!(SessionStarted, session_id),
        NoticeKind::SessionEnded => of_object!(SessionEnded, session_id),
        NoticeKind::EventLogged => of_object!(EventLogged, event_id),
        NoticeKind::EventUpdated => of_object!(EventUpdated, event_id),
        NoticeKind::BookmarkSaved => of_object!(BookmarkSaved, bookmark_id),
        NoticeKind::BookmarkDeleted => of_object!(BookmarkDeleted, bookmark_id),
    };
    Some(found)
}
