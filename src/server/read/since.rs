//! Reads with `since`: the difference between the answer that a caller holds and the answer of the snapshot.
//!
//! The caller holds a list at a cursor. The change log names the rows that changed since. All other rows keep their
//! order, and the held ones among them are the first ones, because the list was cut at its end. So the caller lacks at
//! most as many unchanged rows as changed rows left the list, and these are the last ones. An answer has the changed
//! rows of the list of now, and as many of its last unchanged rows as changed rows are missing in it, each with its
//! place.
//!
//! No difference is made where the log does not name the rows or where the whole answer costs less. Both are known
//! before a row is read.

use std::collections::HashMap;
use std::hash::Hash;

use requery_entities::StoredText;
use sea_orm::sea_query::{Alias, Query, SelectStatement};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value};
use serde::de::DeserializeOwned;

use super::page::{self, ListName, MomentKey, PageRows, PageWindow};
use crate::protocol::Cursor;
use crate::protocol::limits;
use crate::protocol::model::{
    Bookmark, BookmarksSince, ChildTask, ChildrenSince, Event, EventsSince, PlacedBookmark, PlacedChild, PlacedEvent,
    PlacedSession, PlacedTask, Session, SessionsSince, Task, TasksSince,
};
use crate::server::change_log::{RunAndRows, between};
use crate::server::database::sql::{self, Sql};
use crate::server::database::{Position, ReadTransaction, most_changed_rows};

/// The rows that a part of the log names, or that it does not name all of them.
#[derive(FromQueryResult)]
struct ChangedRows {
    is_vague: bool,
    ids: StoredText,
    #[sea_orm(nested)]
    run: RunAndRows,
}

/// The first three values of a statement about the log after `cursor`. None: the log has too much, or too little, to
/// make a difference. The statement also tells whether the log continues the cursor, because each further statement
/// would make a read that ends with the whole answer cost more than one that asked for it.
pub(super) fn part_after(tx: &ReadTransaction, cursor: &Cursor) -> Option<[Value; 3]> {
    let part = between(&Position::of(cursor), &tx.position());
    let [from, to] = part.values(tx);
    (part.most_changes() <= limits::SINCE_CHANGES).then(|| [from, to, cursor.epoch().into()])
}

/// The ids of the rows that changed after `cursor`, as `query` finds them. None: the caller needs the whole answer.
pub(super) async fn changed_rows(
    tx: &ReadTransaction,
    cursor: &Cursor,
    query: Sql,
    values: impl IntoIterator<Item = Value>,
    limit: u64,
) -> Result<Option<Vec<String>>, DbErr> {
    let Some(part) = part_after(tx, cursor) else { return Ok(None) };
    let found: Option<ChangedRows> = query.one(tx, part.into_iter().chain(values)).await?;
    let found = found.filter(|found| !found.is_vague && found.run.continue_at(tx, cursor));
    let ids = found.and_then(|found| list(tx, &found.ids));
    Ok(ids.filter(|ids: &Vec<String>| ids.len() <= most_changed_rows(limit)))
}

/// The keys in a JSON array of the database. None for a text that is none: a program wrote an id that is no text.
pub(super) fn list<T: DeserializeOwned>(tx: &ReadTransaction, json: &str) -> Option<Vec<T>> {
    let keys: Vec<T> = serde_json::from_str(json).ok()?;
    tx.count_keys(keys.len());
    Some(keys)
}

/// The keys of the rows that `found` selects, the column `id` and then the column `at`, without the rows themselves.
pub(super) async fn keys(tx: &ReadTransaction, found: SelectStatement) -> Result<Option<Vec<MomentKey>>, DbErr> {
    let mut query = Query::select();
    query.expr(sql::tasks::pairs(tx.get_database_backend())).from_subquery(found, Alias::new("found"));
    let row = tx.query_one(&query).await?;
    let text: Option<StoredText> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    let pairs: Option<Vec<(String, i64)>> = text.and_then(|text| list(tx, &text));
    Ok(pairs.map(|pairs| pairs.into_iter().map(|(id, ms)| MomentKey::new(ms, &id.as_str().into())).collect()))
}

/// The places of the rows to send, of a list whose rows are now `now`. `changed` are the changed rows, `gone` is the
/// number of further changed rows that are in no list any more. None: too many.
fn places<K: PartialEq>(now: &[K], changed: &[&K], gone: usize, most: usize) -> Option<Vec<usize>> {
    let left = gone + changed.iter().filter(|key| !now.contains(key)).count();
    let (mut places, unchanged): (Vec<usize>, Vec<usize>) = (0..now.len()).partition(|at| changed.contains(&&now[*at]));
    places.extend(unchanged.into_iter().rev().take(left));
    places.sort_unstable();
    Some(places).filter(|places| places.len() <= most)
}

