//! Starting and changing tasks; deletions and purges are in modules of their own.

use requery_entities::{StoredText, task};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QuerySelect};

use super::bounds::{Bounds, CheckedBody, check};
use super::{Invalid, Saved, WriteError};
use crate::protocol::TaskId;
use crate::protocol::limits;
use crate::protocol::model::{TaskMode, TaskStatus, Timestamp};
use crate::protocol::write::{Change, NewTask, TaskPatch};
use crate::server::database::sql;

mod row;
pub use row::{TaskChanges, TaskToStart, change, insert, set_changed_at};

mod purge;
pub use purge::{PurgeConditions, PurgeStep, TREES_AT_ONCE};

mod deletion;
pub use deletion::{Deletion, TASKS_AT_ONCE, delete, delete_last_part, delete_part, parts_of_tree};

mod leaving;
pub use leaving::{ROWS_AT_ONCE, delete_left_rows, free_bookmark_id, free_event_ids, free_session_id, is_leaving};

const TASK: &str = "task";
const NOT_THE_PROJECT_ABOVE: &str = "a task below another task has the project of that task";
/// The source of a task whose writer names none.
const DEFAULT_SOURCE: &str = "api";

/// Starts a task. If a task with this id and this parent exists, it stays as it is.
pub async fn start(tx: &impl ConnectionTrait, new: NewTask, now_ms: i64) -> Result<(TaskId, Saved), WriteError> {
    check(&new)?;
    let created_at = new.created_at.as_ref().map_or(now_ms, Timestamp::as_ms);
    let waiting_since = new.waiting_since.as_ref().map(Timestamp::as_ms);
    if let Some(id) = &new.task_id
        && let Some(parent) = parent_of(tx, id).await?
    {
        return if parent.as_deref() == new.parent_task_id.as_ref().map(TaskId::as_str) {
            Ok((id.clone(), Saved::There))
        } else {
            Err(WriteError::Conflict { what: TASK, id: id.to_string(), detail: "has another parent task" })
        };
    }
    let inherited = match &new.parent_task_id {
        Some(parent) => match project_of(tx, parent.as_str()).await? {
            Some(_) if depth_of(tx, parent).await? >= limits::TASK_LEVELS => {
                let detail =
                    format!("task {parent} is {} levels deep, and no task can be below it", limits::TASK_LEVELS);
                return Err(WriteError::invalid("parent_task_id", detail));
            }
            Some(project) => project,
            None => return Err(WriteError::invalid("parent_task_id", format!("there is no task {parent}"))),
        },
        None => String::new(),
    };

    if new.parent_task_id.is_some() && new.project.as_ref().is_some_and(|project| *project != inherited) {
        return Err(WriteError::invalid("project", NOT_THE_PROJECT_ABOVE));
    }

    let id = new.task_id.unwrap_or_else(|| TaskId::new_at(now_ms));
    let status = new.status.unwrap_or(TaskStatus::Running);
    let waits = status == TaskStatus::Waiting;
    let has_reason = waits || status == TaskStatus::Errored;
    let task = TaskToStart {
        project: new.project.unwrap_or(inherited),
        status,
        status_reason: new.status_reason.filter(|_| has_reason),
        status_since: waiting_since.filter(|_| waits).unwrap_or(now_ms),
        mode: new.mode.unwrap_or(TaskMode::Primary),
        parent_task_id: new.parent_task_id,
        parent_session_id: new.parent_session_id,
        workspace: new.workspace,
        summary: new.summary,
        created_at,
        ..TaskToStart::new(id.clone(), new.title, new.source.unwrap_or_else(|| DEFAULT_SOURCE.to_owned()), now_ms)
    };
    insert(tx, task).await?;
    Ok((id, Saved::New))
}

