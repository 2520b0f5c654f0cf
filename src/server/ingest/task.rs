//! Starting and changing tasks; deletions and purges are in modules of their own.

use requery_entities::{StoredText, task};
use sea_orm::sea_query::LockType;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QuerySelect};

use super::bounds::{Bounds, CheckedBody, check};
use super::{Invalid, Saved, WriteError};
use crate::protocol::TaskId;
use crate::protocol::limits;
use crate::protocol::model::{TaskMode, TaskStatus, Timestamp};
use crate::protocol::write::{Change, NewTask, TaskPatch};
use crate::server::access::scope::Scope;
use crate::server::database::{WriteTransaction, in_scope, sql};

mod row;
pub use row::{TaskChanges, TaskToStart, WorkChanges, change, insert, set_changed_at};

mod purge;
pub use purge::{PurgeConditions, PurgeStep, TREES_AT_ONCE};

mod deletion;
pub use deletion::{Deletion, TASKS_AT_ONCE, delete, delete_last_part, delete_part, parts_of_tree};

mod leaving;
pub use leaving::{ROWS_AT_ONCE, delete_left_rows, free_bookmark_id, free_event_ids, free_session_id, is_leaving};

pub(super) const TASK: &str = "task";
const NOT_THE_PROJECT_ABOVE: &str = "a task below another task has the project of that task";
const NOT_IN_SCOPE: &str = "the caller cannot write this project";
/// The source of a task whose writer names none.
const DEFAULT_SOURCE: &str = "api";

