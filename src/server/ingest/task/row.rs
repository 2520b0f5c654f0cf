//! The rows of tasks, as every verb writes them.
//!
//! The forms here are checked already: a request by the verbs of the parent module, a hook or a transcript by the code
//! that read it. No other module writes the table.

use requery_entities::{StoredText, task};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::protocol::limits;
use crate::protocol::model::{StaleReason, TaskMode, TaskStatus, Todo};
use crate::protocol::{SessionId, TaskId};
use crate::server::database::sql;

/// A task to begin.
#[derive(Clone, Debug)]
pub struct TaskToStart {
    /// Its id.
    pub id: TaskId,
    /// Its title.
    pub title: String,
    /// Its project; empty for none.
    pub project: String,
    /// Its status.
    pub status: TaskStatus,
    /// The reason of that status.
    pub status_reason: Option<String>,
    /// The question, the command or the error that goes with the status.
    pub status_detail: Option<String>,
    /// The time since when it has that status.
    pub status_since: i64,
    /// Whether that status is known to be true.
    pub status_certain: bool,
    /// Its mode.
    pub mode: TaskMode,
    /// The task that it is part of.
    pub parent_task_id: Option<TaskId>,
    /// The session that began it.
    pub parent_session_id: Option<SessionId>,
    /// The folder of the work.
    pub workspace: Option<String>,
    /// The runtime, or another writer's name.
    pub source: String,
    /// The runtime's name for its session.
    pub external_id: Option<String>,
    /// Its summary.
    pub summary: Option<String>,
    /// The state that the ingest of hooks keeps about the agent, as JSON.
    pub ingest_state: Option<String>,
    /// The time of the last hook. None: no hook reports on this task.
    pub heard_at: Option<i64>,
    /// The process of the agent.
    pub process: Option<String>,
    /// The state of the agent's work.
    pub work: WorkChanges,
    /// The time of its beginning.
    pub created_at: i64,
    /// The time of its last change.
    pub changed_at: i64,
}

impl TaskToStart {
    /// A task that runs since `at_ms`; every other field has its default.
    pub fn new(id: TaskId, title: String, source: String, at_ms: i64) -> Self {
        Self {
            id,
            title,
            project: String::new(),
            status: TaskStatus::Running,
            status_reason: None,
            status_detail: None,
            status_since: at_ms,
            status_certain: true,
            mode: TaskMode::Primary,
            parent_task_id: None,
            parent_session_id: None,
            workspace: None,
            source,
            external_id: None,
            summary: None,
            ingest_state: None,
            heard_at: None,
            process: None,
            work: WorkChanges::default(),
            created_at: at_ms,
            changed_at: at_ms,
        }
    }
}

/// Changes of a task; a field that is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct TaskChanges {
    /// Its title.
    pub title: Option<String>,
    /// Its project.
    pub project: Option<String>,
    /// Its status. The database's trigger sets `status_since`, unless that field has a value too.
    pub status: Option<TaskStatus>,
    /// The reason of the status.
    pub status_reason: Option<Option<String>>,
    /// The question, the command or the error that goes with the status.
    pub status_detail: Option<Option<String>>,
    /// The time since when it has its status.
    pub status_since: Option<i64>,
    /// Whether the status is known to be true. The database's trigger makes another status certain, unless this field
    /// has a value too.
    pub status_certain: Option<bool>,
    /// Its mode.
    pub mode: Option<TaskMode>,
    /// The folder of the work.
    pub workspace: Option<Option<String>>,
    /// Its summary.
    pub summary: Option<Option<String>>,
    /// The state that the ingest of hooks keeps about the agent, as JSON.
    pub ingest_state: Option<Option<String>>,
    /// The time of the last hook.
    pub heard_at: Option<i64>,
    /// The process of the agent.
    pub process: Option<Option<String>>,
    /// The state of the agent's work.
    pub work: WorkChanges,
    /// The flag of a silent agent: its reason, and the time since when the task has it.
    pub stale: Option<Option<(StaleReason, i64)>>,
    /// The time of its beginning.
    pub created_at: Option<i64>,
}

/// Changes of the state of the work on a task; a field that is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkChanges {
    /// The agent's own list.
    pub todos: Option<Vec<Todo>>,
    /// The model of the agent.
    pub model: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The hash of the last commit.
    pub commit: Option<String>,
    /// The address of the last pull request.
    pub pull_request: Option<String>,
}

impl WorkChanges {
    fn todos_as_json(&self) -> Option<StoredText> {
        let todos = self.todos.as_ref()?;
        // The last entries of a list that is too long for its column are left out.
        let mut fits = todos.len();
        loop {
            let text = serde_json::to_string(&todos[..fits]).ok()?;
            if text.len() <= limits::TODO_LIST_BYTES || fits == 0 {
                return Some(text.into());
            }
            fits = fits * limits::TODO_LIST_BYTES / (text.len() + 1);
        }
    }
}

