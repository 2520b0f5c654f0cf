//! Bookmarks.

use requery_entities::bookmark;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait, Select};

use super::page::{self, ListName, MomentKey, PageWindow};
use super::since::{self, ListChange};
use super::{id, reference, time};
use crate::protocol::model::{Bookmark, BookmarkPage, BookmarksSince};
use crate::protocol::{BookmarkId, Cursor, TaskId};
use crate::server::access::scope::Scope;
use crate::server::database::{ReadTransaction, in_scope, sql};

/// The list of the bookmarks in `scope`.
pub fn list(scope: &Scope, task_id: Option<&TaskId>) -> ListName {
    ListName::new("bookmarks", &[scope.project(), task_id.map(TaskId::as_str)])
}

/// The bookmarks in the transaction's scope, the last changed first. With a task: only bookmarks of this task and of
/// its events.
pub async fn page(
    tx: &ReadTransaction,
    task_id: Option<&TaskId>,
    window: &PageWindow<MomentKey>,
    limit: u64,
) -> Result<BookmarkPage, DbErr> {
    let query =
        page::by_moment(of(tx.scope(), task_id), (bookmark::Column::UpdatedAt, bookmark::Column::Id), window, limit);
    let (list, rows) = (list(tx.scope(), task_id), query.all(tx).await?);
    let page = page::page(list, rows, window, limit, |row| MomentKey::new(row.updated_at, &row.id));
    let items = page.rows.into_iter().filter_map(bookmark).collect();
    Ok(BookmarkPage { items, next: page.next, previous: page.previous })
}

/// The changes of a page of bookmarks since `cursor`. None: the caller needs the whole answer.
pub async fn page_since(
    tx: &ReadTransaction,
    task_id: Option<&TaskId>,
    window: &PageWindow<MomentKey>,
    limit: u64,
    cursor: &Cursor,
) -> Result<Option<BookmarksSince>, DbErr> {
    let values = [tx.scope().project().into(), task_id.map(TaskId::as_str).into()];
    let changed = since::changed_rows(tx, cursor, sql::change_log::CHANGED_BOOKMARKS, values, limit).await?;
    let Some(changed) = changed else { return Ok(None) };
    let time = bookmark::Column::UpdatedAt;
    let found = page::by_moment(of(tx.scope(), task_id), (time, bookmark::Column::Id), window, limit);
    let found = found.select_only().column(bookmark::Column::Id).column_as(time, "at").into_query();
    let Some(found) = since::keys(tx, found).await? else { return Ok(None) };
    let change = ListChange::by_moment(list(tx.scope(), task_id), found, window, limit, changed);
    let Some(change) = change else { return Ok(None) };
    let ids = change.keys().map(String::as_str);
    let rows = bookmark::Entity::find().filter(bookmark::Column::Id.is_in(ids)).all(tx).await?;
    let rows = rows.into_iter().filter_map(|row| Some((row.id.before_replaced().to_owned(), bookmark(row)?)));
    Ok(change.with_rows(rows))
}

/// The bookmarks in `scope`. With a task: only bookmarks of this task and of its events.
fn of(scope: &Scope, task_id: Option<&TaskId>) -> Select<bookmark::Entity> {
    let mut query = bookmark::Entity::find();
    match (task_id, scope.project()) {
        (Some(task_id), _) => query = query.filter(bookmark::Column::TaskId.eq(task_id.as_str())),
        // The index of the project has the order of the list.
        (None, Some(project)) => query = query.filter(bookmark::Column::Project.eq(project)),
        (None, None) => {}
    }
    // The bookmarks of a deleted task can still be there, and are not shown.
    in_scope::of_tasks(scope, query, bookmark::Column::TaskId)
}

/// One bookmark.
pub async fn one(tx: &impl ConnectionTrait, bookmark_id: &BookmarkId) -> Result<Option<Bookmark>, DbErr> {
    Ok(bookmark::Entity::find_by_id(bookmark_id.as_str()).one(tx).await?.and_then(bookmark))
}

fn bookmark(row: bookmark::Model) -> Option<Bookmark> {
    Some(Bookmark {
        bookmark_id: id(&row.id)?,
        task_id: id(&row.task_id)?,
        event_id: reference(row.event_id.as_ref()),
        title: row.title.into(),
        note: row.note.map(String::from),
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
    })
}
