//! Tasks: pages of tasks, and the detail of one task.

use std::collections::BTreeSet;

use requery_entities::{StoredText, session, task};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, DerivePartialModel, EntityTrait, FromQueryResult, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Select, SelectModel, Selector,
};

use super::page::{self, ListName, MomentKey, PageWindow};
pub use super::task_list::TaskFilter;
use super::{count, id, reference, task_list, time, timeline, usage, work};
use crate::protocol::limits;
use crate::protocol::model::{
    ChildTask, Session, SessionStatus, StaleReason, Task, TaskDetail, TaskFigures, TaskMode, TaskPage, TaskStatus,
    Timestamp, TodoProgress,
};
use crate::protocol::{SessionId, TaskId};
use crate::server::access::scope::Scope;
use crate::server::database::{ReadTransaction, in_scope, sql};

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
    let backend = tx.get_database_backend();
    let found = task_list::ids(backend, tx.scope(), filter, window, limit);
    let query = task::Entity::find().filter(task::Column::Id.in_subquery(found));
    let query = page::in_order(query, (sql::tasks::changed_at(backend), task::Column::Id), window);
    let rows = TaskRow::select(backend, query).all(tx).await?;
    let page = page::page(list(tx.scope(), filter), rows, window, limit, |row| MomentKey::new(row.changed_at, &row.id));
    let items = page.rows.into_iter().filter_map(TaskRow::task).collect();
    Ok(TaskPage { items, next: page.next, previous: page.previous })
}

/// One task, without its sessions, its parts and its events.
pub async fn summary(tx: &impl ConnectionTrait, scope: &Scope, task_id: &TaskId) -> Result<Option<Task>, DbErr> {
    let row = TaskRow::select(tx.get_database_backend(), in_scope::task(scope, task_id.as_str())).one(tx).await?;
    Ok(row.and_then(TaskRow::task))
}

/// One task with its sessions, its parts and its newest events.
pub async fn detail(tx: &ReadTransaction, task_id: &TaskId) -> Result<Option<TaskDetail>, DbErr> {
    let found = in_scope::task(tx.scope(), task_id.as_str());
    let row = TaskRow::select(tx.get_database_backend(), found).one(tx).await?;
    let todos = row.as_ref().map(|row| work::todos(row.todos.as_deref())).unwrap_or_default();
    let Some(task) = row.and_then(TaskRow::task) else { return Ok(None) };
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
        sessions: shown_sessions.into_iter().filter_map(session).collect(),
        children: shown_children.into_iter().filter_map(ChildRow::task).collect(),
        figures,
        usage,
        models,
        todos,
        open_calls: work::open_calls(tx, task_id).await?,
        files: work::files(tx, task_id).await?,
        timeline: timeline::newest(tx, task_id, limits::DETAIL_EVENTS).await?,
    }))
}

/// The ones of these tasks that exist outside of the transaction's scope.
pub async fn out_of_scope(tx: &ReadTransaction, ids: &[&TaskId]) -> Result<BTreeSet<TaskId>, DbErr> {
    let Some(project) = tx.scope().project() else { return Ok(BTreeSet::new()) };
    let ids = serde_json::json!(ids).to_string();
    let rows: Vec<IdRow> = sql::tasks::OF_OTHER_PROJECTS.all(tx, [ids.into(), project.into()]).await?;
    Ok(rows.iter().filter_map(|row| id(&row.id)).collect())
}

/// One session.
pub async fn session_of(tx: &impl ConnectionTrait, session_id: &SessionId) -> Result<Option<Session>, DbErr> {
    Ok(session::Entity::find_by_id(session_id.as_str()).one(tx).await?.and_then(session))
}

/// The columns of a task, without the columns that only the ingest of hooks reads.
#[derive(FromQueryResult)]
pub(super) struct TaskRow {
    pub(super) id: StoredText,
    title: StoredText,
    project: StoredText,
    status: StoredText,
    mode: StoredText,
    parent_task_id: Option<StoredText>,
    parent_session_id: Option<StoredText>,
    workspace: Option<StoredText>,
    source: StoredText,
    status_reason: Option<StoredText>,
    status_detail: Option<StoredText>,
    status_since: i64,
    status_certain: i64,
    stale_since: Option<i64>,
    stale_reason: Option<StoredText>,
    summary: Option<StoredText>,
    event_count: i64,
    changed_at: i64,
    created_at: i64,
    pub(super) todos: Option<StoredText>,
    model: Option<StoredText>,
    branch: Option<StoredText>,
    last_commit: Option<StoredText>,
    pull_request: Option<StoredText>,
}

