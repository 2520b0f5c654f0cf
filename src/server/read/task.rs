//! Tasks: pages of tasks, and the detail of one task.

use requery_entities::{session, task};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, DerivePartialModel, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::page::{self, ListName, MomentKey, PageWindow};
use super::{count, id, reference, time, timeline, usage};
use crate::protocol::limits;
use crate::protocol::model::{
    ChildTask, Session, SessionStatus, StaleReason, Task, TaskDetail, TaskFigures, TaskMode, TaskPage, TaskStatus,
    Timestamp,
};
use crate::protocol::{SessionId, TaskId};
use crate::server::access::scope::Scope;
use crate::server::database::ReadTransaction;

/// Which tasks a page lists.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only tasks with this status.
    pub status: Option<TaskStatus>,
    /// Only the tasks that are parts of this task.
    pub parent: Option<TaskId>,
}

/// The list of the tasks in `scope`.
pub fn list(scope: &Scope, filter: &TaskFilter) -> ListName {
    let filters = [scope.project(), filter.status.map(TaskStatus::as_str), filter.parent.as_ref().map(TaskId::as_str)];
    ListName::new("tasks", &filters)
}

/// The tasks in the transaction's scope, the last changed first.
pub async fn page(
    tx: &ReadTransaction,
    filter: &TaskFilter,
    window: &PageWindow<MomentKey>,
    limit: u64,
) -> Result<TaskPage, DbErr> {
    let mut query = task::Entity::find();
    if let Some(project) = tx.scope().project() {
        query = query.filter(task::Column::Project.eq(project));
    }
    if let Some(status) = filter.status {
        query = query.filter(task::Column::Status.eq(status.as_str()));
    }
    if let Some(parent) = &filter.parent {
        query = query.filter(task::Column::ParentTaskId.eq(parent.as_str()));
    }
    let query = page::by_moment(query, (task::Column::ChangedAt, task::Column::Id), window, limit);
    let rows = query.into_partial_model::<TaskRow>().all(tx).await?;
    let page = page::page(list(tx.scope(), filter), rows, window, limit, |row| MomentKey::new(row.changed_at, &row.id));
    let items = page.rows.into_iter().map(Task::try_from).collect::<Result<_, _>>()?;
    Ok(TaskPage { items, next: page.next, previous: page.previous })
}

/// One task, without its sessions, its parts and its events.
pub async fn summary(tx: &impl ConnectionTrait, task_id: &TaskId) -> Result<Option<Task>, DbErr> {
    let row = task::Entity::find_by_id(task_id.as_str()).into_partial_model::<TaskRow>().one(tx).await?;
    row.map(Task::try_from).transpose()
}

/// One task with its sessions, its parts and its newest events.
pub async fn detail(tx: &impl ConnectionTrait, task_id: &TaskId) -> Result<Option<TaskDetail>, DbErr> {
    let Some(task) = summary(tx, task_id).await? else { return Ok(None) };
    let sessions = session::Entity::find().filter(session::Column::TaskId.eq(task_id.as_str()));
    let children = task::Entity::find().filter(task::Column::ParentTaskId.eq(task_id.as_str()));
    let shown_sessions = sessions
        .clone()
        .order_by_desc(session::Column::StartedAt)
        .order_by_desc(session::Column::Id)
        .limit(limits::DETAIL_ROWS)
        .all(tx)
        .await?;
    let shown_children = children
        .clone()
        .order_by_desc(task::Column::CreatedAt)
        .order_by_desc(task::Column::Id)
        .limit(limits::DETAIL_ROWS)
        .into_partial_model::<ChildRow>()
        .all(tx)
        .await?;
    // If all rows are shown, their number is known without a query.
    let all_of = |shown: usize| (shown as u64) < limits::DETAIL_ROWS;
    let figures = TaskFigures {
        events: task.event_count,
        sessions: match shown_sessions.len() {
            shown if all_of(shown) => shown as u64,
            _ => sessions.count(tx).await?,
        },
        children: match shown_children.len() {
            shown if all_of(shown) => shown as u64,
            _ => children.count(tx).await?,
        },
    };
    let (usage, models) = usage::of_task(tx, task_id).await?;
    Ok(Some(TaskDetail {
        task,
        sessions: shown_sessions.into_iter().map(session).collect::<Result<_, _>>()?,
        children: shown_children.into_iter().map(ChildTask::try_from).collect::<Result<_, _>>()?,
        figures,
        usage,
        models,
        timeline: timeline::newest(tx, task_id, limits::DETAIL_EVENTS).await?,
    }))
}

