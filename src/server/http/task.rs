//! Tasks.

use std::collections::BTreeSet;

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::answer::{ChangedRow, NoContent, ReadAnswer, SavedRow};
use super::body::JsonBody;
use super::reading::{PageParameters, ProjectParameter, Reading, SinceParameter};
use super::since::OrSince;
use super::writing::{read_back, write};
use super::{Group, now_ms};
use crate::protocol::limits;
use crate::protocol::model::{Purged, Task, TaskDetail, TaskDetailSince, TaskPage, TaskStatus, TasksSince};
use crate::protocol::write::{NewTask, Purge, TaskPatch};
use crate::protocol::{Cursor, ReadModel, TaskId};
use crate::server::access::scope::Scope;
use crate::server::database::{Database, ListedRows, ReadKey, ReadTransaction};
use crate::server::error::ApiError;
use crate::server::ingest;
use crate::server::ingest::task::{Deletion, PurgeConditions};
use crate::server::read;
use crate::server::read::task::TaskFilter;

pub(super) struct TaskApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1")]
impl TaskApi {
    /// Tasks, the last changed first
    #[oai(path = "/tasks", method = "get", operation_id = "tasks", tag = "Group::Read")]
    async fn tasks(
        &self,
        /// Only tasks of this project. Default: all projects.
        project: ProjectParameter,
        /// Only tasks with this status.
        status: Query<Option<TaskStatus>>,
        /// Only children of this task.
        parent: Query<Option<TaskId>>,
        page: PageParameters,
        /// The `Requery-Cursor` of the answer that the caller holds, made with the same parameters: the answer has only
        /// the changes since then, if they are known and cost less. Otherwise the answer is the whole one.
        since: SinceParameter,
        reading: Reading,
    ) -> Result<ReadAnswer<OrSince<TaskPage, TasksSince>>, ApiError> {
        let filter = TaskFilter { status: status.0, parent: parent.0 };
        let window = page.window(read::task::list(&project.0, &filter))?;
        let key = ReadKey::new("tasks", ReadModel::Overview);
        let key = key.with("status", filter.status).with("parent", filter.parent.as_ref());
        let changes = async |tx: &ReadTransaction, cursor: &Cursor| {
            Ok(read::task_since::page(tx, &filter, &window, page.limit(), cursor).await?)
        };
        let queries = async |tx: &ReadTransaction| Ok(read::task::page(tx, &filter, &window, page.limit()).await?);
        let key = page.extend(key).listing(ListedRows::Tasks, page.limit());
        reading.since(page.since(since)).answer_since(&self.0, project.0, key, changes, queries).await
    }

    /// Begin a task
    ///
    /// A repeated request with the same `task_id` and the same parent makes no change and answers 200 with the task. A
    /// tree of tasks can be 100 levels deep.
    #[oai(path = "/tasks", method = "post", operation_id = "start_task", tag = "Group::Write")]
    async fn start(&self, body: JsonBody<NewTask>) -> Result<SavedRow<Task>, ApiError> {
        let write = write(&self.0, async |tx| {
            let (id, saved) = ingest::task::start(tx, body.0, now_ms()).await?;
            Ok((saved, read_back("task", &id, read::task::summary(tx, tx.scope(), &id)).await?))
        });
        SavedRow::new(write.await?)
    }

    /// One task with its sessions, its children, its usage and its newest events
    #[oai(path = "/tasks/:task_id", method = "get", operation_id = "task", tag = "Group::Read")]
    async fn task(
        &self,
        /// The task.
        task_id: Path<TaskId>,
        /// Only if the task is in this project. Default: in any project.
        project: ProjectParameter,
        /// The `Requery-Cursor` of the answer that the caller holds, made with the same parameters: the answer has only
        /// the changes since then, if they are known and cost less. Otherwise the answer is the whole one.
        since: SinceParameter,
        reading: Reading,
    ) -> Result<ReadAnswer<OrSince<TaskDetail, TaskDetailSince>>, ApiError> {
        let key = ReadKey::new("task", ReadModel::Task(task_id.0.clone())).with("task_id", Some(&task_id.0));
        let key = key.listing(ListedRows::Events, limits::DETAIL_EVENTS);
        let changes =
            async |tx: &ReadTransaction, cursor: &Cursor| Ok(read::task_since::detail(tx, &task_id.0, cursor).await?);
        let queries = async |tx: &ReadTransaction| Ok(read::task::detail(tx, &task_id.0).await?);
        let (row, reading) = (("task", &task_id.0), reading.since(since));
        reading.answer_since_for(row, &self.0, project.0, key, changes, queries).await
    }

    /// Change a task
    ///
    /// A missing field leaves its value as it is. A request that changes no value makes no notice.
    #[oai(path = "/tasks/:task_id", method = "patch", operation_id = "update_task", tag = "Group::Write")]
    async fn update(
        &self,
        /// The task.
        task_id: Path<TaskId>,
        body: JsonBody<TaskPatch>,
    ) -> Result<ChangedRow<Task>, ApiError> {
        let write = write(&self.0, async |tx| {
            ingest::task::update(tx, &task_id.0, body.0).await?;
            read_back("task", &task_id.0, read::task::summary(tx, tx.scope(), &task_id.0)).await
        });
        ChangedRow::new(write.await?)
    }