/// The difference of a list without its rows, which are known by `K`.
pub(super) struct ListChange<K> {
    /// The places of the rows to send.
    places: Vec<(usize, K)>,
    removed: Vec<String>,
    length: usize,
    next: Option<String>,
    previous: Option<String>,
}

impl ListChange<String> {
    /// The difference of a list in the order of a time, whose rows have the keys `found`, and one key more if the list
    /// goes on. `changed` are the ids of the changed rows. None: too much.
    pub(super) fn by_moment(
        list: ListName,
        found: Vec<MomentKey>,
        window: &PageWindow<MomentKey>,
        limit: u64,
        changed: Vec<String>,
    ) -> Option<Self> {
        let PageRows { rows, next, previous } = page::page(list, found, window, limit, MomentKey::clone);
        let rows = rows.iter().map(|key| key.id().to_owned()).collect();
        let changed = changed.into_iter().map(|id| (id.clone(), Some(id))).collect();
        Self::of(PageRows { rows, next, previous }, changed, limit)
    }
}

impl<K: Clone + Eq + Hash> ListChange<K> {
    /// The difference of a list that is now `page`. `changed` are the ids of the changed rows, each with the key of the
    /// row if the row is there. None: too much.
    pub(super) fn of(page: PageRows<K>, changed: Vec<(String, Option<K>)>, limit: u64) -> Option<Self> {
        let now = page.rows;
        let there: Vec<&K> = changed.iter().filter_map(|(_, key)| key.as_ref()).collect();
        let places = places(&now, &there, changed.len() - there.len(), most_changed_rows(limit))?;
        let is_there = |key: &Option<K>| key.as_ref().is_some_and(|key| now.contains(key));
        Some(Self {
            places: places.into_iter().map(|at| (at, now[at].clone())).collect(),
            removed: changed.iter().filter(|(_, key)| !is_there(key)).map(|(id, _)| id.clone()).collect(),
            length: now.len(),
            next: page.next,
            previous: page.previous,
        })
    }

    /// The keys of the rows to send.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.places.iter().map(|(_, key)| key)
    }

    /// The answer, with these rows in their places. None if a row is missing: it has a form that no answer shows.
    pub(super) fn with_rows<R, A: From<PlacedRows<R>>>(self, rows: impl IntoIterator<Item = (K, R)>) -> Option<A> {
        let mut rows: HashMap<K, R> = rows.into_iter().collect();
        let place = |(at, key): (usize, K)| Some((on_wire(at), rows.remove(&key)?));
        Some(A::from(PlacedRows {
            rows: self.places.into_iter().map(place).collect::<Option<_>>()?,
            removed: self.removed,
            length: on_wire(self.length),
            next: self.next,
            previous: self.previous,
        }))
    }
}

/// The difference of a list with its rows.
pub(super) struct PlacedRows<R> {
    rows: Vec<(u32, R)>,
    removed: Vec<String>,
    length: u32,
    next: Option<String>,
    previous: Option<String>,
}

/// The answers of the wire. Each list has its own types there, because each has a name in the documents.
macro_rules! answers {
    ($($answer:ident $placed:ident($row:ty))*) => {$(
        impl From<PlacedRows<$row>> for $answer {
            fn from(PlacedRows { rows, removed, length, next, previous }: PlacedRows<$row>) -> Self {
                let changed = rows.into_iter().map(|(at, item)| $placed { at, item }).collect();
                Self { full: false, changed, removed, length, next, previous }
            }
        }
    )*};
}

answers! {
    TasksSince PlacedTask(Task)
    BookmarksSince PlacedBookmark(Bookmark)
    SessionsSince PlacedSession(Session)
    ChildrenSince PlacedChild(ChildTask)
    EventsSince PlacedEvent(Event)
}

/// A place or a length on the wire.
fn on_wire(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn the_places_are_those_of_changed_rows_and_of_the_last_rows_that_the_caller_may_lack() {
        for (now, changed, gone, expected) in [
            ("abcde", "", 0, Some(vec![])),
            ("abcde", "a", 0, Some(vec![0])),
            ("abcde", "x", 0, Some(vec![4])),
            ("abcde", "ax", 1, Some(vec![0, 3, 4])),
            ("abcde", "ex", 0, Some(vec![3, 4])),
            ("ab", "xyz", 0, Some(vec![0, 1])),
            ("abcde", "abcd", 0, None),
            ("", "x", 3, Some(vec![])),
        ] {
            let keys = |text: &str| text.chars().collect::<Vec<_>>();
            let (now, changed) = (keys(now), keys(changed));
            let changed: Vec<&char> = changed.iter().collect();
            assert_eq!(places(&now, &changed, gone, 3), expected, "{now:?} {changed:?} {gone}");
        }
    }
}