/// Changes the fields that `patch` has and leaves the rest. A value that the task has already is no change and causes
/// no notice.
pub async fn update(tx: &impl ConnectionTrait, id: &TaskId, patch: TaskPatch) -> Result<(), WriteError> {
    check(&patch)?;
    let Some(row) = task::Entity::find_by_id(id.as_str()).one(tx).await? else {
        return Err(not_found(id));
    };
    let project = patch.project.filter(|project| row.project != project.as_str());
    if let Some(project) = &project {
        if let Some(parent) = &row.parent_task_id
            && project_of(tx, parent).await?.is_some_and(|above| above != *project)
        {
            return Err(WriteError::invalid("project", NOT_THE_PROJECT_ABOVE));
        }
        if !may_move(tx, id.as_str(), project).await? {
            let detail = "the project has a task with the source and the external id of this one";
            return Err(WriteError::invalid("project", detail));
        }
    }
    // Only a waiting or errored task has a reason, and only a waiting task has a time since when it waits. For another
    // status these fields of the patch are dropped.
    let status = patch.status.or(TaskStatus::parse(&row.status));
    let waits = status == Some(TaskStatus::Waiting);
    let has_reason = waits || status == Some(TaskStatus::Errored);
    if waits && patch.waiting_since == Change::Clear {
        return Err(WriteError::invalid("waiting_since", "cannot be null, because the task waits"));
    }
    let waiting_since = patch.waiting_since.value().map(Timestamp::as_ms);
    let gets_another = status.is_some_and(|status| row.status != status.as_str());
    let changes = TaskChanges {
        title: patch.title.filter(|title| *title != row.title),
        project,
        status: patch.status.filter(|status| row.status != status.as_str()),
        status_reason: patch
            .status_reason
            .into_next()
            .filter(|_| has_reason)
            .filter(|reason| gets_another || row.status_reason.as_deref() != reason.as_deref()),
        status_since: waiting_since.filter(|since| waits && *since != row.status_since),
        mode: patch.mode.filter(|mode| row.mode != mode.as_str()),
        workspace: patch.workspace.into_next().filter(|workspace| row.workspace.as_deref() != workspace.as_deref()),
        summary: patch.summary.into_next().filter(|summary| row.summary.as_deref() != summary.as_deref()),
        ..TaskChanges::default()
    };
    Ok(change(tx, id.as_str(), changes).await?)
}

/// Whether a task can move to a project: no task of its tree meets a task of the same source and external id there.
pub async fn may_move(tx: &impl ConnectionTrait, id: &str, project: &str) -> Result<bool, DbErr> {
    Ok(sql::tasks::MEETS_ITSELF.number(tx, [id.into(), project.into()]).await? == 0)
}

pub(super) fn not_found(id: &TaskId) -> WriteError {
    WriteError::NotFound { what: TASK, id: id.to_string() }
}

async fn parent_of(tx: &impl ConnectionTrait, id: &TaskId) -> Result<Option<Option<String>>, WriteError> {
    let parent = task::Entity::find_by_id(id.as_str()).select_only().column(task::Column::ParentTaskId);
    let parent = parent.into_tuple::<Option<StoredText>>().one(tx).await?;
    Ok(parent.map(|parent| parent.map(String::from)))
}

async fn project_of(tx: &impl ConnectionTrait, id: &str) -> Result<Option<String>, WriteError> {
    let project = task::Entity::find_by_id(id).select_only().column(task::Column::Project);
    Ok(project.into_tuple::<StoredText>().one(tx).await?.map(String::from))
}

/// The number of tasks from this one up to the root of its tree, counted up to the limit.
async fn depth_of(tx: &impl ConnectionTrait, id: &TaskId) -> Result<i64, WriteError> {
    let depth = sql::tasks::DEPTH.value(tx, [id.as_str().into(), limits::TASK_LEVELS.into()]).await?;
    Ok(depth.unwrap_or(0))
}

impl CheckedBody for NewTask {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        bounds.required("title", &self.title, limits::LINE_CHARACTERS);
        bounds.project(self.project.as_deref());
        if let Some(source) = &self.source {
            bounds.required("source", source, limits::SOURCE_CHARACTERS);
        }
        bounds.characters("workspace", self.workspace.as_deref(), limits::WORKSPACE_CHARACTERS);
        bounds.characters("status_reason", self.status_reason.as_deref(), limits::LINE_CHARACTERS);
        bounds.bytes("summary", self.summary.as_deref());
        bounds.time("created_at", self.created_at.as_ref());
        bounds.time("waiting_since", self.waiting_since.as_ref());
        bounds.into_found()
    }
}

impl CheckedBody for TaskPatch {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        if let Some(title) = &self.title {
            bounds.required("title", title, limits::LINE_CHARACTERS);
        }
        bounds.project(self.project.as_deref());
        bounds.characters("workspace", self.workspace.value().map(String::as_str), limits::WORKSPACE_CHARACTERS);
        bounds.characters("status_reason", self.status_reason.value().map(String::as_str), limits::LINE_CHARACTERS);
        bounds.bytes("summary", self.summary.value().map(String::as_str));
        bounds.time("waiting_since", self.waiting_since.value());
        bounds.into_found()
    }
}
