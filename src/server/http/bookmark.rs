//! Bookmarks.

use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use super::answer::{Done, Kept, Read};
use super::body::Json;
use super::{Group, now_ms, read_back, window, write};
use crate::protocol::model::{Bookmark, BookmarkPage};
use crate::protocol::write::SaveBookmark;
use crate::protocol::{BookmarkId, Cursor, TaskId};
use crate::server::database::{Database, ReadKey};
use crate::server::error::ApiError;
use crate::server::ingest;
use crate::server::read;

pub(super) struct BookmarkApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1")]
impl BookmarkApi {
    /// Bookmarks, the last changed first
    #[oai(path = "/bookmarks", method = "get", operation_id = "bookmarks", tag = "Group::Read")]
    #[allow(clippy::too_many_arguments)]
    async fn bookmarks(
        &self,
        /// Only those of this project; left out: of all.
        project: Query<Option<String>>,
        /// Only those of this task and of its events.
        task_id: Query<Option<TaskId>>,
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
    ) -> Result<Read<BookmarkPage>, ApiError> {
        let window = window(before.0.as_deref(), after.0.as_deref())?;
        let filter = read::bookmark::Filter { project: project.0.clone(), task_id: task_id.0 };
        let key = ReadKey::new("bookmarks")
            .with("task_id", filter.task_id.as_ref())
            .with("limit", Some(limit.0))
            .with("before", before.0.as_ref())
            .with("after", after.0.as_ref());
        let answer = self.0.read(project.0.into(), at_least.0.as_ref(), key, async |tx| {
            Ok::<_, ApiError>(read::bookmark::page(tx, &filter, &window, limit.0.into()).await?)
        });
        Ok(Read::new(answer.await?, held.0.as_deref()))
    }

    /// Mark a task or an event
    ///
    /// There is one bookmark for each task and one for each event: where there is one already, what is said here about
    /// it is changed, and it keeps its id.
    #[oai(path = "/bookmarks", method = "put", operation_id = "save_bookmark", tag = "Group::Write")]
    async fn save(&self, body: Json<SaveBookmark>) -> Result<Kept<Bookmark>, ApiError> {
        let write = write(&self.0, async |tx| {
            let (id, saved) = ingest::bookmark::save(tx, body.0, now_ms()).await?;
            Ok((saved, read_back("bookmark", &id, read::bookmark::one(tx, &id)).await?))
        });
        Kept::new(write.await?)
    }

    /// Delete a bookmark; what it marks stays
    #[oai(path = "/bookmarks/:bookmark_id", method = "delete", operation_id = "delete_bookmark", tag = "Group::Write")]
    async fn delete(
        &self,
        /// The bookmark.
        bookmark_id: Path<BookmarkId>,
    ) -> Result<Done, ApiError> {
        let write = write(&self.0, async |tx| Ok(ingest::bookmark::delete(tx, &bookmark_id.0).await?));
        Ok(Done::new(write.await?))
    }
}
