//! Search.

use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::Group;
use super::answer::ReadAnswer;
use super::reading::{ProjectParameter, Reading};
use crate::protocol::TaskId;
use crate::protocol::limits;
use crate::protocol::model::SearchResults;
use crate::server::database::Answer;
use crate::server::error::ApiError;
use crate::server::read;
use crate::server::read::search::SearchFilter;
use crate::server::search::SearchIndex;

pub(super) struct SearchApi(pub(super) SearchIndex);

fn default_search_limit() -> u32 {
    limits::HITS_DEFAULT
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Read")]
impl SearchApi {
    /// Tasks, events and bookmarks that have all these words, the best of the newest first
    ///
    /// Case and accents do not count. `"two words"` and `foo_bar` have to stand as they are, `begin*` takes what begins
    /// so; nothing else has a meaning, and any text is a query. The index follows what is written within moments:
    /// `Requery-Cursor` names the changes it has, and `complete` says whether that is everything. The newest 1,000
    /// matches are ranked; events that had happened more than eight days before they were written, as when transcripts
    /// are imported, count as older than all others.
    #[oai(path = "/search", method = "get", operation_id = "search")]
    async fn search(
        &self,
        /// What to look for: at most 500 characters. Without a word in it nothing is found.
        q: Query<String>,
        /// Only in this project; left out: in all.
        project: ProjectParameter,
        /// Only in this task, its events and bookmarks.
        task_id: Query<Option<TaskId>>,
        /// How many at most.
        #[oai(default = "default_search_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// A cursor the index should contain; it is waited for at most a tenth of a second.
        reading: Reading,
    ) -> Result<ReadAnswer<SearchResults>, ApiError> {
        if q.0.chars().count() > limits::QUERY_CHARACTERS {
            return Err(ApiError::invalid("q", format!("is longer than {} characters", limits::QUERY_CHARACTERS)));
        }
        let filter = SearchFilter { task_id: task_id.0 };
        let search = self.0.begin().await?;
        let found = read::search::search(&search.tx, &project.0, &q.0, &filter, limit.0).await;
        let items = found.map_err(|error| search.failed(error))?;
        // The answer contains as much as the index, which may be less than the snapshot.
        let answer = Answer::new(&SearchResults { items, complete: search.complete }, search.cursor.clone())?;
        Ok(ReadAnswer::new(answer, reading.if_none_match.as_deref()))
    }
}
