//! Starting, changing, deleting and purging tasks.

use requery_entities::task;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ConnectionTrait, EntityTrait, QuerySelect};

use super::bounds::{self, Bounds};
use super::{Saved, WriteError};
use crate::protocol::TaskId;
use crate::protocol::model::{TaskMode, TaskStatus};
use crate::protocol::write::{NewTask, TaskPatch};
use crate::server::database::sql;

mod purge;
pub use purge::purge;

const TASK: &str = "task";
/// Where tasks come from that do not say.
const API: &str = "api";

/// How deep tasks can be within one another. Deleting a tree goes down it by triggers, and SQLite stops those after a
/// thousand levels.
const DEPTH: i64 = 100;

/// Begins a task. The same id below the same parent is the same task, and stays as it is.
pub async fn start(tx: &impl ConnectionTrait, new: NewTask, now_ms: i64) -> Result<(TaskId, Saved), WriteError> {
    let mut bounds = Bounds::new();
    bounds.needed("title", &new.title, bounds::LINE);
    bounds.project(new.project.as_deref());
    if let Some(source) = &new.source {
        bounds.needed("source", source, bounds::SOURCE);
    }
    bounds.characters("workspace", new.workspace.as_deref(), bounds::WORKSPACE);
    bounds.characters("status_reason", new.status_reason.as_deref(), bounds::LINE);
    bounds.bytes("summary", new.summary.as_deref());
    let created_at = bounds.time("created_at", new.created_at.as_ref()).unwrap_or(now_ms);
    let waiting_since = bounds.time("waiting_since", new.waiting_since.as_ref());
    bounds.finish()?;

    if let Some(id) = &new.task_id
        && let Some(parent) = parent_of(tx, id).await?
    {
        return if parent.as_deref() == new.parent_task_id.as_ref().map(TaskId::as_str) {
            Ok((id.clone(), Saved::There))
        } else {
            Err(WriteError::Conflict { what: TASK, id: id.to_string(), detail: "is part of another task" })
        };
    }
    let inherited = match &new.parent_task_id {
        Some(parent) => match project_of(tx, parent).await? {
            Some(_) if depth_of(tx, parent).await? >= DEPTH => {
                let detail = format!("task {parent} is {DEPTH} levels deep, and nothing can be below it");
                return Err(WriteError::invalid("parent_task_id", detail));
            }
            Some(project) => project,
            None => return Err(WriteError::invalid("parent_task_id", format!("there is no task {parent}"))),
        },
        None => String::new(),
    };

    let id = new.task_id.unwrap_or_else(TaskId::fresh);
    let status = new.status.unwrap_or(TaskStatus::Running);
    let waits = status == TaskStatus::Waiting;
    let has_reason = waits || status == TaskStatus::Errored;
    let row = task::ActiveModel {
        id: Set(id.to_string()),
        title: Set(new.title),
        project: Set(new.project.unwrap_or(inherited)),
        status: Set(status.to_string()),
        mode: Set(new.mode.unwrap_or(TaskMode::Primary).to_string()),
        parent_task_id: Set(new.parent_task_id.map(|id| id.to_string())),
        parent_session_id: Set(new.parent_session_id.map(|id| id.to_string())),
        workspace: Set(new.workspace),
        source: Set(new.source.unwrap_or_else(|| API.to_owned())),
        external_id: NotSet,
        status_reason: Set(new.status_reason.filter(|_| has_reason)),
        status_since: Set(waiting_since.filter(|_| waits).unwrap_or(now_ms)),
        summary: Set(new.summary),
        ingest_state: NotSet,
        heard_at: NotSet,
        process: NotSet,
        stale_since: NotSet,
        stale_reason: NotSet,
        event_count: NotSet,
        changed_at: Set(now_ms),
        created_at: Set(created_at),
    };
    task::Entity::insert(row).exec_without_returning(tx).await?;
    Ok((id, Saved::New))
}

/// Changes what is said and leaves the rest. What says the same as before is no change, and nobody is told.
pub async fn update(tx: &impl ConnectionTrait, id: &TaskId, patch: TaskPatch) -> Result<(), WriteError> {
    let mut bounds = Bounds::new();
    if let Some(title) = &patch.title {
        bounds.needed("title", title, bounds::LINE);
    }
    bounds.project(patch.project.as_deref());
    bounds.characters("workspace", patch.workspace.as_deref(), bounds::WORKSPACE);
    bounds.characters("status_reason", patch.status_reason.as_deref(), bounds::LINE);
    bounds.bytes("summary", patch.summary.as_deref());
    let waiting_since = bounds.time("waiting_since", patch.waiting_since.as_ref());
    bounds.finish()?;

    let Some(row) = task::Entity::find_by_id(id.as_str()).one(tx).await? else {
        return Err(not_found(id));
    };
    // Why and since when it waits are said of a task that waits, why it errored of one that did; another's are not kept.
    let status = patch.status.or(TaskStatus::parse(&row.status));
    let waits = status == Some(TaskStatus::Waiting);
    let has_reason = waits || status == Some(TaskStatus::Errored);
    let mut next = task::ActiveModel { id: Set(row.id), ..Default::default() };
    let mut changed = false;
    macro_rules! change {
        ($($field:ident = $value:expr),* $(,)?) => {$(
            if let Some(value) = $value && value != row.$field {
                next.$field = Set(value);
                changed = true;
            }
        )*};
    }
    change! {
        title = patch.title,
        project = patch.project,
        status = patch.status.map(|status| status.to_string()),
        mode = patch.mode.map(|mode| mode.to_string()),
        workspace = patch.workspace.map(Some),
        status_reason = patch.status_reason.filter(|_| has_reason).map(Some),
        status_since = waiting_since.filter(|_| waits),
        summary = patch.summary.map(Some),
    }
    if changed {
        task::Entity::update(next).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Deletes a task and all that is below it or belongs to it.
pub async fn delete(tx: &impl ConnectionTrait, id: &TaskId) -> Result<(), WriteError> {
    let deleted = task::Entity::delete_by_id(id.as_str()).exec(tx).await?;
    if deleted.rows_affected == 0 { Err(not_found(id)) } else { Ok(()) }
}

pub(super) fn not_found(id: &TaskId) -> WriteError {
    WriteError::NotFound { what: TASK, id: id.to_string() }
}

async fn parent_of(tx: &impl ConnectionTrait, id: &TaskId) -> Result<Option<Option<String>>, WriteError> {
    let parent = task::Entity::find_by_id(id.as_str()).select_only().column(task::Column::ParentTaskId);
    Ok(parent.into_tuple::<Option<String>>().one(tx).await?)
}

async fn project_of(tx: &impl ConnectionTrait, id: &TaskId) -> Result<Option<String>, WriteError> {
    let project = task::Entity::find_by_id(id.as_str()).select_only().column(task::Column::Project);
    Ok(project.into_tuple::<String>().one(tx).await?)
}

/// How many tasks there are from this one up to the top of its tree, as far as it matters.
async fn depth_of(tx: &impl ConnectionTrait, id: &TaskId) -> Result<i64, WriteError> {
    let depth = sql::tasks::DEPTH.value(tx, [id.as_str().into(), DEPTH.into()]).await?;
    Ok(depth.unwrap_or(0))
}