/// Starts a task. If a task with this id and this parent exists, it stays as it is.
pub async fn start(tx: &WriteTransaction, new: NewTask, now_ms: i64) -> Result<(TaskId, Saved), WriteError> {
    check(&new)?;
    let created_at = new.created_at.as_ref().map_or(now_ms, Timestamp::as_ms);
    let waiting_since = new.waiting_since.as_ref().map(Timestamp::as_ms);
    if let Some(id) = &new.task_id {
        tx.lock(&format!("task {id}")).await?;
    }
    if let Some(id) = &new.task_id
        && let Some((project, parent)) = place_of(tx, id).await?
    {
        let is_same = parent.as_deref() == new.parent_task_id.as_ref().map(TaskId::as_str);
        return if is_same && tx.scope().contains(&project) {
            Ok((id.clone(), Saved::There))
        } else {
            Err(WriteError::conflict(TASK, id))
        };
    }
    let inherited = match &new.parent_task_id {
        Some(parent) => project_below(tx, parent, new.task_id.as_ref()).await?,
        None => tx.scope().project_or(String::new()),
    };
    if let Some(project) = &new.project {
        if !tx.scope().contains(project) {
            return Err(WriteError::invalid("project", NOT_IN_SCOPE));
        }
        if new.parent_task_id.is_some() && *project != inherited {
            return Err(WriteError::invalid("project", NOT_THE_PROJECT_ABOVE));
        }
    }

    let id = new.task_id.unwrap_or_else(|| TaskId::new_at(now_ms));
    let status = new.status.unwrap_or(TaskStatus::Running);
    let waits = status == TaskStatus::Waiting;
    let has_reason = waits || status == TaskStatus::Errored;
    let task = TaskToStart {
        project: new.project.unwrap_or(inherited),
        status,
        status_reason: new.status_reason.filter(|_| has_reason),
        status_detail: new.status_detail.filter(|_| has_reason),
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
pub async fn update(tx: &WriteTransaction, id: &TaskId, patch: TaskPatch) -> Result<(), WriteError> {
    check(&patch)?;
    // The row decides which values are changes, so no other writer may change it meanwhile.
    let found = in_scope::task(tx.scope(), id.as_str()).lock(LockType::NoKeyUpdate);
    let Some(row) = found.one(tx).await? else {
        return Err(WriteError::not_found(TASK, id));
    };
    let project = patch.project.filter(|project| row.project != project.as_str());
    if let Some(project) = &project {
        if let Some(parent) = &row.parent_task_id
            && project_of(tx, parent).await?.is_some_and(|above| above != *project)
        {
            return Err(WriteError::invalid("project", NOT_THE_PROJECT_ABOVE));
        }
        if !tx.scope().contains(project) {
            return Err(WriteError::invalid("project", NOT_IN_SCOPE));
        }
        if !may_move(tx, tx.scope(), id.as_str(), project).await? {
            let detail = "the project has a task with the source and the external id of this one";
            return Err(WriteError::invalid("project", detail));
        }
    }
    // Only a waiting or errored task has a reason and a detail, and only a waiting task has a time since when it waits.
    // For another status these fields of the patch are dropped.
    let status = patch.status.or(TaskStatus::parse(&row.status));
    let waits = status == Some(TaskStatus::Waiting);
    let has_reason = waits || status == Some(TaskStatus::Errored);
    if waits && patch.waiting_since == Change::Clear {
        return Err(WriteError::invalid("waiting_since", "cannot be null, because the task waits"));
    }
    let waiting_since = patch.waiting_since.value().map(Timestamp::as_ms);
    let gets_another = status.is_some_and(|status| row.status != status.as_str());
    let status_reason = patch
        .status_reason
        .into_next()
        .filter(|_| has_reason)
        .filter(|reason| gets_another || row.status_reason.as_deref() != reason.as_deref());
    let status_detail =
        patch.status_detail.into_next().filter(|_| has_reason).filter(|detail| {
            gets_another || status_reason.is_some() || row.status_detail.as_deref() != detail.as_deref()
        });
    let changes = TaskChanges {
        title: patch.title.filter(|title| *title != row.title),
        project,
        status: patch.status.filter(|status| row.status != status.as_str()),
        status_reason,
        status_detail,
        status_since: waiting_since.filter(|since| waits && *since != row.status_since),
        // A writer that sets a status knows it.
        status_certain: patch.status.filter(|_| row.status_certain == 0).map(|_| true),
        mode: patch.mode.filter(|mode| row.mode != mode.as_str()),
        workspace: patch.workspace.into_next().filter(|workspace| row.workspace.as_deref() != workspace.as_deref()),
        summary: patch.summary.into_next().filter(|summary| row.summary.as_deref() != summary.as_deref()),
        ..TaskChanges::default()
    };
    Ok(change(tx, id.as_str(), changes).await?)
}

/// Whether a task can move to a project for a caller that may write `scope`: no task of its tree meets a task of the
/// same source and external id there.
pub async fn may_move(tx: &impl ConnectionTrait, scope: &Scope, id: &str, project: &str) -> Result<bool, DbErr> {
    Ok(scope.contains(project) && sql::tasks::MEETS_ITSELF.number(tx, [id.into(), project.into()]).await? == 0)
}

/// The project and the parent of the task that has this id, in whichever project it is.
async fn place_of(tx: &WriteTransaction, id: &TaskId) -> Result<Option<(String, Option<String>)>, WriteError> {
    let place = task::Entity::find_by_id(id.as_str())
        .select_only()
        .columns([task::Column::Project, task::Column::ParentTaskId]);
    let place = place.into_tuple::<(StoredText, Option<StoredText>)>().one(tx).await?;
    Ok(place.map(|(project, parent)| (project.into(), parent.map(String::from))))
}

/// The project of a new task with the id `id` below the task `parent`.
async fn project_below(tx: &WriteTransaction, parent: &TaskId, id: Option<&TaskId>) -> Result<String, WriteError> {
    #[derive(FromQueryResult)]
    struct Above {
        levels: i64,
        has_id: bool,
    }
    let project = in_scope::task(tx.scope(), parent.as_str()).select_only().column(task::Column::Project);
    let project = project.lock(LockType::KeyShare);
    let Some(project) = project.into_tuple::<StoredText>().one(tx).await? else {
        return Err(WriteError::missing("parent_task_id", TASK, parent));
    };
    let values = [parent.as_str().into(), limits::TASK_LEVELS.into(), id.map(TaskId::as_str).into()];
    match sql::tasks::ABOVE.one::<Above>(tx, values).await? {
        // A task that an earlier version left below a missing task is in the way.
        Some(above) if above.has_id => Err(WriteError::invalid("parent_task_id", "a task cannot be below itself")),
        Some(above) if above.levels >= limits::TASK_LEVELS => {
            let detail = format!("task {parent} is {} levels deep, and no task can be below it", limits::TASK_LEVELS);
            Err(WriteError::invalid("parent_task_id", detail))
        }
        Some(_) | None => Ok(project.into()),
    }
}

async fn project_of(tx: &WriteTransaction, id: &str) -> Result<Option<String>, WriteError> {
    let project = task::Entity::find_by_id(id).select_only().column(task::Column::Project);
    Ok(project.into_tuple::<StoredText>().one(tx).await?.map(String::from))
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
        bounds.characters("status_detail", self.status_detail.as_deref(), limits::STATUS_DETAIL_CHARACTERS);
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
        let detail = self.status_detail.value().map(String::as_str);
        bounds.characters("status_detail", detail, limits::STATUS_DETAIL_CHARACTERS);
        bounds.bytes("summary", self.summary.value().map(String::as_str));
        bounds.time("waiting_since", self.waiting_since.value());
        bounds.into_found()
    }
}
