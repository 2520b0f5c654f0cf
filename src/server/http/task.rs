//! Tasks.

use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use super::answer::{Changed, Done, Kept, Read};
use super::body::Json;
use super::{Group, found, now_ms, read_back, window, write};
use crate::protocol::model::{Purged, Task, TaskDetail, TaskPage, TaskStatus};
use crate::protocol::write::{NewTask, Purge, TaskPatch};
use crate::protocol::{Cursor, TaskId};
use crate::server::access::scope::Scope;
use crate::server::database::{Database, ReadKey};
use crate::server::error::ApiError;
use crate::server::ingest;
use crate::server::read;

pub(super) struct TaskApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1")]
impl TaskApi {
    /// Tasks, the last changed first
    #[oai(path = "/tasks", method = "get", operation_id = "tasks", tag = "Group::Read")]
    #[allow(clippy::too_many_arguments)]
    async fn tasks(
        &self,
        /// Only those of this project; left out: of all.
        project: Query<Option<String>>,
        /// Only those that stand so.
        status: Query<Option<TaskStatus>>,
        /// Only the parts of this task.
        parent: Query<Option<TaskId>>,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<u32>,
        /// Those that follow: the `next` of the page before.
        before: Query<Option<String>>,
        /// Those that precede: the `previous` of the page after.
        after: Query<Option<String>>,
        /// The `ETag` of the answer the caller has.
        #[oai(name = "If-None-Match")]
        held: Header<Option<String>>,
        /// A cursor the answer has to contain, where it is of this database's history.
        #[oai(name = "Requery-At-Least")]
        at_least: Header<Option<Cursor>>,
    ) -> Result<Read<TaskPage>, ApiError> {
        let window = window(before.0.as_deref(), after.0.as_deref())?;
        let filter = read::task::Filter { project: project.0.clone(), status: status.0, parent: parent.0 };
        let key = ReadKey::new("tasks")
            .with("status", filter.status)
            .with("parent", filter.parent.as_ref())
            .with("limit", Some(limit.0))
            .with("before", before.0.as_ref())
            .with("after", after.0.as_ref());
        let answer = self.0.read(project.0.into(), at_least.0.as_ref(), key, async |tx| {
            Ok::<_, ApiError>(read::task::page(tx, &filter, &window, limit.0.into()).await?)
        });
        Ok(Read::new(answer.await?, held.0.as_deref()))
    }

    /// Begin a task
    ///
    /// Sent again with the same `task_id` and the same parent it changes nothing, and answers 200 with the task.
    /// Tasks can be part of one another 100 levels deep.
    #[oai(path = "/tasks", method = "post", operation_id = "start_task", tag = "Group::Write")]
    async fn start(&self, body: Json<NewTask>) -> Result<Kept<Task>, ApiError> {
        let write = write(&self.0, async |tx| {
            let (id, saved) = ingest::task::start(tx, body.0, now_ms()).await?;
            Ok((saved, read_back("task", &id, read::task::summary(tx, &id)).await?))
        });
        Kept::new(write.await?)
    }

    /// One task with its sessions, its parts and its newest events
    #[oai(path = "/tasks/:task_id", method = "get", operation_id = "task", tag = "Group::Read")]
    async fn task(
        &self,
        /// The task.
        task_id: Path<TaskId>,
        /// The `ETag` of the answer the caller has.
        #[oai(name = "If-None-Match")]
        held: Header<Option<String>>,
        /// A cursor the answer has to contain, where it is of this database's history.
        #[oai(name = "Requery-At-Least")]
        at_least: Header<Option<Cursor>>,
    ) -> Result<Read<TaskDetail>, ApiError> {
        let key = ReadKey::new("task").with("task_id", Some(&task_id.0));
        let answer = self.0.read(Scope::All, at_least.0.as_ref(), key, async |tx| {
            found(tx, "task", &task_id.0, read::task::detail(tx, &task_id.0).await?)
        });
        Ok(Read::new(answer.await?, held.0.as_deref()))
    }

    /// Change a task
    ///
    /// What is left out stays. A change to what is there already is none, and nobody is told.
    #[oai(path = "/tasks/:task_id", method = "patch", operation_id = "update_task", tag = "Group::Write")]
    async fn update(
        &self,
        /// The task.
        task_id: Path<TaskId>,
        body: Json<TaskPatch>,
    ) -> Result<Changed<Task>, ApiError> {
        let write = write(&self.0, async |tx| {
            ingest::task::update(tx, &task_id.0, body.0).await?;
            read_back("task", &task_id.0, read::task::summary(tx, &task_id.0)).await
        });
        Changed::new(write.await?)
    }

    /// Delete a task
    ///
    /// And all tasks below it, with their sessions, events and bookmarks.
    #[oai(path = "/tasks/:task_id", method = "delete", operation_id = "delete_task", tag = "Group::Write")]
    async fn delete(
        &self,
        /// The task.
        task_id: Path<TaskId>,
    ) -> Result<Done, ApiError> {
        let write = write(&self.0, async |tx| Ok(ingest::task::delete(tx, &task_id.0).await?));
        Ok(Done::new(write.await?))
    }

    /// Clear finished tasks away
    ///
    /// A tree of tasks goes as a whole or not at all, and only if everything in it is completed or errored. `status`
    /// and `project` are asked of the task at its top, `older_than` of everything in it. `{}` clears all there are.
    #[oai(path = "/tasks/purge", method = "post", operation_id = "purge_tasks", tag = "Group::Write")]
    async fn purge(&self, body: Json<Purge>) -> Result<Changed<Purged>, ApiError> {
        let write = write(&self.0, async |tx| {
            let count = ingest::task::purge(tx, body.0, now_ms()).await?;
            Ok(Purged { count })
        });
        Changed::new(write.await?)
    }
}