    /// Delete a task
    ///
    /// Also deletes all tasks below it, and the sessions, events, bookmarks and usage of all these tasks. A tree of
    /// more than 100 tasks is deleted in steps, from its leaves.
    #[oai(path = "/tasks/:task_id", method = "delete", operation_id = "delete_task", tag = "Group::Write")]
    async fn delete(
        &self,
        /// The task.
        task_id: Path<TaskId>,
    ) -> Result<NoContent, ApiError> {
        let id = &task_id.0;
        let delete = write(&self.0, async |tx| Ok(ingest::task::delete(tx, id).await?));
        let (deletion, cursor) = delete.await?.into_parts();
        if deletion == Deletion::Done {
            return Ok(NoContent::at(cursor));
        }
        let read = self.0.snapshot(Scope::All).await?;
        let parts = ingest::task::parts_of_tree(&read, id).await?;
        drop(read);
        for part in parts {
            write(&self.0, async |tx| Ok(ingest::task::delete_part(tx, &part).await?)).await?;
        }
        let delete = write(&self.0, async |tx| Ok(ingest::task::delete_last_part(tx, id).await?));
        Ok(NoContent::new(delete.await?))
    }

    /// Purge finished tasks
    ///
    /// A tree of tasks is purged only if every task in it is completed or errored: as a whole, and in steps if it has
    /// more than 100 tasks. `status` and `project` are compared with the task at the top of the tree. With
    /// `older_than`, every task of the tree must have ended before that time. `{}` purges all finished trees. With
    /// `dry_run: true` no task is deleted, see `purge_dry_run`.
    #[oai(path = "/tasks/purge", method = "post", operation_id = "purge_tasks", tag = "Group::Write")]
    async fn purge(&self, body: JsonBody<Purge>) -> Result<ChangedRow<Purged>, ApiError> {
        if body.0.dry_run == Some(true) {
            return self.purge_dry_run(body).await;
        }
        let conditions = PurgeConditions::read(body.0)?;
        let (mut count, mut after, mut last_step) = (0, String::new(), None);
        loop {
            let read = self.0.snapshot(Scope::All).await?;
            let roots = conditions.next_roots(&read, &after).await?;
            let steps = conditions.steps(&read, &roots).await?;
            drop(read);
            let mut changed = BTreeSet::new();
            for step in steps {
                let Some(step) = step.without(&changed) else { continue };
                let purge = write(&self.0, async |tx| Ok(conditions.purge(tx, &step, now_ms()).await?));
                let committed = purge.await?.map(|purged| {
                    count += purged;
                    changed.extend(step.into_root().filter(|_| purged == 0));
                });
                last_step = Some(committed);
            }
            match roots.last().filter(|_| roots.len() == ingest::task::TREES_AT_ONCE) {
                Some(last) => after.clone_from(last),
                None => break,
            }
        }
        // A further write can fail, and the tasks would be gone although the answer says otherwise.
        match last_step {
            Some(committed) => ChangedRow::new(committed.map(|()| Purged { count, tasks: None })),
            None => ChangedRow::new(write(&self.0, async |_| Ok(Purged { count, tasks: None })).await?),
        }
    }

    /// Count and list the tasks that a purge would delete
    ///
    /// Deletes no task and writes no row. The body is that of the purge; `dry_run` makes no difference. A server of an
    /// earlier version does not know `dry_run` in the body of a purge and deletes. It answers this path with 404.
    #[oai(path = "/tasks/purge/dry_run", method = "post", operation_id = "purge_dry_run", tag = "Group::Write")]
    async fn purge_dry_run(&self, body: JsonBody<Purge>) -> Result<ChangedRow<Purged>, ApiError> {
        let conditions = PurgeConditions::read(body.0)?;
        let queries = async |tx: &ReadTransaction| would_purge(tx, &conditions).await.map(Some);
        // A person looks at it once, and deletes the tasks next.
        let key = ReadKey::not_kept("purge_dry_run");
        Ok(ChangedRow::at(&self.0.read(Scope::All, None, key, queries).await?))
    }
}

/// The tasks that a purge would delete.
async fn would_purge(tx: &ReadTransaction, conditions: &PurgeConditions) -> Result<Purged, ApiError> {
    let (mut count, mut first, mut after) = (0, Vec::new(), String::new());
    loop {
        let roots = conditions.next_roots(tx, &after).await?;
        let ids = conditions.tasks(tx, &roots).await?;
        count += ids.len() as u64;
        let room = (limits::PAGE_ROWS_DEFAULT as usize).saturating_sub(first.len());
        for id in ids.iter().take(room).filter_map(|id| id.parse::<TaskId>().ok()) {
            first.extend(read::task::summary(tx, tx.scope(), &id).await?);
        }
        match roots.last().filter(|_| roots.len() == ingest::task::TREES_AT_ONCE) {
            Some(last) => after.clone_from(last),
            None => return Ok(Purged { count, tasks: Some(first) }),
        }
    }
}