/// One session.
pub async fn session_of(tx: &impl ConnectionTrait, session_id: &SessionId) -> Result<Option<Session>, DbErr> {
    session::Entity::find_by_id(session_id.as_str()).one(tx).await?.map(session).transpose()
}

/// The columns of a task, without the columns that only the ingest of hooks reads.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "task::Entity")]
struct TaskRow {
    id: String,
    title: String,
    project: String,
    status: String,
    mode: String,
    parent_task_id: Option<String>,
    parent_session_id: Option<String>,
    workspace: Option<String>,
    source: String,
    status_reason: Option<String>,
    status_since: i64,
    stale_since: Option<i64>,
    stale_reason: Option<String>,
    summary: Option<String>,
    event_count: i64,
    changed_at: i64,
    created_at: i64,
}

#[derive(DerivePartialModel)]
#[sea_orm(entity = "task::Entity")]
struct ChildRow {
    id: String,
    title: String,
    project: String,
    status: String,
    mode: String,
    status_reason: Option<String>,
    status_since: i64,
    stale_since: Option<i64>,
    created_at: i64,
}

impl TryFrom<TaskRow> for Task {
    type Error = DbErr;

    fn try_from(row: TaskRow) -> Result<Self, DbErr> {
        let status = status(&row.status)?;
        Ok(Task {
            task_id: id(&row.id)?,
            title: row.title,
            project: row.project,
            status,
            mode: mode(&row.mode),
            parent_task_id: reference(row.parent_task_id.as_deref()),
            parent_session_id: reference(row.parent_session_id.as_deref()),
            workspace: row.workspace,
            source: row.source,
            status_reason: row.status_reason.filter(|_| has_reason(status)),
            waiting_since: waits(status).then(|| time(row.status_since)),
            stale_since: row.stale_since.map(time),
            stale_reason: row.stale_reason.as_deref().and_then(StaleReason::parse),
            summary: row.summary,
            event_count: count(row.event_count),
            created_at: time(row.created_at),
            changed_at: time(row.changed_at),
            ended_at: ended_at(status, row.status_since),
        })
    }
}

impl TryFrom<ChildRow> for ChildTask {
    type Error = DbErr;

    fn try_from(row: ChildRow) -> Result<Self, DbErr> {
        let status = status(&row.status)?;
        Ok(ChildTask {
            task_id: id(&row.id)?,
            title: row.title,
            project: row.project,
            status,
            mode: mode(&row.mode),
            status_reason: row.status_reason.filter(|_| has_reason(status)),
            stale_since: row.stale_since.map(time),
            created_at: time(row.created_at),
            ended_at: ended_at(status, row.status_since),
        })
    }
}

fn session(row: session::Model) -> Result<Session, DbErr> {
    Ok(Session {
        session_id: id(&row.id)?,
        task_id: id(&row.task_id)?,
        source: row.source,
        runtime_session_id: row.runtime_session_id,
        status: SessionStatus::parse(&row.status).unwrap_or(SessionStatus::Lost),
        summary: row.summary,
        started_at: time(row.started_at),
        ended_at: row.ended_at.map(time),
    })
}

fn status(text: &str) -> Result<TaskStatus, DbErr> {
    TaskStatus::parse(text).ok_or_else(|| DbErr::Type(format!("`{text}` is not a status of a task")))
}

fn mode(text: &str) -> TaskMode {
    TaskMode::parse(text).unwrap_or(TaskMode::Primary)
}

/// Whether a task with this status has a reason.
fn has_reason(status: TaskStatus) -> bool {
    matches!(status, TaskStatus::Waiting | TaskStatus::Errored)
}

fn waits(status: TaskStatus) -> bool {
    status == TaskStatus::Waiting
}

fn ended_at(status: TaskStatus, since: i64) -> Option<Timestamp> {
    match status {
        TaskStatus::Completed | TaskStatus::Errored => Some(time(since)),
        TaskStatus::Running | TaskStatus::Waiting => None,
    }
}
