//! Bookmarks.

use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use super::answer::{Done, Kept, Read};
use super::body::Json;
use super::{Group, missing, now_ms, window};
use crate::protocol::model::{Bookmark, BookmarkPage};
use crate::protocol::write::SaveBookmark;
use crate::protocol::{BookmarkId, Cursor, TaskId};
use crate::server::database::Database;
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
        _at_least: Header<Option<Cursor>>,
    ) -> Result<Read<BookmarkPage>, ApiError> {
        let window = window(before.0, after.0)?;
        let filter = read::bookmark::Filter { project: project.0, task_id: task_id.0 };
        let tx = self.0.begin_read().await?;
        let page = read::bookmark::page(&*tx, &filter, &window, limit.0.into()).await?;
        Read::new(&page, tx.cursor().clone(), held.0.as_deref())
    }

    /// Mark a task or an event
    ///
    /// There is one bookmark for each task and one for each event: where there is one already, what is said here about
    /// it is changed, and it keeps its id.
    #[oai(path = "/bookmarks", method = "put", operation_id = "save_bookmark", tag = "Group::Write")]
    async fn save(&self, body: Json<SaveBookmark>) -> Result<Kept<Bookmark>, ApiError> {
        let tx = self.0.begin_write().await?;
        let (id, saved) = ingest::bookmark::save(&*tx, body.0, now_ms()).await?;
        let bookmark = read::bookmark::one(&*tx, &id).await?.ok_or_else(|| missing("bookmark", &id))?;
        Kept::new(saved, &bookmark, tx.commit().await?)
    }

    /// Delete a bookmark; what it marks stays
    #[oai(path = "/bookmarks/:bookmark_id", method = "delete", operation_id = "delete_bookmark", tag = "Group::Write")]
    async fn delete(
        &self,
        /// The bookmark.
        bookmark_id: Path<BookmarkId>,
    ) -> Result<Done, ApiError> {
        let tx = self.0.begin_write().await?;
        ingest::bookmark::delete(&*tx, &bookmark_id.0).await?;
        Ok(Done { cursor: tx.commit().await? })
    }
}
