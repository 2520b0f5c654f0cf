//! Tasks with `since`: the changes of a page of tasks, and the changes of the detail of one task.

use requery_entities::{StoredText, session, task};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};

use super::page::{ListName, MomentKey, PageWindow};
use super::since::{self, ListChange};
use super::task::{self as whole, ChildRow, TaskFilter, TaskRow};
use super::{count, task_list, timeline, usage, work};
use crate::protocol::limits;
use crate::protocol::model::{ChildrenSince, SessionsSince, TaskDetailSince, TaskFigures, TasksSince};
use crate::protocol::{Cursor, TaskId};
use crate::server::change_log::RunAndRows;
use crate::server::database::{ReadTransaction, in_scope, most_changed_rows, sql};

/// The changes of a page of tasks since `cursor`. None: the caller needs the whole answer.
pub async fn page(
    tx: &ReadTransaction,
    filter: &TaskFilter,
    window: &PageWindow<MomentKey>,
    limit: u64,
    cursor: &Cursor,
) -> Result<Option<TasksSince>, DbErr> {
    let project = tx.scope().project().into();
    let changed = since::changed_rows(tx, cursor, sql::change_log::CHANGED_TASKS, [project], limit).await?;
    let Some(changed) = changed else { return Ok(None) };
    let backend = tx.get_database_backend();
    let found = since::keys(tx, task_list::keys(backend, tx.scope(), filter, window, limit)).await?;
    let list = whole::list(tx.scope(), filter);
    let change = found.and_then(|found| ListChange::by_moment(list, found, window, limit, changed));
    let Some(change) = change else { return Ok(None) };
    let rows = TaskRow::select(backend, task::Entity::find().filter(task::Column::Id.is_in(ids(&change))));
    let rows = rows.all(tx).await?.into_iter().filter_map(|row| Some((own(&row.id), row.task()?)));
    Ok(change.with_rows(rows))
}

/// The parts of a detail that the log names, or that it does not name all of them.
#[derive(FromQueryResult)]
struct ChangedDetail {
    is_vague: bool,
    task: bool,
    usage: bool,
    files: bool,
    events: StoredText,
    sessions: StoredText,
    children: StoredText,
    #[sea_orm(nested)]
    run: RunAndRows,
}

/// The changes of the detail of a task since `cursor`. None: the caller needs the whole answer, or there is no such
/// task.
pub async fn detail(tx: &ReadTransaction, task_id: &TaskId, cursor: &Cursor) -> Result<Option<TaskDetailSince>, DbErr> {
    let Some(part) = since::part_after(tx, cursor) else { return Ok(None) };
    let values = part.into_iter().chain([task_id.as_str().into()]);
    let changed: Option<ChangedDetail> = sql::change_log::CHANGED_DETAIL.one(tx, values).await?;
    let Some(changed) = changed.filter(|changed| !changed.is_vague && changed.run.continue_at(tx, cursor)) else {
        return Ok(None);
    };
    let rows = |json: &StoredText, limit| since::list(tx, json).filter(|ids| ids.len() <= most_changed_rows(limit));
    let (Some(events), Some(sessions), Some(children)) = (
        rows(&changed.events, limits::DETAIL_EVENTS),
        rows(&changed.sessions, limits::DETAIL_ROWS),
        rows(&changed.children, limits::DETAIL_ROWS),
    ) else {
        return Ok(None);
    };
    let found = in_scope::task(tx.scope(), task_id.as_str());
    let row = TaskRow::select(tx.get_database_backend(), found).one(tx).await?;
    let todos = row.as_ref().map(|row| work::todos(row.todos.as_deref())).filter(|_| changed.task);
    let Some(task) = row.and_then(TaskRow::task) else { return Ok(None) };
    let has_events = !events.is_empty();
    let mut detail = TaskDetailSince {
        full: false,
        task: None,
        sessions: None,
        children: None,
        figures: None,
        usage: None,
        models: None,
        todos,
        open_calls: None,
        files: None,
        timeline: None,
    };
    if has_events || !sessions.is_empty() || !children.is_empty() {
        detail.figures = Some(figures(tx, task_id, task.event_count).await?);
    }
    if changed.task || has_events {
        detail.task = Some(task);
    }
    if changed.usage {
        let (total, models) = usage::of_task(tx, task_id).await?;
        (detail.usage, detail.models) = (Some(total), Some(models));
    }
    if !sessions.is_empty() {
        let Some(sessions) = sessions_since(tx, task_id, sessions).await? else { return Ok(None) };
        detail.sessions = Some(sessions);
    }
    if !children.is_empty() {
        let Some(children) = children_since(tx, task_id, children).await? else { return Ok(None) };
        detail.children = Some(children);
    }
    if changed.files {
        detail.files = Some(work::files(tx, task_id).await?);
    }
    if has_events {
        detail.open_calls = Some(work::open_calls(tx, task_id).await?);
        let changes = timeline::changes(tx, task_id, &PageWindow::Newest, limits::DETAIL_EVENTS, events);
        let Some(timeline) = changes.await? else { return Ok(None) };
        detail.timeline = Some(timeline);
    }
    Ok(Some(detail))
}

