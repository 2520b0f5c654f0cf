//! Takes the records of the hooks of coding agents.
//!
//! A record becomes at most a few rows: the task of its session, a run, an entry of the timeline. The decisions need no
//! I/O: `record` parses the body, the hook catalogue gives the effects of each hook, `status` computes the status of
//! the task, and `timeline_row` builds the entry. This file and `store` read the two rows that the decisions need, and
//! call the ingest verbs. This code never opens a path that a record names and never runs a command that a record
//! quotes.
//!
//! An agent waits until its hook returns. So a record costs few statements, and each statement finds its row by an
//! index.

mod batch;
pub(super) mod fingerprint;
mod linked_rows;
pub(super) mod machine_words;
pub(super) mod naming;
mod patch;
pub(super) mod person_words;
pub(super) mod record;
pub(super) mod refusal;
mod rows;
pub(super) mod status;
pub(super) mod store;
pub(super) mod timeline_row;
mod tool;
mod tool_body;
mod usage;
mod work;

use sea_orm::{ConnectionTrait, DbErr};

use self::record::HookRecord;
use self::rows::TakenRecord;
use self::status::{AgentMemory, FreshIds, TitleOrigin};
use self::store::StoredTask;
use self::work::{GitOutcome, StoredWork};
use crate::agent::hook_catalogue::HookName;
use crate::agent::name::AgentName;
use crate::agent::process::Process;
use crate::protocol::limits;
use crate::protocol::model::EventState;
use crate::protocol::{EventId, SessionId};
use crate::server::access::scope::Scope;
use crate::server::ingest::{self, Invalid};
use crate::server::text::NotJson;

/// Why a record is not taken.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Required fields are missing or not valid.
    #[error("{}", .0.iter().map(|one| format!("{}: {}", one.field, one.detail)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Invalid>),
    /// The body is not JSON.
    #[error("not JSON: {detail}")]
    NotJson {
        /// The fault and its place.
        detail: String,
    },
}

impl HookError {
    /// One wrong field.
    pub fn invalid(field: &str, detail: &str) -> Self {
        Self::Invalid(vec![Invalid { field: field.to_owned(), detail: detail.to_owned() }])
    }
}

impl From<NotJson> for HookError {
    fn from(NotJson { detail }: NotJson) -> Self {
        Self::NotJson { detail }
    }
}

/// When a hook ran.
#[derive(Clone, Copy, Debug)]
pub enum HookTime {
    /// Just now: the record arrived at once.
    Now(i64),
    /// At an earlier time: the record arrived late.
    Late(i64),
}

impl HookTime {
    /// The time that a late record states for itself, moved into the last week: not in the future, and at most a week
    /// ago.
    pub fn late(at_ms: i64, now_ms: i64) -> Self {
        Self::Late(at_ms.clamp(now_ms - limits::LATE.as_millis() as i64, now_ms))
    }

    fn is_late(self) -> bool {
        matches!(self, Self::Late(_))
    }

    fn at_ms(self) -> i64 {
        match self {
            Self::Now(ms) | Self::Late(ms) => ms,
        }
    }
}

/// A valid record of a hook, with its delivery id and its process.
pub struct HookDelivery {
    record: HookRecord,
    id: Option<String>,
    process: Option<String>,
    host: Option<String>,
}

impl HookDelivery {
    /// Parses a body and its delivery id. This happens outside any transaction, so that no writer waits while a long
    /// body is parsed.
    ///
    /// # Errors
    /// The body or the delivery id is not valid.
    pub fn read(source: impl Into<AgentName>, id: Option<&str>, body: &[u8]) -> Result<Self, HookError> {
        let record = HookRecord::parse(source, body)?;
        let id = match id.map(|id| uuid::Uuid::parse_str(id.trim())) {
            Some(Ok(id)) => Some(id.hyphenated().to_string()),
            Some(Err(_)) => {
                return Err(HookError::invalid("Requery-Delivery", "is not a UUID"));
            }
            None => None,
        };
        Ok(Self { record, id, process: None, host: None })
    }

    /// Adds the process of the agent.
    pub fn of(self, process: Option<&Process>) -> Self {
        Self { process: process.map(Process::to_string), ..self }
    }

    /// Adds the name of the agent's machine. A name that is too long or blank is left out.
    pub fn on(self, host: Option<&str>) -> Self {
        let host = host.map(str::trim).filter(|host| (1..=limits::HOST_CHARACTERS).contains(&host.chars().count()));
        Self { host: host.map(str::to_owned), ..self }
    }
}

/// Where the agent of a record runs, as far as the sender says.
#[derive(Clone, Copy)]
struct AgentPlace<'a> {
    process: Option<&'a str>,
    host: Option<&'a str>,
}

/// Takes one record, inside a write transaction, for a caller that may write `scope`. A delivery id that was taken
/// before has no effect.
///
/// # Errors
/// The database failed. The caller must roll the transaction back.
pub async fn take_hook(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    delivery: &HookDelivery,
    time: HookTime,
) -> Result<(), DbErr> {
    let HookDelivery { record, id, process, host } = delivery;
    store::lock(tx, &record.source, &record.session_id).await?;
    let (now_ms, place) = (time.at_ms(), AgentPlace { process: process.as_deref(), host: host.as_deref() });
    if let Some(id) = id
        && !ingest::delivery::note(tx, id, now_ms).await?
    {
        return Ok(());
    }
    if record.hook == HookName::PostToolBatch {
        let found = store::find_task(tx, scope, &record.source, &record.session_id).await?.map(StoredTask::from);
        let agent = found.as_ref().map_or_else(|| AgentMemory::new(record), StoredTask::agent);
        for call in batch::unreported_calls(record, &agent) {
            let known = match &found {
                Some(task) => store::find_event(tx, &task.id, &call, &agent).await?,
                None => None,
            };
            // A hook of its own has told the denial already.
            if known.is_none_or(|event| event.state != EventState::Denied) {
                take_record(tx, scope, &call, place, time).await?;
            }
        }
    }
    take_record(tx, scope, record, place, time).await
}

