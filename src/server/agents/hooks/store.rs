//! The rows behind a record: the few that are read, and what the ingest verbs are to write.

use requery_entities::{event, task};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use serde_json::{Map, Value};

use super::record::HookRecord;
use super::status::{AgentMemory, HookOutcome};
use super::timeline_row::TimelineRow;
use super::{HookTime, is_better_title, naming};
use crate::agent::runtime::AgentRuntime;
use crate::protocol::model::{EventState, Lane, SessionStatus, TaskStatus};
use crate::protocol::{EventId, TaskId};
use crate::server::ingest::event::{EventEnding, EventToLog};
use crate::server::ingest::session::{self, SessionToStart};
use crate::server::ingest::task::{TaskChanges, TaskToStart};

/// The task of a session, as far as a record needs it.
pub struct StoredTask {
    /// Its id.
    pub id: String,
    title: String,
    project: String,
    workspace: Option<String>,
    status: String,
    status_reason: Option<String>,
    ingest_state: Option<String>,
    heard_at: Option<i64>,
    is_stale: bool,
}

/// The task of a session, if there is one.
pub async fn find_task(
    tx: &impl ConnectionTrait,
    runtime: AgentRuntime,
    session_id: &str,
) -> Result<Option<StoredTask>, DbErr> {
    let found = task::Entity::find()
        .filter(task::Column::Source.eq(runtime.as_str()))
        .filter(task::Column::ExternalId.eq(session_id))
        .one(tx)
        .await?;
    Ok(found.map(StoredTask::from))
}

/// The task to begin for a session.
pub fn task_to_start(record: &HookRecord, process: Option<&str>, agent: &mut AgentMemory, now_ms: i64) -> TaskToStart {
    let title = match naming::title(record) {
        Some((titled, title)) => {
            agent.note_title(titled, &title);
            title
        }
        None => naming::first_title(record),
    };
    let (status, reason) = agent.status();
    TaskToStart {
        project: record.cwd().map(naming::project).unwrap_or_default(),
        status,
        status_reason: reason.map(str::to_owned),
        workspace: record.cwd().map(str::to_owned),
        external_id: Some(record.session_id.clone()),
        ingest_state: remembered(agent),
        heard_at: Some(now_ms),
        process: process.map(str::to_owned),
        ..TaskToStart::new(TaskId::new_at(now_ms), title, record.runtime.as_str().to_owned(), now_ms)
    }
}

impl From<task::Model> for StoredTask {
    fn from(row: task::Model) -> Self {
        Self {
            id: row.id,
            title: row.title,
            project: row.project,
            workspace: row.workspace,
            status: row.status,
            status_reason: row.status_reason,
            ingest_state: row.ingest_state,
            heard_at: row.heard_at,
            is_stale: row.stale_since.is_some(),
        }
    }
}

impl StoredTask {
    /// What is remembered about its agent. What cannot be read counts as forgotten.
    pub fn agent(&self) -> AgentMemory {
        let remembered = self.ingest_state.as_deref().and_then(|state| serde_json::from_str(state).ok());
        remembered
            .unwrap_or_else(|| AgentMemory::recalled(TaskStatus::parse(&self.status).unwrap_or(TaskStatus::Running)))
    }

    /// Whether a record is a sign of life: one that happened before the last that was heard of is none.
    pub fn is_news(&self, heard: HookTime) -> bool {
        match heard {
            HookTime::Now(_) => true,
            HookTime::Late(at) => self.heard_at.is_none_or(|last| at > last),
        }
    }

    /// The changes that the record makes, and that its agent was heard of. A change that no reader can see makes no notice.
    pub fn changes(
        &self,
        record: &HookRecord,
        process: Option<&str>,
        agent: &mut AgentMemory,
        step: &HookOutcome,
        heard: HookTime,
    ) -> TaskChanges {
        let now_ms = heard.at_ms();
        let mut changes = TaskChanges::default();
        if self.is_news(heard) {
            changes.heard_at = Some(now_ms);
            // A new run is another process, and one that was missed and is heard of is not the one that was looked for.
            if process.is_some() || step.began.is_some() || self.is_stale {
                changes.process = Some(process.map(str::to_owned));
            }
            if self.is_stale {
                changes.stale = Some(None);
            }
        }
        if let Some((titled, title)) = naming::title(record).filter(|title| is_better_title(title, agent)) {
            agent.note_title(titled, &title);
            changes.title = Some(title).filter(|title| *title != self.title);
        }
        if let Some(cwd) = record.cwd().filter(|_| self.workspace.is_none()) {
            changes.workspace = Some(cwd.to_owned());
            changes.project = self.project.is_empty().then(|| naming::project(cwd));
        }
        self.stand(changes, agent, step.decides, now_ms)
    }

