//! The rows of a record: reads the task and the event, and builds the changes for the ingest verbs.

use requery_entities::{StoredText, event, task};
use sea_orm::sea_query::{LockType, NullOrdering};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};
use serde_json::{Map, Value};

use super::record::HookRecord;
use super::status::{AgentMemory, HookOutcome};
use super::timeline_row::TimelineRow;
use super::work::StoredWork;
use super::{HookTime, is_better_title, naming};
use crate::agent::name::AgentName;
use crate::agent::runtime::AgentRuntime;
use crate::protocol::model::{EventState, Lane, SessionStatus, TaskStatus};
use crate::protocol::{EventId, TaskId};
use crate::server::access::scope::Scope;
use crate::server::database::sql;
use crate::server::ingest::event::{self as events, EventEnding, EventToLog};
use crate::server::ingest::session::{self, SessionToStart};
use crate::server::ingest::task::{TaskChanges, TaskToStart, change};

/// How many other sessions of a process end with a new one. There is at most one, unless hooks were lost.
const MAX_SESSIONS_OF_PROCESS: u64 = 16;

/// The columns of a session's task that a record needs.
pub struct StoredTask {
    /// The id of the task.
    pub id: String,
    title: String,
    /// Whether the task is in no project yet, and not below another task.
    may_move: bool,
    workspace: Option<String>,
    status: String,
    status_reason: Option<String>,
    status_detail: Option<String>,
    is_certain: bool,
    status_since: i64,
    /// The state of the work.
    pub work: StoredWork,
    ingest_state: Option<String>,
    /// The time of the last hook.
    pub heard_at: Option<i64>,
    /// The project of the task.
    pub project: String,
    is_stale: bool,
}

/// The task of a session, if there is one in `scope`. The folder of a record names no project here: an agent that
/// changes its folder keeps its task. If several projects have a task of the session, the last heard one is meant.
pub async fn find_task(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    source: &AgentName,
    session_id: &str,
) -> Result<Option<task::Model>, DbErr> {
    let mut find = task::Entity::find()
        .filter(task::Column::Source.eq(source.as_str()))
        .filter(task::Column::ExternalId.eq(session_id));
    if let Some(project) = scope.project() {
        find = find.filter(task::Column::Project.eq(project));
    }
    // The record is judged by the row, so no other writer may change the row meanwhile.
    find.order_by_with_nulls(task::Column::HeardAt, Order::Desc, NullOrdering::Last)
        .order_by_desc(sql::tasks::changed_at(tx.get_database_backend()))
        .lock(LockType::NoKeyUpdate)
        .one(tx)
        .await
}

/// The task to insert for a session without one. The folder names its project, unless the scope is one project.
pub fn task_to_start(
    scope: &Scope,
    record: &HookRecord,
    process: Option<&str>,
    agent: &mut AgentMemory,
    now_ms: i64,
) -> TaskToStart {
    let title = match naming::title(record) {
        Some((titled, title)) => {
            agent.note_title(titled, &title);
            title
        }
        None => naming::first_title(record),
    };
    let (status, reason) = agent.status();
    TaskToStart {
        project: scope.project_or(record.cwd().map(naming::project).unwrap_or_default()),
        status,
        status_reason: reason.map(str::to_owned),
        status_detail: agent.detail().map(str::to_owned),
        status_certain: agent.is_certain(),
        workspace: record.cwd().map(str::to_owned),
        external_id: Some(record.session_id.clone()),
        ingest_state: memory_as_json(agent),
        heard_at: Some(now_ms),
        process: process.map(str::to_owned),
        ..TaskToStart::new(TaskId::new_at(now_ms), title, record.source.as_str().to_owned(), now_ms)
    }
}

impl From<task::Model> for StoredTask {
    fn from(row: task::Model) -> Self {
        Self {
            id: row.id.into(),
            title: row.title.into(),
            may_move: row.project.is_empty() && row.parent_task_id.is_none(),
            workspace: row.workspace.map(String::from),
            status: row.status.into(),
            status_reason: row.status_reason.map(String::from),
            status_detail: row.status_detail.map(String::from),
            is_certain: row.status_certain != 0,
            status_since: row.status_since,
            work: StoredWork {
                todos: row.todos.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
                model: row.model.map(String::from),
                branch: row.branch.map(String::from),
                commit: row.last_commit.map(String::from),
                pull_request: row.pull_request.map(String::from),
            },
            ingest_state: row.ingest_state.map(String::from),
            heard_at: row.heard_at,
            project: row.project.into(),
            is_stale: row.stale_since.is_some(),
        }
    }
}

impl StoredTask {
    /// The memory of the task's agent. If the stored memory is missing or unreadable, the status of the task replaces
    /// it.
    pub fn agent(&self) -> AgentMemory {
        let remembered = self.ingest_state.as_deref().and_then(|state| serde_json::from_str(state).ok());
        remembered
            .unwrap_or_else(|| AgentMemory::recalled(TaskStatus::parse(&self.status).unwrap_or(TaskStatus::Running)))
    }