async fn figures(tx: &ReadTransaction, task_id: &TaskId, events: u64) -> Result<TaskFigures, DbErr> {
    #[derive(FromQueryResult)]
    struct Counts {
        sessions: i64,
        children: i64,
    }
    let counts: Option<Counts> = sql::tasks::COUNTS.one(tx, [task_id.as_str().into()]).await?;
    let counts = counts.ok_or_else(|| DbErr::RecordNotFound("the counts of a task".to_owned()))?;
    Ok(TaskFigures { events, sessions: count(counts.sessions), children: count(counts.children) })
}

async fn sessions_since(
    tx: &ReadTransaction,
    task_id: &TaskId,
    changed: Vec<String>,
) -> Result<Option<SessionsSince>, DbErr> {
    let newest = session::Entity::find()
        .filter(session::Column::TaskId.eq(task_id.as_str()))
        .order_by_desc(session::Column::StartedAt)
        .order_by_desc(session::Column::Id)
        .limit(limits::DETAIL_ROWS)
        .select_only()
        .column(session::Column::Id)
        .column_as(session::Column::StartedAt, "at");
    let found = since::keys(tx, newest.into_query()).await?;
    let Some(change) = found.and_then(|found| of_detail(found, changed)) else { return Ok(None) };
    let rows = session::Entity::find().filter(session::Column::Id.is_in(ids(&change))).all(tx).await?;
    Ok(change.with_rows(rows.into_iter().filter_map(|row| Some((own(&row.id), whole::session(row)?)))))
}

async fn children_since(
    tx: &ReadTransaction,
    task_id: &TaskId,
    changed: Vec<String>,
) -> Result<Option<ChildrenSince>, DbErr> {
    let newest = task::Entity::find()
        .filter(task::Column::ParentTaskId.eq(task_id.as_str()))
        .order_by_desc(task::Column::CreatedAt)
        .order_by_desc(task::Column::Id)
        .limit(limits::DETAIL_ROWS)
        .select_only()
        .column(task::Column::Id)
        .column_as(task::Column::CreatedAt, "at");
    let found = since::keys(tx, newest.into_query()).await?;
    let Some(change) = found.and_then(|found| of_detail(found, changed)) else { return Ok(None) };
    let rows = task::Entity::find().filter(task::Column::Id.is_in(ids(&change))).into_partial_model::<ChildRow>();
    let rows = rows.all(tx).await?.into_iter().filter_map(|row| Some((own(&row.id), row.task()?)));
    Ok(change.with_rows(rows))
}

/// The difference of a list of the detail, which has one page.
fn of_detail(found: Vec<MomentKey>, changed: Vec<String>) -> Option<ListChange<String>> {
    ListChange::by_moment(ListName::new("detail", &[]), found, &PageWindow::Newest, limits::DETAIL_ROWS, changed)
}

fn ids(change: &ListChange<String>) -> impl Iterator<Item = &str> {
    change.keys().map(String::as_str)
}

fn own(id: &StoredText) -> String {
    id.before_replaced().to_owned()
}
