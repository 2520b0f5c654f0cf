//! The state of the work on a task: the agent's own list, the calls that run now, and the files that calls changed.
//!
//! The calls and the files are read from the events of the task, so the notice of an event tells their change.

use requery_entities::{StoredText, event};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, DerivePartialModel, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::{count, id, reference, time};
use crate::protocol::TaskId;
use crate::protocol::limits;
use crate::protocol::model::{EventState, OpenCall, Todo, ToolFamily, TouchedFile};
use crate::server::database::sql;
use crate::server::text;

/// The kinds of the events that are calls.
const CALLS: [&str; 2] = ["tool", "subagent"];

/// The list of a task. A text that another program wrote in another form is an empty list.
pub(super) fn todos(stored: Option<&str>) -> Vec<Todo> {
    let mut todos: Vec<Todo> = stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    todos.truncate(limits::TODOS);
    // Another program can write a longer title, and a list of tasks shows the title of the active entry.
    for todo in &mut todos {
        todo.title = text::one_line(&todo.title, limits::TODO_CHARACTERS);
    }
    todos
}

/// The calls that run now, the oldest first.
pub(super) async fn open_calls(tx: &impl ConnectionTrait, task_id: &TaskId) -> Result<Vec<OpenCall>, DbErr> {
    let rows = event::Entity::find()
        .filter(event::Column::TaskId.eq(task_id.as_str()))
        .filter(event::Column::State.eq(EventState::Running.as_str()))
        .filter(event::Column::Kind.is_in(CALLS))
        .order_by_asc(event::Column::Position)
        .limit(limits::OPEN_CALLS)
        .into_partial_model::<CallRow>()
        .all(tx)
        .await?;
    Ok(rows.into_iter().filter_map(CallRow::call).collect())
}

/// The files that calls changed, the last changed first.
pub(super) async fn files(tx: &impl ConnectionTrait, task_id: &TaskId) -> Result<Vec<TouchedFile>, DbErr> {
    let values = [task_id.as_str().into(), limits::FILE_CHANGES.into(), limits::TOUCHED_FILES.into()];
    let rows: Vec<FileRow> = sql::tasks::TOUCHED_FILES.all(tx, values).await?;
    let file = |row: FileRow| {
        let path = String::from(row.path);
        TouchedFile { path, changes: count(row.changes), changed_at: time(row.changed_at) }
    };
    Ok(rows.into_iter().map(file).collect())
}

#[derive(DerivePartialModel)]
#[sea_orm(entity = "event::Entity")]
struct CallRow {
    id: StoredText,
    session_id: Option<StoredText>,
    kind: StoredText,
    family: Option<StoredText>,
    title: StoredText,
    created_at: i64,
}

#[derive(FromQueryResult)]
struct FileRow {
    path: StoredText,
    changes: i64,
    changed_at: i64,
}

impl CallRow {
    /// The call. None if the row has no id that the protocol has.
    fn call(self) -> Option<OpenCall> {
        Some(OpenCall {
            event_id: id(&self.id)?,
            session_id: reference(self.session_id.as_ref()),
            kind: self.kind.into(),
            family: self.family.as_deref().and_then(ToolFamily::parse),
            title: self.title.into(),
            since: time(self.created_at),
        })
    }
}
