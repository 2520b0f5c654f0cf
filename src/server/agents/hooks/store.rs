//! The rows behind a record: the few that are read, and those that are written.

use requery_entities::{delivery, event, session, task};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use serde_json::{Map, Value};

use super::record::Record;
use super::row::Row;
use super::status::{Agent, Step};
use super::{Heard, is_better, place};
use crate::agent::runtime::AgentRuntime;
use crate::protocol::model::{EventState, Lane, SessionStatus, TaskMode, TaskStatus};
use crate::protocol::{EventId, TaskId};

/// Notes a delivery. False: it was taken before.
pub async fn deliver(tx: &impl ConnectionTrait, id: &str, now_ms: i64) -> Result<bool, DbErr> {
    let row = delivery::ActiveModel { id: Set(id.to_owned()), at: Set(now_ms) };
    let insert = delivery::Entity::insert(row).on_conflict(OnConflict::new().do_nothing().to_owned());
    Ok(insert.exec_without_returning(tx).await? > 0)
}

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

/// Begins the task of a session.
pub async fn start_task(
    tx: &impl ConnectionTrait,
    record: &Record,
    process: Option<&str>,
    agent: &mut Agent,
    now_ms: i64,
) -> Result<String, DbErr> {
    let id = TaskId::fresh().to_string();
    let title = match place::title(record) {
        Some((titled, title)) => {
            agent.entitle(titled, &title);
            title
        }
        None => place::first_title(record),
    };
    let (status, reason) = agent.status();
    let row = task::ActiveModel {
        id: Set(id.clone()),
        title: Set(title),
        project: Set(record.cwd().map(place::project).unwrap_or_default()),
        status: Set(status.as_str().to_owned()),
        mode: Set(TaskMode::Primary.as_str().to_owned()),
        workspace: Set(record.cwd().map(str::to_owned)),
        source: Set(record.runtime.as_str().to_owned()),
        external_id: Set(Some(record.session_id.clone())),
        status_reason: Set(reason.map(str::to_owned)),
        status_since: Set(now_ms),
        ingest_state: Set(remembered(agent)),
        changed_at: Set(now_ms),
        created_at: Set(now_ms),
        parent_task_id: NotSet,
        parent_session_id: NotSet,
        heard_at: Set(Some(now_ms)),
        process: Set(process.map(str::to_owned)),
        stale_since: NotSet,
        stale_reason: NotSet,
        summary: NotSet,
        event_count: NotSet,
    };
    task::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(id)
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
    pub fn agent(&self) -> Agent {
        let remembered = self.ingest_state.as_deref().and_then(|state| serde_json::from_str(state).ok());
        remembered.unwrap_or_else(|| Agent::recalled(TaskStatus::parse(&self.status).unwrap_or(TaskStatus::Running)))
    }

    /// Whether a record is a sign of life: one that happened before the last that was heard of is none.
    pub fn is_news(&self, heard: Heard) -> bool {
        match heard {
            Heard::Now(_) => true,
            Heard::Late(at) => self.heard_at.is_none_or(|last| at > last),
        }
    }

    /// Writes what the record changed about it, and that its agent was heard of. Where nothing changed that somebody
    /// can see, that makes no notice.
    pub async fn save(
        self,
        tx: &impl ConnectionTrait,
        record: &Record,
        process: Option<&str>,
        agent: &mut Agent,
        step: &Step,
        heard: Heard,
    ) -> Result<String, DbErr> {
        let now_ms = heard.at_ms();
        let mut row = <task::ActiveModel as Default>::default();
        if self.is_news(heard) {
            row.heard_at = Set(Some(now_ms));
            // A new run is another process, and one that was missed and is heard of is not the one that was looked for.
            if process.is_some() || step.began.is_some() || self.is_stale {
                row.process = Set(process.map(str::to_owned));
            }
            if self.is_stale {
                (row.stale_since, row.stale_reason) = (Set(None), Set(None));
            }
        }
        if let Some((titled, title)) = place::title(record).filter(|title| is_better(title, agent)) {
            agent.entitle(titled, &title);
            if title != self.title {
                row.title = Set(title);
            }
        }
        if let Some(cwd) = record.cwd().filter(|_| self.workspace.is_none()) {
            row.workspace = Set(Some(cwd.to_owned()));
            if self.project.is_empty() {
                row.project = Set(place::project(cwd));
            }
        }
        self.stand(&mut row, agent, step.decides, now_ms);
        if row.is_changed() {
            task::Entity::update_many().set(row).filter(task::Column::Id.eq(&self.id)).exec(tx).await?;
        }
        Ok(self.id)
    }

    /// Writes that it is given up.
    pub async fn save_lost(self, tx: &impl ConnectionTrait, agent: &Agent, now_ms: i64) -> Result<(), DbErr> {
        let mut row = <task::ActiveModel as Default>::default();
        self.stand(&mut row, agent, true, now_ms);
        task::Entity::update_many().set(row).filter(task::Column::Id.eq(&self.id)).exec(tx).await.map(drop)
    }

    /// Where it stands, and what is remembered about its agent.
    fn stand(&self, row: &mut task::ActiveModel, agent: &Agent, decides: bool, now_ms: i64) {
        let (status, reason) = agent.status();
        if decides && (status.as_str(), reason) != (self.status.as_str(), self.status_reason.as_deref()) {
            row.status = Set(status.as_str().to_owned());
            row.status_reason = Set(reason.map(str::to_owned));
            row.status_since = Set(now_ms);
        }
        let state = remembered(agent);
        if state != self.ingest_state {
            row.ingest_state = Set(state);
        }
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
    record: &Record,
    agent: &Agent,
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

/// Where the rows of a record go.
pub struct Timeline<'a, C> {
    /// The transaction.
    pub tx: &'a C,
    /// The runtime.
    pub runtime: AgentRuntime,
    /// The task.
    pub task_id: &'a str,
    /// When the record came, which is when it happened: the record itself does not say.
    pub now_ms: i64,
}

impl<C: ConnectionTrait> Timeline<'_, C> {
    /// Goes on with a run that was given up.
    async fn revive(&self, run: &str) -> Result<(), DbErr> {
        let row = session::ActiveModel {
            status: Set(SessionStatus::Running.as_str().to_owned()),
            ended_at: Set(None),
            ..Default::default()
        };
        let lost = session::Column::Status.eq(SessionStatus::Lost.as_str());
        let update = session::Entity::update_many().set(row).filter(session::Column::Id.eq(run)).filter(lost);
        update.exec(self.tx).await.map(drop)
    }

    /// Ends and begins runs.
    pub async fn save_runs(&self, record: &Record, step: &Step) -> Result<(), DbErr> {
        if let Some(revived) = &step.revived {
            self.revive(revived).await?;
        }
        self.lose_run(step).await?;
        if let Some(began) = &step.began {
            let row = session::ActiveModel {
                id: Set(began.clone()),
                task_id: Set(self.task_id.to_owned()),
                source: Set(self.runtime.as_str().to_owned()),
                runtime_session_id: Set(Some(record.session_id.clone())),
                status: Set(SessionStatus::Running.as_str().to_owned()),
                started_at: Set(self.now_ms),
                summary: NotSet,
                ended_at: NotSet,
            };
            session::Entity::insert(row).exec_without_returning(self.tx).await?;
        }
        if let Some(ended) = &step.ended {
            self.end_run(ended, SessionStatus::Completed, record.id("reason")).await?;
        }
        Ok(())
    }

    /// Ends a run that did not say so.
    pub async fn lose_run(&self, step: &Step) -> Result<(), DbErr> {
        match &step.lost {
            Some(lost) => self.end_run(lost, SessionStatus::Lost, None).await,
            None => Ok(()),
        }
    }

    async fn end_run(&self, id: &str, status: SessionStatus, summary: Option<&str>) -> Result<(), DbErr> {
        let row = session::ActiveModel {
            status: Set(status.as_str().to_owned()),
            summary: Set(summary.map(str::to_owned)),
            ended_at: Set(Some(self.now_ms)),
            ..Default::default()
        };
        // One that somebody else has ended keeps its end.
        let running = session::Column::Status.eq(SessionStatus::Running.as_str());
        let update = session::Entity::update_many().set(row).filter(session::Column::Id.eq(id)).filter(running);
        update.exec(self.tx).await.map(drop)
    }

    /// Closes rows that had no end of their own.
    pub async fn abandon(&self, events: &[String]) -> Result<(), DbErr> {
        if events.is_empty() {
            return Ok(());
        }
        let row =
            event::ActiveModel { state: Set(Some(EventState::Abandoned.as_str().to_owned())), ..Default::default() };
        event::Entity::update_many()
            .set(row)
            .filter(event::Column::Id.is_in(events.iter().map(String::as_str)))
            .filter(event::Column::State.eq(EventState::Running.as_str()))
            .exec(self.tx)
            .await
            .map(drop)
    }

    /// Ends a row. What its beginning knew and its end does not say stays.
    pub async fn end(&self, event: StoredEvent, state: EventState, end: Row) -> Result<(), DbErr> {
        let begun = event.metadata.as_deref().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        let mut metadata = begun.unwrap_or_default();
        metadata.extend(end.metadata);
        let mut row = event::ActiveModel {
            state: Set(Some(state.as_str().to_owned())),
            metadata: Set(Some(Value::Object(metadata).to_string())),
            ..Default::default()
        };
        if end.body.is_some() {
            row.body = Set(end.body);
            row.truncated = Set(end.truncated.and_then(|bytes| i64::try_from(bytes).ok()));
        }
        event::Entity::update_many().set(row).filter(event::Column::Id.eq(event.id)).exec(self.tx).await.map(drop)
    }

    /// Logs a row.
    pub async fn log(
        &self,
        id: String,
        session: Option<&str>,
        row: Row,
        state: Option<EventState>,
        external_id: Option<String>,
    ) -> Result<(), DbErr> {
        let row = event::ActiveModel {
            id: Set(id),
            session_id: Set(session.map(str::to_owned)),
            ..self.event(row, state, external_id)
        };
        event::Entity::insert(row).exec_without_returning(self.tx).await.map(drop)
    }

    /// A row as it is stored, with an id of its own.
    pub fn event(&self, row: Row, state: Option<EventState>, external_id: Option<String>) -> event::ActiveModel {
        let metadata = Some(row.metadata).filter(|metadata| !metadata.is_empty());
        event::ActiveModel {
            id: Set(EventId::fresh().to_string()),
            task_id: Set(self.task_id.to_owned()),
            session_id: Set(None),
            kind: Set(row.kind.to_owned()),
            family: Set(row.family.map(|family| family.as_str().to_owned())),
            lane: Set(Some(Lane::of(row.kind, row.family).as_str().to_owned())),
            state: Set(state.map(|state| state.as_str().to_owned())),
            title: Set(row.title),
            body: Set(row.body),
            metadata: Set(metadata.map(|metadata| Value::Object(metadata).to_string())),
            truncated: Set(row.truncated.and_then(|bytes| i64::try_from(bytes).ok())),
            external_id: Set(external_id),
            created_at: Set(self.now_ms),
            updated_at: Set(self.now_ms),
            position: NotSet,
        }
    }
}

fn remembered(agent: &Agent) -> Option<String> {
    serde_json::to_string(agent).ok()
}
