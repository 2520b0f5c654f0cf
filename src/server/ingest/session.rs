//! Starting and ending sessions.

use requery_entities::{session, task};
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, EntityTrait, QuerySelect};

use super::bounds::Bounds;
use super::task::not_found;
use super::{Saved, WriteError};
use crate::protocol::limits;
use crate::protocol::model::SessionStatus;
use crate::protocol::write::{NewSession, SessionPatch};
use crate::protocol::{SessionId, TaskId};

const SESSION: &str = "session";

/// Begins a run of an agent. The same id on the same task is the same session, and stays as it is.
pub async fn start(
    tx: &impl ConnectionTrait,
    task_id: &TaskId,
    new: NewSession,
    now_ms: i64,
) -> Result<(SessionId, Saved), WriteError> {
    let mut bounds = Bounds::new();
    if let Some(source) = &new.source {
        bounds.needed("source", source, limits::SOURCE_CHARACTERS);
    }
    bounds.characters("runtime_session_id", new.runtime_session_id.as_deref(), limits::LINE_CHARACTERS);
    let started_at = bounds.time("started_at", new.started_at.as_ref()).unwrap_or(now_ms);
    bounds.finish()?;

    let source = task::Entity::find_by_id(task_id.as_str()).select_only().column(task::Column::Source);
    let Some(source) = source.into_tuple::<String>().one(tx).await? else {
        return Err(not_found(task_id));
    };
    if let Some(id) = &new.session_id
        && let Some(row) = session::Entity::find_by_id(id.as_str()).one(tx).await?
    {
        return if row.task_id == task_id.as_str() {
            Ok((id.clone(), Saved::There))
        } else {
            Err(WriteError::Conflict { what: SESSION, id: id.to_string(), detail: "works on another task" })
        };
    }
    let id = new.session_id.unwrap_or_else(SessionId::fresh);
    let row = session::ActiveModel {
        id: Set(id.to_string()),
        task_id: Set(task_id.to_string()),
        source: Set(new.source.unwrap_or(source)),
        runtime_session_id: Set(new.runtime_session_id),
        status: Set(SessionStatus::Running.to_string()),
        summary: Set(None),
        started_at: Set(started_at),
        ended_at: Set(None),
    };
    session::Entity::insert(row).exec_without_returning(tx).await?;
    Ok((id, Saved::New))
}

/// Changes what is said and leaves the rest. One that runs again has not ended.
pub async fn update(
    tx: &impl ConnectionTrait,
    id: &SessionId,
    patch: SessionPatch,
    now_ms: i64,
) -> Result<(), WriteError> {
    let mut bounds = Bounds::new();
    bounds.bytes("summary", patch.summary.as_deref());
    let ended_at = bounds.time("ended_at", patch.ended_at.as_ref());
    bounds.finish()?;

    let Some(row) = session::Entity::find_by_id(id.as_str()).one(tx).await? else {
        return Err(WriteError::NotFound { what: SESSION, id: id.to_string() });
    };
    let status = patch.status.map_or(row.status.clone(), |status| status.to_string());
    let runs = status == SessionStatus::Running.as_str();
    if runs && ended_at.is_some() {
        return Err(WriteError::invalid("ended_at", "the session is running"));
    }
    let ended_at = if runs { None } else { ended_at.or(row.ended_at).or(Some(now_ms)) };
    let summary = patch.summary.or_else(|| row.summary.clone());
    if (&status, ended_at, &summary) != (&row.status, row.ended_at, &row.summary) {
        let next = session::ActiveModel {
            id: Set(row.id),
            status: Set(status),
            ended_at: Set(ended_at),
            summary: Set(summary),
            ..Default::default()
        };
        session::Entity::update(next).exec_without_returning(tx).await?;
    }
    Ok(())
}