#[derive(FromQueryResult)]
struct IdRow {
    id: StoredText,
}

#[derive(DerivePartialModel)]
#[sea_orm(entity = "task::Entity")]
pub(super) struct ChildRow {
    pub(super) id: StoredText,
    title: StoredText,
    project: StoredText,
    status: StoredText,
    mode: StoredText,
    status_reason: Option<StoredText>,
    status_since: i64,
    status_certain: i64,
    stale_since: Option<i64>,
    created_at: i64,
}

impl TaskRow {
    /// The rows of a query. The number of events and the time of the last change are in no column.
    pub(super) fn select(backend: DbBackend, tasks: Select<task::Entity>) -> Selector<SelectModel<Self>> {
        use task::Column;
        tasks
            .select_only()
            .columns([Column::Id, Column::Title, Column::Project, Column::Status, Column::Mode])
            .columns([Column::ParentTaskId, Column::ParentSessionId, Column::Workspace, Column::Source])
            .columns([Column::StatusReason, Column::StatusDetail, Column::StatusSince, Column::StatusCertain])
            .columns([Column::StaleSince, Column::StaleReason, Column::Summary])
            .column_as(sql::tasks::event_count(backend), "event_count")
            .column_as(sql::tasks::changed_at(backend), "changed_at")
            .columns([Column::CreatedAt, Column::Todos, Column::Model, Column::Branch, Column::LastCommit])
            .column(Column::PullRequest)
            .into_model()
    }

    /// The task. None if the row has no id or no status that the protocol has: the schema was changed or bypassed.
    pub(super) fn task(self) -> Option<Task> {
        let row = self;
        let status = TaskStatus::parse(&row.status)?;
        Some(Task {
            task_id: id(&row.id)?,
            title: row.title.into(),
            project: row.project.into(),
            status,
            mode: mode(&row.mode),
            parent_task_id: reference(row.parent_task_id.as_ref()),
            parent_session_id: reference(row.parent_session_id.as_ref()),
            workspace: row.workspace.map(String::from),
            source: row.source.into(),
            status_reason: row.status_reason.filter(|_| has_reason(status)).map(String::from),
            status_detail: row.status_detail.filter(|_| has_reason(status)).map(String::from),
            status_certain: row.status_certain != 0,
            waiting_since: waits(status).then(|| time(row.status_since)),
            stale_since: row.stale_since.map(time),
            stale_reason: row.stale_reason.as_deref().and_then(StaleReason::parse),
            summary: row.summary.map(String::from),
            event_count: count(row.event_count),
            created_at: time(row.created_at),
            changed_at: time(row.changed_at),
            ended_at: ended_at(status, row.status_since),
            progress: TodoProgress::of(&work::todos(row.todos.as_deref())),
            model: row.model.map(String::from),
            branch: row.branch.map(String::from),
            commit: row.last_commit.map(String::from),
            pull_request: row.pull_request.map(String::from),
        })
    }
}

impl ChildRow {
    /// The child, or none as in [`TaskRow::task`].
    pub(super) fn task(self) -> Option<ChildTask> {
        let row = self;
        let status = TaskStatus::parse(&row.status)?;
        Some(ChildTask {
            task_id: id(&row.id)?,
            title: row.title.into(),
            project: row.project.into(),
            status,
            mode: mode(&row.mode),
            status_reason: row.status_reason.filter(|_| has_reason(status)).map(String::from),
            status_certain: row.status_certain != 0,
            stale_since: row.stale_since.map(time),
            created_at: time(row.created_at),
            ended_at: ended_at(status, row.status_since),
        })
    }
}

pub(super) fn session(row: session::Model) -> Option<Session> {
    Some(Session {
        session_id: id(&row.id)?,
        task_id: id(&row.task_id)?,
        source: row.source.into(),
        runtime_session_id: row.runtime_session_id.map(String::from),
        status: SessionStatus::parse(&row.status).unwrap_or(SessionStatus::Lost),
        summary: row.summary.map(String::from),
        started_at: time(row.started_at),
        ended_at: row.ended_at.map(time),
        model: row.model.map(String::from),
        host: row.host.map(String::from),
    })
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