    /// Whether a record shows that the agent is alive. A late record that ran before the last known hook does not. Two
    /// hooks can run in the same millisecond.
    pub fn is_newest(&self, time: HookTime) -> bool {
        match time {
            HookTime::Now(_) => true,
            HookTime::Late(at) => self.heard_at.is_none_or(|last| at >= last),
        }
    }

    /// The changes of the task by a record, with the time at which the agent was last heard. A change of columns that
    /// no reader sees makes no notice.
    pub fn changes(
        &self,
        record: &HookRecord,
        process: Option<&str>,
        agent: &mut AgentMemory,
        outcome: &HookOutcome,
        time: HookTime,
    ) -> TaskChanges {
        let now_ms = time.at_ms();
        let mut changes = TaskChanges::default();
        if self.is_newest(time) {
            changes.heard_at = Some(now_ms);
            // The stored process is replaced, or cleared if the record names none, in two cases: a new run is a new
            // process, and a stale agent that reports again is not the process that was checked.
            if process.is_some() || outcome.started_run.is_some() || self.is_stale {
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
            changes.workspace = Some(Some(cwd.to_owned()));
            changes.project = self.may_move.then(|| naming::project(cwd));
        }
        self.with_status_and_memory(changes, agent, outcome.decides_status, now_ms)
    }

    /// The changes of a task when its agent is given up as lost.
    pub fn changes_when_given_up(&self, agent: &AgentMemory, now_ms: i64) -> TaskChanges {
        self.with_status_and_memory(TaskChanges::default(), agent, true, now_ms)
    }

    /// The changes of a task by the word of its client, or by its processes: the status holds since `since`.
    pub fn changes_by_word(
        &self,
        process: Option<&str>,
        agent: &AgentMemory,
        outcome: &HookOutcome,
        since: i64,
    ) -> TaskChanges {
        let process = process.map(|process| Some(process.to_owned()));
        // A client that says another status is not silent.
        let stale = (outcome.decides_status && self.is_stale).then_some(None);
        let changes = TaskChanges { process, stale, ..TaskChanges::default() };
        self.with_status_and_memory(changes, agent, outcome.decides_status, since)
    }

    /// Adds the status of the task and the memory of its agent.
    fn with_status_and_memory(
        &self,
        mut changes: TaskChanges,
        agent: &AgentMemory,
        decides_status: bool,
        now_ms: i64,
    ) -> TaskChanges {
        let (status, reason) = agent.status();
        let is_shown = (status.as_str(), reason) == (self.status.as_str(), self.status_reason.as_deref());
        if decides_status && !is_shown {
            changes.status = Some(status);
            changes.status_reason = Some(reason.map(str::to_owned));
            // The database takes an unchanged time for a writer that names no time, and puts its own clock there.
            changes.status_since = Some(if now_ms == self.status_since { now_ms + 1 } else { now_ms });
            changes.status_detail = Some(agent.detail().map(str::to_owned));
        } else if decides_status && agent.detail() != self.status_detail.as_deref() {
            changes.status_detail = Some(agent.detail().map(str::to_owned));
        }
        // The word of the client can confirm a status that the hooks decided before.
        if decides_status || is_shown {
            changes.status_certain = Some(agent.is_certain()).filter(|certain| *certain != self.is_certain);
        }
        let state = memory_as_json(agent);
        if state != self.ingest_state {
            changes.ingest_state = Some(state);
        }
        changes
    }
}

/// A stored event that a record begins or ends.
#[derive(Clone)]
pub struct StoredEvent {
    /// The id of the event.
    pub id: String,
    /// The state of the event.
    pub state: EventState,
    /// The metadata as JSON.
    pub metadata: Option<String>,
}

/// The event that a record begins or ends, if it is stored already.
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
    let found = find
        .select_only()
        .columns(columns)
        .into_tuple::<(StoredText, Option<StoredText>, Option<StoredText>)>()
        .one(tx)
        .await?;
    Ok(found.map(|(id, state, metadata)| {
        let state = state.and_then(|state| EventState::parse(&state)).unwrap_or(EventState::Running);
        StoredEvent { id: id.into(), state, metadata: metadata.map(String::from) }
    }))
}

/// The facts of a run that may start with a record.
pub struct NewRun {
    /// The model that answers.
    pub model: Option<String>,
    /// The name of the machine.
    pub host: Option<String>,
}

