//! Search.

use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::Group;
use super::answer::ReadAnswer;
use super::reading::{ProjectParameter, Reading};
use crate::protocol::TaskId;
use crate::protocol::limits;
use crate::protocol::model::SearchResults;
use crate::server::access::scope::Scope;
use crate::server::database::ReadKey;
use crate::server::error::ApiError;
use crate::server::read;
use crate::server::search::SearchIndex;

pub(super) struct SearchApi(pub(super) SearchIndex);

fn default_search_limit() -> u32 {
    limits::HITS_DEFAULT
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Read")]
impl SearchApi {
    /// Tasks, events and bookmarks that contain all words of a query, the best first
    ///
    /// Any text is a query. Case and accents do not count. `"two words"` and `foo_bar` match the words in this order
    /// without others between them, and `begin*` matches words that begin so. No other character has a meaning. The
    /// index follows the change log within moments: `Requery-Cursor` names the changes that the index contains, and
    /// `complete` says whether the index contains all changes. The newest 1,000 matches are ranked. An event that was
    /// written more than eight days after it happened, such as an imported one, counts as older than all others.
    #[oai(path = "/search", method = "get", operation_id = "search")]
    async fn search(
        &self,
        /// The query: at most 500 characters. A query without a word has no results.
        q: Query<String>,
        /// Only results of this project. Default: all projects.
        project: ProjectParameter,
        /// Only this task, its events and its bookmarks.
        task_id: Query<Option<TaskId>>,
        /// The largest number of results.
        #[oai(default = "default_search_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// A cursor. Only its form is checked: the server always waits for the index, for at most a tenth of a second.
        reading: Reading,
    ) -> Result<ReadAnswer<SearchResults>, ApiError> {
        if q.0.chars().count() > limits::QUERY_CHARACTERS {
            return Err(ApiError::invalid("q", format!("is longer than {} characters", limits::QUERY_CHARACTERS)));
        }
        let key = ReadKey::not_kept("search").with("q", Some(&q.0));
        let key = key.with("task_id", task_id.0.as_ref()).with("limit", Some(limit.0));
        let queries = async |scope: Scope| {
            let search = self.0.begin(scope).await?;
            let found = read::search::search(&search.tx, &q.0, task_id.0.as_ref(), limit.0).await;
            let items = found.map_err(|error| search.failed(error))?;
            // The cursor of the answer names the changes that the index contains. The snapshot may contain more
            // changes, so the cursor of the snapshot would promise too much.
            Ok((SearchResults { items, complete: search.complete }, search.cursor.clone()))
        };
        reading.answer_with_cursor(self.0.database(), project.0, key, queries).await
    }
}
