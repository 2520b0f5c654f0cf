//! The rows of events, as every verb writes them.
//!
//! The forms here are checked already: a request by the verbs of the parent module, a hook or a transcript by the code
//! that read it. No other module writes the table.

use requery_entities::{StoredText, event};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::protocol::model::{EventState, Lane, ToolFamily};

/// Rows in one statement. More would not be faster, and SQLite bounds the values of one statement.
const ROWS_PER_STATEMENT: usize = 100;

/// An event to log.
#[derive(Clone, Debug)]
pub struct EventToLog {
    /// The id of the event.
    pub id: String,
    /// The task.
    pub task_id: String,
    /// The session in which the event happened.
    pub session_id: Option<String>,
    /// The kind of the event.
    pub kind: String,
    /// The kind of tool, for a tool call.
    pub family: Option<ToolFamily>,
    /// The lane of the timeline that shows the event.
    pub lane: Option<Lane>,
    /// The state of an event that has a beginning and an end.
    pub state: Option<EventState>,
    /// The title, in one line.
    pub title: String,
    /// The body, a text.
    pub body: Option<String>,
    /// The size of the whole body, if the body was cut.
    pub truncated: Option<i64>,
    /// More facts, as JSON.
    pub metadata: Option<String>,
    /// The id that the runtime gave the event. It is unique within the task.
    pub external_id: Option<String>,
    /// The time at which the event happened.
    pub created_at: i64,
    /// The time of the last change of the event.
    pub updated_at: i64,
}

/// The end of an event that has begun.
#[derive(Clone, Debug)]
pub struct EventEnding {
    /// The state in which the event ended.
    pub state: EventState,
    /// The metadata as JSON. It replaces the stored metadata.
    pub metadata: String,
    /// The new body, and the size of the whole body if the body was cut. The outer `None` leaves the stored body as it
    /// is, the inner one removes it.
    pub body: Option<Option<(String, Option<i64>)>>,
}

/// Writes new events, in their order.
pub async fn insert_all(tx: &impl ConnectionTrait, events: Vec<EventToLog>) -> Result<(), DbErr> {
    let mut rows = events.into_iter().map(EventToLog::into_row).peekable();
    while rows.peek().is_some() {
        let some: Vec<_> = rows.by_ref().take(ROWS_PER_STATEMENT).collect();
        event::Entity::insert_many(some).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Ends an event.
pub async fn finish(tx: &impl ConnectionTrait, id: &str, ending: EventEnding) -> Result<(), DbErr> {
    let mut row = event::ActiveModel {
        state: Set(Some(ending.state.as_str().into())),
        metadata: Set(Some(ending.metadata.into())),
        ..Default::default()
    };
    if let Some(body) = ending.body {
        let (body, truncated) = body.unzip();
        row.body = Set(body.map(StoredText::from));
        row.truncated = Set(truncated.flatten());
    }
    event::Entity::update_many().set(row).filter(event::Column::Id.eq(id)).exec(tx).await.map(drop)
}

/// Gives an event another title, state and metadata.
pub async fn revise(
    tx: &impl ConnectionTrait,
    id: &str,
    title: Option<String>,
    state: EventState,
    metadata: String,
) -> Result<(), DbErr> {
    let row = event::ActiveModel {
        title: title.map_or(NotSet, |title| Set(title.into())),
        state: Set(Some(state.as_str().into())),
        metadata: Set(Some(metadata.into())),
        ..Default::default()
    };
    event::Entity::update_many().set(row).filter(event::Column::Id.eq(id)).exec(tx).await.map(drop)
}

/// Ends the running events among `ids` in this state, without a record of their own.
pub async fn settle(tx: &impl ConnectionTrait, ids: &[String], state: EventState) -> Result<(), DbErr> {
    if ids.is_empty() {
        return Ok(());
    }
    let row = event::ActiveModel { state: Set(Some(state.as_str().into())), ..Default::default() };
    event::Entity::update_many()
        .set(row)
        .filter(event::Column::Id.is_in(ids.iter().map(String::as_str)))
        .filter(event::Column::State.eq(EventState::Running.as_str()))
        .exec(tx)
        .await
        .map(drop)
}

impl EventToLog {
    fn into_row(self) -> event::ActiveModel {
        event::ActiveModel {
            position: NotSet,
            id: Set(self.id.into()),
            task_id: Set(self.task_id.into()),
            session_id: Set(self.session_id.map(StoredText::from)),
            kind: Set(self.kind.into()),
            family: Set(self.family.map(|family| family.as_str().into())),
            lane: Set(self.lane.map(|lane| lane.as_str().into())),
            state: Set(self.state.map(|state| state.as_str().into())),
            title: Set(self.title.into()),
            body: Set(self.body.map(StoredText::from)),
            metadata: Set(self.metadata.map(StoredText::from)),
            truncated: Set(self.truncated),
            external_id: Set(self.external_id.map(StoredText::from)),
            created_at: Set(self.created_at),
            updated_at: Set(self.updated_at),
        }
    }
}
