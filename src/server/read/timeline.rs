//! Timelines: the events of a task, the newest first.

use std::collections::HashMap;

use requery_entities::{StoredText, event};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter};

use super::page::{self, ListName, PageWindow, TimelineKey};
use super::since::{self, ListChange};
use super::{count, id, reference, time};
use crate::protocol::model::{Event, EventPage, EventState, EventsSince, Lane, Metadata, Timeline, ToolFamily};
use crate::protocol::{Cursor, EventId, TaskId};
use crate::server::database::{ReadTransaction, in_scope, sql};
use crate::server::text;

/// The list of the events of a task.
pub fn list(task_id: &TaskId) -> ListName {
    ListName::new("timeline", &[Some(task_id.as_str())])
}

/// Events of a task, or none if there is no such task.
pub async fn page(
    tx: &ReadTransaction,
    task_id: &TaskId,
    window: &PageWindow<TimelineKey>,
    limit: u64,
) -> Result<Option<EventPage>, DbErr> {
    // The events of a deleted task can still be there.
    if in_scope::task(tx.scope(), task_id.as_str()).count(tx).await? == 0 {
        return Ok(None);
    }
    let page = rows(tx, task_id, window, limit).await?;
    let items = page.rows.into_iter().filter_map(event).collect();
    Ok(Some(EventPage { items, next: page.next, previous: page.previous }))
}

/// The changes of a page of events since `cursor`. None: the caller needs the whole answer.
pub async fn page_since(
    tx: &ReadTransaction,
    task_id: &TaskId,
    window: &PageWindow<TimelineKey>,
    limit: u64,
    cursor: &Cursor,
) -> Result<Option<EventsSince>, DbErr> {
    if in_scope::task(tx.scope(), task_id.as_str()).count(tx).await? == 0 {
        return Ok(None);
    }
    let query = sql::change_log::CHANGED_EVENTS;
    match since::changed_rows(tx, cursor, query, [task_id.as_str().into()], limit).await? {
        Some(changed) => changes(tx, task_id, window, limit, changed).await,
        None => Ok(None),
    }
}

/// The changes of a page of events of which the events `changed` changed. The page is found in an index that has the
/// positions alone.
pub(super) async fn changes(
    tx: &ReadTransaction,
    task_id: &TaskId,
    window: &PageWindow<TimelineKey>,
    limit: u64,
    changed: Vec<String>,
) -> Result<Option<EventsSince>, DbErr> {
    let before = match window {
        PageWindow::Newest => None,
        PageWindow::Before(key) => Some(key.position()),
        PageWindow::After(_) => return Ok(None),
    };
    let values = [task_id.as_str().into(), before.into(), (limit + 1).into()];
    let found: Option<StoredText> = sql::tasks::POSITIONS.value(tx, values).await?;
    let Some(found) = found.and_then(|found| since::list(tx, &found)) else { return Ok(None) };
    let page = page::page(list(task_id), found, window, limit, |position| TimelineKey::new(*position));
    let events = event::Entity::find().filter(event::Column::TaskId.eq(task_id.as_str()));
    let mut rows = events.clone().filter(event::Column::Id.is_in(changed.iter().map(String::as_str))).all(tx).await?;
    let places: HashMap<&str, i64> = rows.iter().map(|row| (row.id.before_replaced(), row.position)).collect();
    let changed = changed.into_iter().map(|id| {
        let position = places.get(id.as_str()).copied();
        (id, position)
    });
    let Some(change) = ListChange::of(page, changed.collect(), limit) else { return Ok(None) };
    let is_missing = |position: &&i64| rows.iter().all(|row| row.position != **position);
    let missing: Vec<i64> = change.keys().filter(is_missing).copied().collect();
    if !missing.is_empty() {
        rows.extend(events.filter(event::Column::Position.is_in(missing)).all(tx).await?);
    }
    Ok(change.with_rows(rows.into_iter().filter_map(|row| Some((row.position, event(row)?)))))
}

/// The newest events of a task, for its detail.
pub(super) async fn newest(tx: &impl ConnectionTrait, task_id: &TaskId, limit: u64) -> Result<Timeline, DbErr> {
    let page = rows(tx, task_id, &PageWindow::Newest, limit).await?;
    let items = page.rows.into_iter().filter_map(event).collect();
    Ok(Timeline { items, next: page.next })
}

/// These events, in this order. An event that is named twice is there twice.
pub async fn named(tx: &impl ConnectionTrait, ids: &[EventId]) -> Result<Vec<Event>, DbErr> {
    let query = event::Entity::find().filter(event::Column::Id.is_in(ids.iter().map(EventId::as_str)));
    let rows = query.all(tx).await?.into_iter().filter_map(event);
    let rows: HashMap<EventId, Event> = rows.map(|row| (row.event_id.clone(), row)).collect();
    Ok(ids.iter().filter_map(|id| rows.get(id).cloned()).collect())
}

/// The first of these events that is there.
pub async fn first_named(tx: &impl ConnectionTrait, ids: &[EventId]) -> Result<Option<Event>, DbErr> {
    Ok(named(tx, ids).await?.into_iter().next())
}

async fn rows(
    tx: &impl ConnectionTrait,
    task_id: &TaskId,
    window: &PageWindow<TimelineKey>,
    limit: u64,
) -> Result<page::PageRows<event::Model>, DbErr> {
    let query = event::Entity::find().filter(event::Column::TaskId.eq(task_id.as_str()));
    let rows = page::by_position(query, event::Column::Position, window, limit).all(tx).await?;
    Ok(page::page(list(task_id), rows, window, limit, |row| TimelineKey::new(row.position)))
}

/// The metadata of an event. The schema lets texts in that JSON readers refuse: half a surrogate pair, a number without
/// a bound, keys without quotes. A text that is no JSON object is shown whole, under the key `text`.
fn metadata(stored: &str) -> Metadata {
    text::parse(stored.as_bytes()).unwrap_or_else(|_| Metadata::from([("text".to_owned(), stored.into())]))
}

fn event(row: event::Model) -> Option<Event> {
    let family = row.family.as_deref().and_then(ToolFamily::parse);
    Some(Event {
        event_id: id(&row.id)?,
        task_id: id(&row.task_id)?,
        session_id: reference(row.session_id.as_ref()),
        position: count(row.position),
        lane: row.lane.as_deref().and_then(Lane::parse).unwrap_or_else(|| Lane::of(&row.kind, family)),
        kind: row.kind.into(),
        family,
        state: row.state.as_deref().and_then(EventState::parse),
        title: row.title.into(),
        body: row.body.map(String::from),
        metadata: row.metadata.map(|text| metadata(&text)).unwrap_or_default(),
        truncated: row.truncated.map(count),
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
    })
}
