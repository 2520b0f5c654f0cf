//! Bookmarks.

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::answer::{NoContent, ReadAnswer, SavedRow};
use super::body::JsonBody;
use super::reading::{PageParameters, ProjectParameter, Reading, SinceParameter};
use super::since::OrSince;
use super::writing::{read_back, write};
use super::{Group, now_ms};
use crate::protocol::model::{Bookmark, BookmarkPage, BookmarksSince};
use crate::protocol::write::SaveBookmark;
use crate::protocol::{BookmarkId, Cursor, ReadModel, TaskId};
use crate::server::database::{Database, ListedRows, ReadKey, ReadTransaction};
use crate::server::error::ApiError;
use crate::server::ingest;
use crate::server::read;

pub(super) struct BookmarkApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1")]
impl BookmarkApi {
    /// Bookmarks, the last changed first
    #[oai(path = "/bookmarks", method = "get", operation_id = "bookmarks", tag = "Group::Read")]
    async fn bookmarks(
        &self,
        /// Only bookmarks of this project. Default: all projects.
        project: ProjectParameter,
        /// Only bookmarks of this task and of its events.
        task_id: Query<Option<TaskId>>,
        page: PageParameters,
        /// The `Requery-Cursor` of the answer that the caller holds, made with the same parameters: the answer has only
        /// the changes since then, if they are known and cost less. Otherwise the answer is the whole one.
        since: SinceParameter,
        reading: Reading,
    ) -> Result<ReadAnswer<OrSince<BookmarkPage, BookmarksSince>>, ApiError> {
        let window = page.window(read::bookmark::list(&project.0, task_id.0.as_ref()))?;
        let key = ReadKey::new("bookmarks", ReadModel::Bookmarks).with("task_id", task_id.0.as_ref());
        let queries =
            async |tx: &ReadTransaction| Ok(read::bookmark::page(tx, task_id.0.as_ref(), &window, page.limit()).await?);
        let changes = async |tx: &ReadTransaction, cursor: &Cursor| {
            Ok(read::bookmark::page_since(tx, task_id.0.as_ref(), &window, page.limit(), cursor).await?)
        };
        let key = page.extend(key);
        // The bookmarks of one task can be few among many that changed.
        let key = if task_id.0.is_none() { key.listing(ListedRows::Bookmarks, page.limit()) } else { key };
        reading.since(page.since(since)).answer_since(&self.0, project.0, key, changes, queries).await
    }

    /// Mark a task or an event
    ///
    /// Each task and each event has at most one bookmark. If the bookmark exists, the given fields change and it keeps
    /// its id.
    #[oai(path = "/bookmarks", method = "put", operation_id = "save_bookmark", tag = "Group::Write")]
    async fn save(&self, body: JsonBody<SaveBookmark>) -> Result<SavedRow<Bookmark>, ApiError> {
        let write = write(&self.0, async |tx| {
            let (id, saved) = ingest::bookmark::save(tx, body.0, now_ms()).await?;
            Ok((saved, read_back("bookmark", &id, read::bookmark::one(tx, &id)).await?))
        });
        SavedRow::new(write.await?)
    }

    /// Delete a bookmark; the marked task or event stays
    #[oai(path = "/bookmarks/:bookmark_id", method = "delete", operation_id = "delete_bookmark", tag = "Group::Write")]
    async fn delete(
        &self,
        /// The bookmark.
        bookmark_id: Path<BookmarkId>,
    ) -> Result<NoContent, ApiError> {
        let write = write(&self.0, async |tx| Ok(ingest::bookmark::delete(tx, &bookmark_id.0).await?));
        Ok(NoContent::new(write.await?))
    }
}
