//! The hits of a search: the index names the rows, and the answer is made from the rows.
//!
//! Only the newest matches are ranked, so that a frequent word costs no more than a rare one. The ranking and the hits
//! use the texts of the rows, so no hit shows a text that was deleted.

use requery_entities::StoredText;
use sea_orm::{DbErr, FromQueryResult};

use super::{id, reference, time};
use crate::protocol::TaskId;
use crate::protocol::limits;
use crate::protocol::model::{SearchHit, SearchKind};
use crate::server::database::{ReadTransaction, sql};
use crate::server::search;
use crate::server::search::query::Query;

mod rank;
mod snippet;

use rank::Candidate;

/// How many characters of a text are read to rank it. A text with a match further down is found too, but that match
/// does not count for its rank.
const RANKED_CHARACTERS: i64 = 2_000;

#[derive(FromQueryResult)]
struct Ranked {
    id: i64,
    title: StoredText,
    text: Option<StoredText>,
}

#[derive(FromQueryResult)]
struct Hit {
    id: i64,
    task_id: StoredText,
    event_id: Option<StoredText>,
    bookmark_id: Option<StoredText>,
    marked_event_id: Option<StoredText>,
    project: StoredText,
    title: StoredText,
    text: Option<StoredText>,
    at: i64,
}

/// The best of the newest matches in the transaction's scope. With a task: only in this task, its events and its
/// bookmarks.
pub async fn search(
    tx: &ReadTransaction,
    q: &str,
    task_id: Option<&TaskId>,
    limit: u32,
) -> Result<Vec<SearchHit>, DbErr> {
    let query = Query::parse(q);
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let project = tx.scope().project();
    let expression = search::expression(tx, &query, task_id).await?;
    let task_id = task_id.map(TaskId::as_str);
    let values =
        [expression.into(), project.into(), task_id.into(), limits::RANKED_MATCHES.into(), RANKED_CHARACTERS.into()];
    let found: Vec<Ranked> = sql::search_matches::CANDIDATES.all(tx, values).await?;
    let candidates = found.into_iter().filter_map(|row| {
        let whole = row.text.as_ref().is_none_or(|text| (text.len() as i64) < RANKED_CHARACTERS);
        Candidate::of(&query, row.id, &row.title, row.text.as_deref().unwrap_or_default(), whole)
    });
    let best = rank::best(candidates.collect(), limit as usize);

    let ids = serde_json::Value::from(best.clone()).to_string();
    let values = [ids.into(), project.into(), task_id.into()];
    let mut hits: Vec<Hit> = sql::search_matches::HITS.all(tx, values).await?;
    hits.sort_by_key(|hit| best.iter().position(|id| *id == hit.id));
    Ok(hits.into_iter().filter_map(|row| hit(&query, row)).collect())
}

fn hit(query: &Query, row: Hit) -> Option<SearchHit> {
    let kind = match (&row.event_id, &row.bookmark_id) {
        (Some(_), _) => SearchKind::Event,
        (None, Some(_)) => SearchKind::Bookmark,
        (None, None) => SearchKind::Task,
    };
    Some(SearchHit {
        kind,
        task_id: id(&row.task_id)?,
        event_id: reference(row.event_id.as_ref().or(row.marked_event_id.as_ref())),
        bookmark_id: reference(row.bookmark_id.as_ref()),
        project: row.project.into(),
        title_marks: snippet::marks(query, &row.title),
        title: row.title.into(),
        snippet: snippet::best(query, row.text.as_deref().unwrap_or_default()),
        at: time(row.at),
    })
}