/// Resumes, ends and inserts the runs of a record.
pub async fn save_runs(
    tx: &impl ConnectionTrait,
    task_id: &str,
    record: &HookRecord,
    outcome: &HookOutcome,
    new: NewRun,
    now_ms: i64,
) -> Result<(), DbErr> {
    if let Some(revived) = &outcome.resumed_run {
        session::resume(tx, revived).await?;
    }
    lose_run(tx, outcome, now_ms).await?;
    if let Some(began) = &outcome.started_run {
        let run = SessionToStart {
            id: began.clone(),
            task_id: task_id.to_owned(),
            source: record.source.as_str().to_owned(),
            runtime_session_id: Some(record.session_id.clone()),
            model: new.model,
            host: new.host,
            started_at: now_ms,
        };
        session::insert(tx, run).await?;
    }
    if let Some(ended) = &outcome.ended_run {
        session::end(tx, ended, SessionStatus::Completed, record.id("reason"), now_ms).await?;
    }
    Ok(())
}

/// Ends the open events whose end no hook of their own reports.
pub async fn end_events(tx: &impl ConnectionTrait, outcome: &HookOutcome) -> Result<(), DbErr> {
    for state in [EventState::Ok, EventState::Failed, EventState::Denied, EventState::Abandoned] {
        let ended: Vec<String> =
            outcome.settled_events.iter().filter(|one| one.1 == state).map(|one| one.0.clone()).collect();
        events::settle(tx, &ended, state).await?;
    }
    Ok(())
}

/// Ends the other sessions of a process that has begun a new one. A process of Claude Code has one session at a time,
/// and the hook that ends a session can be lost. A process of Codex has many sessions, and how many another agent has
/// is not known. The index of processes finds the tasks; a filter by the source would lead SQLite to all tasks of the
/// agent.
pub async fn end_other_sessions(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    begun: &HookRecord,
    process: &str,
    task_id: &str,
    now_ms: i64,
) -> Result<(), DbErr> {
    match begun.source.runtime() {
        Some(AgentRuntime::ClaudeCode) => {}
        Some(AgentRuntime::Codex) | None => return Ok(()),
    }
    let mut find = task::Entity::find()
        .filter(task::Column::Status.is_in([TaskStatus::Running.as_str(), TaskStatus::Waiting.as_str()]))
        .filter(task::Column::Process.eq(process))
        .filter(task::Column::HeardAt.lte(now_ms))
        .filter(task::Column::Id.ne(task_id));
    if let Some(project) = scope.project() {
        find = find.filter(task::Column::Project.eq(project));
    }
    let is_of_agent = |row: &task::Model| *row.source == *begun.source.as_str();
    for row in find.limit(MAX_SESSIONS_OF_PROCESS).all(tx).await?.into_iter().filter(is_of_agent) {
        let task = StoredTask::from(row);
        let mut agent = task.agent();
        let outcome = agent.end_without_a_hook();
        let changes = task.with_status_and_memory(TaskChanges::default(), &agent, true, now_ms);
        change(tx, &task.id, changes).await?;
        if let Some(ended) = &outcome.ended_run {
            session::end(tx, ended, SessionStatus::Completed, Some("another session"), now_ms).await?;
        }
        end_events(tx, &outcome).await?;
    }
    Ok(())
}

/// Ends the run of an agent that was given up: it sent no `SessionEnd`.
pub async fn give_run_up(tx: &impl ConnectionTrait, outcome: &HookOutcome, now_ms: i64) -> Result<(), DbErr> {
    if let Some(ended) = &outcome.ended_run {
        session::end(tx, ended, SessionStatus::Completed, None, now_ms).await?;
    }
    lose_run(tx, outcome, now_ms).await
}

async fn lose_run(tx: &impl ConnectionTrait, outcome: &HookOutcome, now_ms: i64) -> Result<(), DbErr> {
    match &outcome.lost_run {
        Some(lost) => session::end(tx, lost, SessionStatus::Lost, None, now_ms).await,
        None => Ok(()),
    }
}

impl StoredEvent {
    /// Whether a later record can still end the event.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.state, EventState::Running | EventState::Abandoned)
    }

    /// The end of the event. Metadata that only the beginning has stays.
    pub fn ending(&self, state: EventState, end: TimelineRow) -> EventEnding {
        let begun = self.metadata.as_deref().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        let mut metadata = begun.unwrap_or_default();
        // A call that ran was not refused, so the words of the refusal go.
        let is_corrected = self.state == EventState::Denied;
        metadata.remove("reason");
        metadata.extend(end.metadata);
        let truncated = end.truncated.and_then(|bytes| i64::try_from(bytes).ok());
        EventEnding {
            state,
            metadata: Value::Object(metadata).to_string(),
            body: match end.body.map(|body| (body, truncated)) {
                None if is_corrected => Some(None),
                body => body.map(Some),
            },
        }
    }
}

impl TimelineRow {
    /// The event to log, without a run. It happened at `at_ms`; its id is made from `now_ms`.
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

fn memory_as_json(agent: &AgentMemory) -> Option<String> {
    serde_json::to_string(agent).ok()
}