/// Writes a new task.
pub async fn insert(tx: &impl ConnectionTrait, task: TaskToStart) -> Result<(), DbErr> {
    let row = task::ActiveModel {
        id: Set(task.id.to_string().into()),
        title: Set(task.title.into()),
        project: Set(task.project.into()),
        status: Set(task.status.as_str().into()),
        mode: Set(task.mode.as_str().into()),
        parent_task_id: Set(task.parent_task_id.map(|id| id.as_str().into())),
        parent_session_id: Set(task.parent_session_id.map(|id| id.as_str().into())),
        workspace: Set(task.workspace.map(StoredText::from)),
        source: Set(task.source.into()),
        external_id: Set(task.external_id.map(StoredText::from)),
        status_reason: Set(task.status_reason.map(StoredText::from)),
        status_detail: Set(task.status_detail.map(StoredText::from)),
        status_since: Set(task.status_since),
        status_certain: Set(task.status_certain.into()),
        summary: Set(task.summary.map(StoredText::from)),
        ingest_state: Set(task.ingest_state.map(StoredText::from)),
        heard_at: Set(task.heard_at),
        process: Set(task.process.map(StoredText::from)),
        stale_since: NotSet,
        stale_reason: NotSet,
        todos: Set(task.work.todos_as_json()),
        model: Set(task.work.model.map(StoredText::from)),
        branch: Set(task.work.branch.map(StoredText::from)),
        last_commit: Set(task.work.commit.map(StoredText::from)),
        pull_request: Set(task.work.pull_request.map(StoredText::from)),
        event_count: NotSet,
        changed_at: Set(task.changed_at),
        listed_at: NotSet,
        created_at: Set(task.created_at),
    };
    task::Entity::insert(row).exec_without_returning(tx).await.map(drop)
}

/// Writes changes of a task, in one statement that names only the changed columns: the triggers fire for named columns.
/// Without a change there is no statement.
pub async fn change(tx: &impl ConnectionTrait, id: &str, changes: TaskChanges) -> Result<(), DbErr> {
    let row = task::ActiveModel {
        title: set(changes.title.map(StoredText::from)),
        project: set(changes.project.map(StoredText::from)),
        status: set(changes.status.map(|status| status.as_str().into())),
        status_reason: set(changes.status_reason.map(|reason| reason.map(StoredText::from))),
        status_detail: set(changes.status_detail.map(|detail| detail.map(StoredText::from))),
        status_since: set(changes.status_since),
        status_certain: set(changes.status_certain.map(i64::from)),
        mode: set(changes.mode.map(|mode| mode.as_str().into())),
        workspace: set(changes.workspace.map(|workspace| workspace.map(StoredText::from))),
        summary: set(changes.summary.map(|summary| summary.map(StoredText::from))),
        ingest_state: set(changes.ingest_state.map(|state| state.map(StoredText::from))),
        heard_at: set(changes.heard_at.map(Some)),
        process: set(changes.process.map(|process| process.map(StoredText::from))),
        stale_since: set(changes.stale.map(|stale| stale.map(|(_, since)| since))),
        stale_reason: set(changes.stale.map(|stale| stale.map(|(reason, _)| reason.as_str().into()))),
        created_at: set(changes.created_at),
        todos: set(changes.work.todos_as_json().map(Some)),
        model: set(changes.work.model.map(|model| Some(model.into()))),
        branch: set(changes.work.branch.map(|branch| Some(branch.into()))),
        last_commit: set(changes.work.commit.map(|commit| Some(commit.into()))),
        pull_request: set(changes.work.pull_request.map(|address| Some(address.into()))),
        ..Default::default()
    };
    if !row.is_changed() {
        return Ok(());
    }
    task::Entity::update_many().set(row).filter(task::Column::Id.eq(id)).exec(tx).await.map(drop)
}

/// Sets the time of the last change of a task. No notice follows, so the change itself is in the same transaction.
pub async fn set_changed_at(tx: &impl ConnectionTrait, id: &str, changed_at: i64) -> Result<(), DbErr> {
    sql::tasks::SETTLE.execute(tx, [id.into()]).await?;
    sql::tasks::SET_CHANGED_AT.execute(tx, [id.into(), changed_at.into()]).await?;
    sql::tasks::SETTLED.execute(tx, [id.into()]).await.map(drop)
}

fn set<T: Into<sea_orm::Value>>(value: Option<T>) -> ActiveValue<T> {
    value.map_or(NotSet, Set)
}
