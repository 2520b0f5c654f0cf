//! Saving and deleting bookmarks.

use requery_entities::{StoredText, bookmark, event, task};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{ExprTrait, LockType};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect};

use super::bounds::{Bounds, CheckedBody, check};
use super::event::EVENT;
use super::task::{TASK, free_bookmark_id};
use super::{Invalid, Saved, WriteError};
use crate::protocol::limits;
use crate::protocol::write::SaveBookmark;
use crate::protocol::{BookmarkId, EventId, TaskId};
use crate::server::database::{WriteTransaction, in_scope};

const BOOKMARK: &str = "bookmark";
const TARGET_MISSING: &str = "is required unless event_id is given";

/// Bookmarks a task or an event. If it has a bookmark already, changes the title and the note of that bookmark.
pub async fn save(tx: &WriteTransaction, new: SaveBookmark, now_ms: i64) -> Result<(BookmarkId, Saved), WriteError> {
    check(&new)?;

    let target = target(tx, new.task_id, new.event_id).await?;
    let of_event = target.event_id.as_ref().map(EventId::as_str);
    tx.lock(&format!("bookmark {}", of_event.unwrap_or(&target.task_id))).await?;
    let marked = match &target.event_id {
        Some(event) => bookmark::Column::EventId.eq(event.as_str()),
        None => bookmark::Column::TaskId.eq(target.task_id.as_str()).and(bookmark::Column::EventId.is_null()),
    };
    if let Some(row) = bookmark::Entity::find().filter(marked.clone()).one(tx).await? {
        let id = row.id.parse().map_err(|_| WriteError::not_found(BOOKMARK, &row.id))?;
        let title = new.title.filter(|title| row.title != *title);
        let note = new.note.into_next().filter(|note| row.note.as_deref() != note.as_deref());
        // Only what changes is written: a stored text that is not UTF-8 stays as it is.
        let next = bookmark::ActiveModel {
            title: title.map_or(NotSet, |title| Set(title.into())),
            note: note.map_or(NotSet, |note| Set(note.map(StoredText::from))),
            ..Default::default()
        };
        if next.is_changed() {
            bookmark::Entity::update_many().set(next).filter(marked).exec(tx).await?;
        }
        return Ok((id, Saved::There));
    }
    if let Some(id) = &new.bookmark_id {
        free_bookmark_id(tx, id.as_str()).await?;
        if bookmark::Entity::find_by_id(id.as_str()).count(tx).await? > 0 {
            return Err(WriteError::conflict(BOOKMARK, id));
        }
    }
    let id = new.bookmark_id.unwrap_or_else(|| BookmarkId::new_at(now_ms));
    let row = bookmark::ActiveModel {
        id: Set(id.as_str().into()),
        task_id: Set(target.task_id.into()),
        event_id: Set(target.event_id.map(|id| id.as_str().into())),
        title: Set(new.title.unwrap_or(target.title).into()),
        note: Set(new.note.into_next().flatten().map(StoredText::from)),
        created_at: Set(now_ms),
        updated_at: Set(now_ms),
        project: NotSet,
    };
    bookmark::Entity::insert(row).exec_without_returning(tx).await?;
    Ok((id, Saved::New))
}

/// Deletes a bookmark. The task or event that it marked stays.
pub async fn delete(tx: &WriteTransaction, id: &BookmarkId) -> Result<(), WriteError> {
    let found = bookmark::Entity::find_by_id(id.as_str());
    if in_scope::of_tasks(tx.scope(), found, bookmark::Column::TaskId).count(tx).await? == 0 {
        return Err(WriteError::not_found(BOOKMARK, id));
    }
    bookmark::Entity::delete_by_id(id.as_str()).exec(tx).await?;
    Ok(())
}

/// The task or event that is marked.
struct Target {
    task_id: String,
    event_id: Option<EventId>,
    title: String,
}

async fn target(
    tx: &WriteTransaction,
    task_id: Option<TaskId>,
    event_id: Option<EventId>,
) -> Result<Target, WriteError> {
    match (task_id, event_id) {
        (of, Some(event_id)) => {
            let row = super::event::find(tx, &event_id).select_only().columns([
                event::Column::TaskId,
                event::Column::Title,
                event::Column::Kind,
            ]);
            let row = row.lock(LockType::KeyShare);
            let Some((task_id, title, kind)) = row.into_tuple::<(StoredText, StoredText, StoredText)>().one(tx).await?
            else {
                return Err(WriteError::missing("event_id", EVENT, event_id));
            };
            if of.is_some_and(|of| of.as_str() != task_id) {
                return Err(WriteError::invalid("task_id", format!("event {event_id} is not on this task")));
            }
            let title = if title.is_empty() { kind } else { title };
            Ok(Target { task_id: task_id.into(), event_id: Some(event_id), title: title.into() })
        }
        (Some(task_id), None) => {
            let title = in_scope::task(tx.scope(), task_id.as_str()).select_only().column(task::Column::Title);
            match title.lock(LockType::KeyShare).into_tuple::<StoredText>().one(tx).await? {
                Some(title) => Ok(Target { task_id: task_id.to_string(), event_id: None, title: title.into() }),
                None => Err(WriteError::missing("task_id", TASK, task_id)),
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
