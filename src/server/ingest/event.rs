//! Logging, changing and deleting events.

use std::collections::{HashMap, HashSet};

use requery_entities::{StoredText, event, session, task};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, Select};

use super::bounds::{Bounds, CheckedBody, check};
use super::task::{TASK, free_event_ids};
use super::{Invalid, Saved, WriteError};
use crate::protocol::limits;
use crate::protocol::model::{Metadata, Timestamp};
use crate::protocol::write::{EventPatch, NewEvent};
use crate::protocol::{EventId, TaskId};
use crate::server::database::{WriteTransaction, in_scope};

mod row;
pub use row::{EventEnding, EventToLog, finish, insert_all, revise, settle};

pub(super) const EVENT: &str = "event";

/// The events of one request, in its order, and whether one of them is new.
#[derive(Debug)]
pub struct LoggedEvents {
    /// The ids of the events.
    pub ids: Vec<EventId>,
    /// New if at least one event is new.
    pub saved: Saved,
}

/// Logs one event on a task.
pub async fn log(
    tx: &WriteTransaction,
    task_id: &TaskId,
    new: NewEvent,
    now_ms: i64,
) -> Result<LoggedEvents, WriteError> {
    check(&new)?;
    lock_chosen(tx, task_id, &[&new]).await?;
    let (session, event) = to_log(task_id, new, now_ms);
    insert(tx, task_id, vec![(session.map(|id| (id, "session_id".to_owned())), event)]).await
}

/// Logs events on a task, all of them or none.
pub async fn log_all(
    tx: &WriteTransaction,
    task_id: &TaskId,
    new: Vec<NewEvent>,
    now_ms: i64,
) -> Result<LoggedEvents, WriteError> {
    check(&new)?;
    lock_chosen(tx, task_id, &new.iter().collect::<Vec<_>>()).await?;
    let rows = new.into_iter().enumerate().map(|(at, new)| {
        let (session, event) = to_log(task_id, new, now_ms);
        (session.map(|id| (id, format!("events[{at}].session_id"))), event)
    });
    let rows = rows.collect();
    insert(tx, task_id, rows).await
}

