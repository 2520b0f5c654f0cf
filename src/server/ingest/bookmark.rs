//! Saving and deleting bookmarks.

use requery_entities::{bookmark, event, task};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use super::bounds::{Bounds, CheckedBody, check};
use super::{Invalid, Saved, WriteError};
use crate::protocol::limits;
use crate::protocol::write::SaveBookmark;
use crate::protocol::{BookmarkId, EventId, TaskId};

const BOOKMARK: &str = "bookmark";
const TARGET_MISSING: &str = "is required unless event_id is given";

/// Bookmarks a task or an event. If it has a bookmark already, changes the title and the note of that bookmark.
pub async fn save(
    tx: &impl ConnectionTrait,
    new: SaveBookmark,
    now_ms: i64,
) -> Result<(BookmarkId, Saved), WriteError> {
    check(&new)?;

    let target = target(tx, new.task_id, new.event_id).await?;
    let marked = match &target.event_id {
        Some(event) => bookmark::Column::EventId.eq(event.as_str()),
        None => bookmark::Column::TaskId.eq(target.task_id.as_str()).and(bookmark::Column::EventId.is_null()),
    };
    if let Some(row) = bookmark::Entity::find().filter(marked).one(tx).await? {
        let id = row.id.parse().map_err(|_| WriteError::NotFound { what: BOOKMARK, id: row.id.clone() })?;
        let title = new.title.unwrap_or_else(|| row.title.clone());
        let note = new.note.into_next().unwrap_or_else(|| row.note.clone());
        if (&title, &note) != (&row.title, &row.note) {
            let next =
                bookmark::ActiveModel { id: Set(row.id), title: Set(title), note: Set(note), ..Default::default() };
            bookmark::Entity::update(next).exec_without_returning(tx).await?;
        }
        return Ok((id, Saved::There));
    }
    if let Some(id) = &new.bookmark_id
        && bookmark::Entity::find_by_id(id.as_str()).one(tx).await?.is_some()
    {
        return Err(WriteError::Conflict { what: BOOKMARK, id: id.to_string(), detail: "marks another task or event" });
    }
    let id = new.bookmark_id.unwrap_or_else(|| BookmarkId::new_at(now_ms));
    let row = bookmark::ActiveModel {
        id: Set(id.to_string()),
        task_id: Set(target.task_id),
        event_id: Set(target.event_id.map(|id| id.to_string())),
        title: Set(new.title.unwrap_or(target.title)),
        note: Set(new.note.into_next().flatten()),
        created_at: Set(now_ms),
        updated_at: Set(now_ms),
    };
    bookmark::Entity::insert(row).exec_without_returning(tx).await?;
    Ok((id, Saved::New))
}

/// Deletes a bookmark. The task or event that it marked stays.
pub async fn delete(tx: &impl ConnectionTrait, id: &BookmarkId) -> Result<(), WriteError> {
    let deleted = bookmark::Entity::delete_by_id(id.as_str()).exec(tx).await?;
    if deleted.rows_affected == 0 {
        return Err(WriteError::NotFound { what: BOOKMARK, id: id.to_string() });
    }
    Ok(())
}

/// The task or event that is marked.
struct Target {
    task_id: String,
    event_id: Option<EventId>,
    title: String,
}

async fn target(
    tx: &impl ConnectionTrait,
    task_id: Option<TaskId>,
    event_id: Option<EventId>,
) -> Result<Target, WriteError> {
    match (task_id, event_id) {
        (of, Some(event_id)) => {
            let row = event::Entity::find().filter(event::Column::Id.eq(event_id.as_str())).select_only().columns([
                event::Column::TaskId,
                event::Column::Title,
                event::Column::Kind,
            ]);
            let Some((task_id, title, kind)) = row.into_tuple::<(String, String, String)>().one(tx).await? else {
                return Err(WriteError::invalid("event_id", format!("there is no event {event_id}")));
            };
            if of.is_some_and(|of| of.as_str() != task_id) {
                return Err(WriteError::invalid("task_id", format!("event {event_id} belongs to task {task_id}")));
            }
            let title = if title.is_empty() { kind } else { title };
            Ok(Target { task_id, event_id: Some(event_id), title })
        }
        (Some(task_id), None) => {
            let title = task::Entity::find_by_id(task_id.as_str()).select_only().column(task::Column::Title);
            match title.into_tuple::<String>().one(tx).await? {
                Some(title) => Ok(Target { task_id: task_id.to_string(), event_id: None, title }),
                None => Err(WriteError::invalid("task_id", format!("there is no task {task_id}"))),
            }
        }
        (None, None) => Err(WriteError::invalid("task_id", TARGET_MISSING)),
    }
}

impl CheckedBody for SaveBookmark {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        if self.task_id.is_none() && self.event_id.is_none() {
            bounds.refuse("task_id", TARGET_MISSING);
        }
        bounds.characters("title", self.title.as_deref(), limits::LINE_CHARACTERS);
        bounds.bytes("note", self.note.value().map(String::as_str));
        bounds.into_found()
    }
}