    /// The changes of a task whose agent is given up.
    pub fn changes_when_lost(&self, agent: &AgentMemory, now_ms: i64) -> TaskChanges {
        self.stand(TaskChanges::default(), agent, true, now_ms)
    }

    /// Adds where it stands, and what is remembered about its agent.
    fn stand(&self, mut changes: TaskChanges, agent: &AgentMemory, decides: bool, now_ms: i64) -> TaskChanges {
        let (status, reason) = agent.status();
        if decides && (status.as_str(), reason) != (self.status.as_str(), self.status_reason.as_deref()) {
            changes.status = Some(status);
            changes.status_reason = Some(reason.map(str::to_owned));
            changes.status_since = Some(now_ms);
        }
        let state = remembered(agent);
        if state != self.ingest_state {
            changes.ingest_state = Some(state);
        }
        changes
    }
}

/// The row that a record begins or ends.
#[derive(Clone)]
pub struct StoredEvent {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub state: EventState,
    /// What is known of it, as JSON.
    pub metadata: Option<String>,
}

/// The row that a record begins or ends, if it is there already.
pub async fn find_event(
    tx: &impl ConnectionTrait,
    task_id: &str,
    record: &HookRecord,
    agent: &AgentMemory,
) -> Result<Option<StoredEvent>, DbErr> {
    let find = event::Entity::find();
    let find = match (record.external_id(), record.key()) {
        (Some(id), _) => find.filter(event::Column::TaskId.eq(task_id)).filter(event::Column::ExternalId.eq(id)),
        (None, Some(key)) => match agent.open(&key) {
            Some(id) => find.filter(event::Column::Id.eq(id)).filter(event::Column::TaskId.eq(task_id)),
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    let columns = [event::Column::Id, event::Column::State, event::Column::Metadata];
    let found: Option<(String, Option<String>, Option<String>)> =
        find.select_only().columns(columns).into_tuple().one(tx).await?;
    Ok(found.map(|(id, state, metadata)| {
        let state = state.and_then(|state| EventState::parse(&state)).unwrap_or(EventState::Running);
        StoredEvent { id, state, metadata }
    }))
}

/// Ends and begins runs.
pub async fn save_runs(
    tx: &impl ConnectionTrait,
    task_id: &str,
    record: &HookRecord,
    step: &HookOutcome,
    now_ms: i64,
) -> Result<(), DbErr> {
    if let Some(revived) = &step.revived {
        session::resume(tx, revived).await?;
    }
    lose_run(tx, step, now_ms).await?;
    if let Some(began) = &step.began {
        let run = SessionToStart {
            id: began.clone(),
            task_id: task_id.to_owned(),
            source: record.runtime.as_str().to_owned(),
            runtime_session_id: Some(record.session_id.clone()),
            started_at: now_ms,
        };
        session::insert(tx, run).await?;
    }
    if let Some(ended) = &step.ended {
        session::end(tx, ended, SessionStatus::Completed, record.id("reason"), now_ms).await?;
    }
    Ok(())
}

/// Ends a run that did not say so.
pub async fn lose_run(tx: &impl ConnectionTrait, step: &HookOutcome, now_ms: i64) -> Result<(), DbErr> {
    match &step.lost {
        Some(lost) => session::end(tx, lost, SessionStatus::Lost, None, now_ms).await,
        None => Ok(()),
    }
}

impl StoredEvent {
    /// Its end. What its beginning knew and its end does not say stays.
    pub fn ending(&self, state: EventState, end: TimelineRow) -> EventEnding {
        let begun = self.metadata.as_deref().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        let mut metadata = begun.unwrap_or_default();
        metadata.extend(end.metadata);
        let truncated = end.truncated.and_then(|bytes| i64::try_from(bytes).ok());
        EventEnding {
            state,
            metadata: Value::Object(metadata).to_string(),
            body: end.body.map(|body| (body, truncated)),
        }
    }
}

impl TimelineRow {
    /// The event to log, which happened at `at_ms`, with an id of its own of `now_ms` and in no run.
    pub fn into_event(self, task_id: &str, at_ms: i64, now_ms: i64) -> EventToLog {
        let metadata = Some(self.metadata).filter(|metadata| !metadata.is_empty());
        EventToLog {
            id: EventId::new_at(now_ms).to_string(),
            task_id: task_id.to_owned(),
            session_id: None,
            kind: self.kind.to_owned(),
            family: self.family,
            lane: Some(Lane::of(self.kind, self.family)),
            state: None,
            title: self.title,
            body: self.body,
            metadata: metadata.map(|metadata| Value::Object(metadata).to_string()),
            truncated: self.truncated.and_then(|bytes| i64::try_from(bytes).ok()),
            external_id: None,
            created_at: at_ms,
            updated_at: at_ms,
        }
    }
}

fn remembered(agent: &AgentMemory) -> Option<String> {
    serde_json::to_string(agent).ok()
}