/// Changes the fields that `patch` has and leaves the rest. Metadata is replaced as a whole.
pub async fn update(tx: &WriteTransaction, id: &EventId, patch: EventPatch) -> Result<(), WriteError> {
    check(&patch)?;

    let Some(row) = find(tx, id).lock(LockType::NoKeyUpdate).one(tx).await? else {
        return Err(WriteError::not_found(EVENT, id));
    };
    let (body, truncated) = patch.body.into_next().map(|body| body.map(cut).unzip()).unzip();
    let mut next = event::ActiveModel { position: Set(row.position), ..Default::default() };
    let mut changed = false;
    macro_rules! change {
        ($($field:ident = $value:expr),* $(,)?) => {$(
            if let Some(value) = $value && value != row.$field {
                next.$field = Set(value);
                changed = true;
            }
        )*};
    }
    change! {
        family = patch.family.into_next().map(|family| family.map(|family| family.as_str().into())),
        lane = patch.lane.into_next().map(|lane| lane.map(|lane| lane.as_str().into())),
        state = patch.state.into_next().map(|state| state.map(|state| state.as_str().into())),
        title = patch.title.map(StoredText::from),
        body = body.map(|body| body.map(StoredText::from)),
        truncated = truncated.map(Option::flatten),
        metadata = patch.metadata.map(|metadata| Some(StoredText::from(text(&metadata)))),
    }
    if changed {
        event::Entity::update(next).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Deletes an event, and the bookmark of it.
pub async fn delete(tx: &WriteTransaction, id: &EventId) -> Result<(), WriteError> {
    if find(tx, id).count(tx).await? == 0 {
        return Err(WriteError::not_found(EVENT, id));
    }
    event::Entity::delete_many().filter(event::Column::Id.eq(id.as_str())).exec(tx).await?;
    Ok(())
}

/// The event with this id. The events of a deleted task can still be there, and do not count.
pub(super) fn find(tx: &WriteTransaction, id: &EventId) -> Select<event::Entity> {
    let found = event::Entity::find().filter(event::Column::Id.eq(id.as_str()));
    in_scope::of_tasks(tx.scope(), found, event::Column::TaskId)
}

/// The session that an event names, and the path of the field with the name.
type NamedSession = Option<(String, String)>;

/// Lets requests with ids that their callers chose log on a task one after another: a repeated request finds the events
/// of the first one.
async fn lock_chosen(tx: &WriteTransaction, task_id: &TaskId, new: &[&NewEvent]) -> Result<(), WriteError> {
    if new.iter().any(|event| event.event_id.is_some()) {
        tx.lock(&format!("events {task_id}")).await?;
    }
    Ok(())
}

async fn insert(
    tx: &WriteTransaction,
    task_id: &TaskId,
    rows: Vec<(NamedSession, (EventId, EventToLog))>,
) -> Result<LoggedEvents, WriteError> {
    // The task stays until the events are there.
    let task = in_scope::task(tx.scope(), task_id.as_str()).select_only().column(task::Column::Id);
    if task.lock(LockType::KeyShare).into_tuple::<StoredText>().one(tx).await?.is_none() {
        return Err(WriteError::not_found(TASK, task_id));
    }
    check_sessions(tx, task_id, &rows).await?;
    let ids = || rows.iter().map(|(_, (id, _))| id);
    let mut existing = tasks_of(tx, ids()).await?;
    if existing.values().any(|of| of != task_id.as_str()) {
        free_event_ids(tx, ids().map(EventId::as_str)).await?;
        existing = tasks_of(tx, ids()).await?;
    }
    let mut seen = HashSet::new();
    let mut ids = Vec::with_capacity(rows.len());
    let mut fresh = Vec::with_capacity(rows.len());
    for (_, (id, row)) in rows {
        match existing.get(id.as_str()) {
            Some(of) if of == task_id.as_str() => {}
            Some(_) => return Err(WriteError::conflict(EVENT, id)),
            None if seen.insert(id.clone()) => fresh.push(row),
            None => {}
        }
        ids.push(id);
    }
    let saved = if fresh.is_empty() { Saved::There } else { Saved::New };
    insert_all(tx, fresh).await?;
    Ok(LoggedEvents { ids, saved })
}

/// The events among `ids` that exist already, each with its task.
async fn tasks_of(
    tx: &impl ConnectionTrait,
    ids: impl Iterator<Item = &EventId>,
) -> Result<HashMap<String, String>, WriteError> {
    let existing = event::Entity::find()
        .filter(event::Column::Id.is_in(ids.map(EventId::as_str)))
        .select_only()
        .columns([event::Column::Id, event::Column::TaskId]);
    let existing = existing.into_tuple::<(StoredText, StoredText)>().all(tx).await?;
    Ok(existing.into_iter().map(|(id, task_id)| (id.into(), task_id.into())).collect())
}

async fn check_sessions(
    tx: &impl ConnectionTrait,
    task_id: &TaskId,
    rows: &[(NamedSession, (EventId, EventToLog))],
) -> Result<(), WriteError> {
    let named: HashSet<&str> = rows.iter().filter_map(|(named, _)| Some(named.as_ref()?.0.as_str())).collect();
    if named.is_empty() {
        return Ok(());
    }
    let existing = session::Entity::find()
        .filter(session::Column::Id.is_in(named))
        .filter(session::Column::TaskId.eq(task_id.as_str()))
        .select_only()
        .column(session::Column::Id);
    let existing: HashSet<StoredText> = existing.into_tuple::<StoredText>().all(tx).await?.into_iter().collect();
    let mut bounds = Bounds::new();
    for (id, field) in rows.iter().filter_map(|(named, _)| named.as_ref()) {
        if !existing.contains(&StoredText::from(id.as_str())) {
            bounds.refuse(field, format!("there is no session {id} on this task"));
        }
    }
    bounds.finish()
}

fn to_log(task_id: &TaskId, new: NewEvent, now_ms: i64) -> (Option<String>, (EventId, EventToLog)) {
    let metadata = new.metadata.map(|metadata| text(&metadata));
    let created_at = new.created_at.as_ref().map_or(now_ms, Timestamp::as_ms);
    let (body, truncated) = new.body.map(cut).unzip();
    let id = new.event_id.unwrap_or_else(|| EventId::new_at(now_ms));
    let session = new.session_id.map(|id| id.to_string());
    let event = EventToLog {
        id: id.to_string(),
        task_id: task_id.to_string(),
        session_id: session.clone(),
        kind: new.kind,
        family: new.family,
        lane: new.lane,
        state: new.state,
        title: new.title.unwrap_or_default(),
        body,
        truncated: truncated.flatten(),
        metadata,
        external_id: None,
        created_at,
        updated_at: now_ms,
    };
    (session, (id, event))
}

fn text(metadata: &Metadata) -> String {
    // A map of JSON values with texts as keys can always be encoded.
    serde_json::to_string(metadata).unwrap_or_else(|_| "{}".to_owned())
}

impl CheckedBody for NewEvent {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        bound(&mut bounds, self);
        bounds.into_found()
    }
}

impl CheckedBody for Vec<NewEvent> {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        for (at, event) in self.iter().enumerate() {
            bounds.enter(format!("events[{at}]."));
            bound(&mut bounds, event);
        }
        bounds.into_found()
    }
}

impl CheckedBody for EventPatch {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        bounds.characters("title", self.title.as_deref(), limits::LINE_CHARACTERS);
        bounds.bytes("metadata", self.metadata.as_ref().map(text).as_deref());
        bounds.into_found()
    }
}

fn bound(bounds: &mut Bounds, event: &NewEvent) {
    let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'_';
    bounds.required("kind", &event.kind, limits::EVENT_KIND_CHARACTERS);
    if !event.kind.bytes().all(named) {
        bounds.refuse("kind", "may only have lower-case letters, digits, `.` and `_`");
    }
    bounds.characters("title", event.title.as_deref(), limits::LINE_CHARACTERS);
    bounds.bytes("metadata", event.metadata.as_ref().map(text).as_deref());
    bounds.time("created_at", event.created_at.as_ref());
}

/// The body, cut to the size limit, and its whole size if it was cut.
fn cut(mut body: String) -> (String, Option<i64>) {
    let whole = body.len();
    if whole <= limits::TEXT_BYTES {
        return (body, None);
    }
    body.truncate(body.floor_char_boundary(limits::TEXT_BYTES));
    (body, i64::try_from(whole).ok())
}