/// Keeps out the other records of the sessions of these deliveries. Two transactions with several records each take the
/// locks in the same order, so that they do not wait for each other.
pub(super) async fn lock_sessions<'d>(
    tx: &impl ConnectionTrait,
    deliveries: impl Iterator<Item = &'d HookDelivery>,
) -> Result<(), DbErr> {
    let mut sessions: Vec<_> =
        deliveries.map(|delivery| (&delivery.record.source, &delivery.record.session_id)).collect();
    sessions.sort_by_key(|(source, session_id)| (source.as_str(), session_id.as_str()));
    sessions.dedup();
    for (source, session_id) in sessions {
        store::lock(tx, source, session_id).await?;
    }
    Ok(())
}

async fn take_record(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    record: &HookRecord,
    place: AgentPlace<'_>,
    time: HookTime,
) -> Result<(), DbErr> {
    let AgentPlace { process, host } = place;
    let now_ms = time.at_ms();
    let fresh = FreshIds { session: SessionId::new_at(now_ms).to_string(), event: EventId::new_at(now_ms).to_string() };
    let found = store::find_task(tx, scope, &record.source, &record.session_id).await?.map(StoredTask::from);
    let mut agent = found.as_ref().map_or_else(|| AgentMemory::new(record), StoredTask::agent);
    let scheduled =
        (record.hook == HookName::UserPromptSubmit && agent.is_scheduled(record)).then(|| record.as_scheduled());
    let record = scheduled.as_ref().unwrap_or(record);
    // A transcript already imported this period: do not log rows without their own id again.
    let is_in_transcript = time.is_late() && agent.imported_until().is_some_and(|until| now_ms <= until);
    if !is_in_transcript {
        agent.imported = None;
    }
    let known = match &found {
        Some(task) => store::find_event(tx, &task.id, record, &agent).await?,
        None => None,
    };
    let is_newest = found.as_ref().is_none_or(|task| task.is_newest(time));
    let outcome = agent.take(record, known.as_ref().map(|event| event.state), is_newest, &fresh, now_ms);

    let git = GitOutcome::of(record);
    let (new_run_model, heard, project);
    let task_id = match found {
        Some(task) => {
            let mut changes = task.changes(record, process, &mut agent, &outcome, time);
            changes.work = task.work.changes(record, &git, is_newest);
            // A run that starts with the record has the model already.
            if let (Some(model), None, Some(run)) = (&changes.work.model, &outcome.started_run, agent.session()) {
                ingest::session::set_model(tx, run, model).await?;
            }
            new_run_model = changes.work.model.clone().or(task.work.model.clone());
            if let Some(project) = &changes.project
                && !ingest::task::may_move(tx, scope, &task.id, project).await?
            {
                changes.project = None;
            }
            // In another project or in a new run the agent may be heard for the first time.
            let before = task.heard_at.filter(|_| changes.project.is_none() && outcome.started_run.is_none());
            heard = ingest::agent::later_minute(before, now_ms).filter(|_| is_newest);
            project = changes.project.clone().unwrap_or(task.project);
            ingest::task::change(tx, &task.id, changes).await?;
            task.id
        }
        None => {
            let mut task = store::task_to_start(scope, record, process, &mut agent, now_ms);
            task.work = StoredWork::default().changes(record, &git, true);
            new_run_model = task.work.model.clone();
            heard = ingest::agent::later_minute(None, now_ms);
            project = task.project.clone();
            let id = task.id.to_string();
            ingest::task::insert(tx, task).await?;
            id
        }
    };
    let new_run = store::NewRun { model: new_run_model, host: host.map(str::to_owned) };
    store::save_runs(tx, &task_id, record, &outcome, new_run, now_ms).await?;
    store::end_events(tx, &outcome).await?;
    if let Some(minute) = heard {
        ingest::agent::heard(tx, record.source.as_str(), host, &project, minute).await?;
    }
    if let Some(process) = process.filter(|_| record.starts_run()) {
        store::end_other_sessions(tx, scope, record, process, &task_id, now_ms).await?;
    }
    if let Some(answer) = usage::of_answer(record, &fresh.event, now_ms) {
        ingest::usage::save(tx, &task_id, vec![answer]).await?;
    }
    let taken = TakenRecord { task_id: &task_id, record, agent: &agent, known, event_id: fresh.event, now_ms };
    taken.write_rows(tx, git.rows, is_in_transcript).await
}

/// Whether the title of a record replaces the title of the task. A new name of the session always does, and a prompt
/// replaces the name of the folder. A repeated session name does not: a person may have changed the title since.
fn is_better_title((titled, title): &(TitleOrigin, String), agent: &AgentMemory) -> bool {
    match titled {
        TitleOrigin::Session => agent.named.as_ref() != Some(title),
        TitleOrigin::Folder | TitleOrigin::Prompt => *titled > agent.titled,
    }
}
