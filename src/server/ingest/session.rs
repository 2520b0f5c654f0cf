//! Starting and ending sessions.

use requery_entities::{StoredText, session, task};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::LockType;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

use super::bounds::{Bounds, CheckedBody, check};
use super::task::{TASK, free_session_id};
use super::{Invalid, Saved, WriteError};
use crate::protocol::limits;
use crate::protocol::model::{SessionStatus, Timestamp};
use crate::protocol::write::{Change, NewSession, SessionPatch};
use crate::protocol::{SessionId, TaskId};
use crate::server::database::{WriteTransaction, in_scope};

const SESSION: &str = "session";

/// A session to start. Its fields are checked already.
#[derive(Clone, Debug)]
pub struct SessionToStart {
    /// Its id.
    pub id: String,
    /// The task that it works on.
    pub task_id: String,
    /// The runtime, or another writer's name.
    pub source: String,
    /// The runtime's own name for it.
    pub runtime_session_id: Option<String>,
    /// The model that answers.
    pub model: Option<String>,
    /// The name of the machine.
    pub host: Option<String>,
    /// The time of its beginning.
    pub started_at: i64,
}

/// Starts a session of an agent. If the task has a session with this id, that session stays as it is.
pub async fn start(
    tx: &WriteTransaction,
    task_id: &TaskId,
    new: NewSession,
    now_ms: i64,
) -> Result<(SessionId, Saved), WriteError> {
    check(&new)?;
    let started_at = new.started_at.as_ref().map_or(now_ms, Timestamp::as_ms);

    if let Some(id) = &new.session_id {
        tx.lock(&format!("session {id}")).await?;
    }
    let source = in_scope::task(tx.scope(), task_id.as_str()).select_only().column(task::Column::Source);
    let Some(source) = source.lock(LockType::KeyShare).into_tuple::<StoredText>().one(tx).await? else {
        return Err(WriteError::not_found(TASK, task_id));
    };
    if let Some(id) = &new.session_id {
        free_session_id(tx, id.as_str()).await?;
    }
    if let Some(id) = &new.session_id
        && let Some(row) = session::Entity::find_by_id(id.as_str()).one(tx).await?
    {
        return if row.task_id == task_id.as_str() {
            Ok((id.clone(), Saved::There))
        } else {
            Err(WriteError::conflict(SESSION, id))
        };
    }
    let id = new.session_id.unwrap_or_else(|| SessionId::new_at(now_ms));
    let session = SessionToStart {
        id: id.to_string(),
        task_id: task_id.to_string(),
        source: new.source.unwrap_or_else(|| source.into()),
        runtime_session_id: new.runtime_session_id,
        model: None,
        host: None,
        started_at,
    };
    insert(tx, session).await?;
    Ok((id, Saved::New))
}

/// Changes the fields that `patch` has and leaves the rest. A session that runs again loses its end.
pub async fn update(tx: &WriteTransaction, id: &SessionId, patch: SessionPatch, now_ms: i64) -> Result<(), WriteError> {
    check(&patch)?;

    let found = session::Entity::find_by_id(id.as_str());
    let found = in_scope::of_tasks(tx.scope(), found, session::Column::TaskId).lock(LockType::NoKeyUpdate);
    let Some(row) = found.one(tx).await? else {
        return Err(WriteError::not_found(SESSION, id));
    };
    let status = patch.status.map(SessionStatus::as_str).filter(|status| row.status != *status);
    let runs = status.unwrap_or(&row.status) == SessionStatus::Running.as_str();
    let ended_at = match patch.ended_at {
        Change::Set(_) if runs => return Err(WriteError::invalid("ended_at", "the session is running")),
        Change::Clear if !runs => return Err(WriteError::invalid("ended_at", "cannot be null: the session has ended")),
        Change::Keep | Change::Clear if runs => None,
        Change::Set(time) => Some(time.as_ms()),
        Change::Keep | Change::Clear => row.ended_at.or(Some(now_ms)),
    };
    let summary = patch.summary.into_next().filter(|summary| row.summary.as_deref() != summary.as_deref());
    // Only what changes is written: a stored text that is not UTF-8 stays as it is.
    let next = session::ActiveModel {
        status: status.map_or(NotSet, |status| Set(status.into())),
        ended_at: if ended_at == row.ended_at { NotSet } else { Set(ended_at) },
        summary: summary.map_or(NotSet, |summary| Set(summary.map(StoredText::from))),
        ..Default::default()
    };
    if next.is_changed() {
        session::Entity::update_many().set(next).filter(session::Column::Id.eq(id.as_str())).exec(tx).await?;
    }
    Ok(())
}

/// Writes a new, running session.
pub async fn insert(tx: &impl ConnectionTrait, session: SessionToStart) -> Result<(), DbErr> {
    let row = session::ActiveModel {
        id: Set(session.id.into()),
        task_id: Set(session.task_id.into()),
        source: Set(session.source.into()),
        runtime_session_id: Set(session.runtime_session_id.map(StoredText::from)),
        status: Set(SessionStatus::Running.as_str().into()),
        summary: Set(None),
        started_at: Set(session.started_at),
        ended_at: Set(None),
        model: Set(session.model.map(StoredText::from)),
        host: Set(session.host.map(StoredText::from)),
    };
    session::Entity::insert(row).exec_without_returning(tx).await.map(drop)
}

/// Ends a running session. A session that another writer has ended keeps its end.
pub async fn end(
    tx: &impl ConnectionTrait,
    id: &str,
    status: SessionStatus,
    summary: Option<&str>,
    now_ms: i64,
) -> Result<(), DbErr> {
    let row = session::ActiveModel {
        status: Set(status.as_str().into()),
        summary: Set(summary.map(StoredText::from)),
        ended_at: Set(Some(now_ms)),
        ..Default::default()
    };
    change_if(tx, id, SessionStatus::Running, row).await
}

/// Lets a session run again that was given up as lost.
pub async fn resume(tx: &impl ConnectionTrait, id: &str) -> Result<(), DbErr> {
    let row = session::ActiveModel {
        status: Set(SessionStatus::Running.as_str().into()),
        ended_at: Set(None),
        ..Default::default()
    };
    change_if(tx, id, SessionStatus::Lost, row).await
}

/// Notes that another model answers in a session from now on.
pub async fn set_model(tx: &impl ConnectionTrait, id: &str, model: &str) -> Result<(), DbErr> {
    let row = session::ActiveModel { model: Set(Some(model.into())), ..Default::default() };
    session::Entity::update_many().set(row).filter(session::Column::Id.eq(id)).exec(tx).await.map(drop)
}

/// Changes a session, if it has this status.
async fn change_if(
    tx: &impl ConnectionTrait,
    id: &str,
    status: SessionStatus,
    row: session::ActiveModel,
) -> Result<(), DbErr> {
    let update = session::Entity::update_many().set(row).filter(session::Column::Id.eq(id));
    update.filter(session::Column::Status.eq(status.as_str())).exec(tx).await.map(drop)
}

impl CheckedBody for NewSession {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        if let Some(source) = &self.source {
            bounds.required("source", source, limits::SOURCE_CHARACTERS);
        }
        bounds.characters("runtime_session_id", self.runtime_session_id.as_deref(), limits::LINE_CHARACTERS);
        bounds.time("started_at", self.started_at.as_ref());
        bounds.into_found()
    }
}

impl CheckedBody for SessionPatch {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        bounds.bytes("summary", self.summary.value().map(String::as_str));
        bounds.time("ended_at", self.ended_at.value());
        bounds.into_found()
    }
}
