//! Takes what the hooks of coding agents report.
//!
//! A record becomes at most a few rows: the task of its session, its run, an entry of the timeline. What to make of it
//! is decided without I/O: `record` reads the body, the catalogue of hooks says what each does to the timeline, `status` where
//! the task stands after it, `row` what the entry looks like. This file and `store` read the two rows that this needs
//! and call the ingest verbs. Nothing here follows a path that a record names or runs a command it quotes.
//!
//! A hook keeps an agent waiting, so it costs few statements and each of them finds its row by an index.

pub(super) mod fingerprint;
pub(super) mod naming;
pub(super) mod record;
pub(super) mod status;
pub(super) mod store;
pub(super) mod timeline_row;
mod tool;

use sea_orm::{ConnectionTrait, DbErr};

use self::record::HookRecord;
use self::status::{AgentMemory, FreshIds, TitleOrigin};
use self::timeline_row::TimelineRow;
use crate::agent::hook_catalogue::{HookName, RowEffect, RowEnd};
use crate::agent::process::Process;
use crate::agent::runtime::AgentRuntime;
use crate::protocol::limits;
use crate::protocol::model::EventState;
use crate::protocol::{EventId, SessionId};
use crate::server::ingest;
use crate::server::ingest::event::EventToLog;
use crate::server::ingest::text::NotJson;

/// Why a record is not taken.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It lacks what a record cannot do without.
    #[error("{field} {detail}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// It is not JSON.
    #[error("not JSON: {detail}")]
    NotJson {
        /// What is wrong, and where.
        detail: String,
    },
}

impl From<NotJson> for HookError {
    fn from(NotJson { detail }: NotJson) -> Self {
        Self::NotJson { detail }
    }
}

/// When a record happened.
#[derive(Clone, Copy, Debug)]
pub enum HookTime {
    /// Now.
    Now(i64),
    /// Earlier: it was sent late.
    Late(i64),
}

impl HookTime {
    /// When a record happened that says so itself: not in the future, and at most a week ago.
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

/// What a hook sent, read and found good.
pub struct HookDelivery {
    record: HookRecord,
    id: Option<String>,
    process: Option<String>,
}

impl HookDelivery {
    /// Reads a body and its delivery's id. It needs no transaction, so that nobody waits for a long body to be parsed.
    ///
    /// # Errors
    /// One of the two is not valid.
    pub fn read(runtime: AgentRuntime, id: Option<&str>, body: &[u8]) -> Result<Self, HookError> {
        let record = HookRecord::parse(runtime, body)?;
        let id = match id.map(|id| uuid::Uuid::parse_str(id.trim())) {
            Some(Ok(id)) => Some(id.hyphenated().to_string()),
            Some(Err(_)) => {
                return Err(HookError::Invalid { field: "Requery-Delivery", detail: "is not a UUID".into() });
            }
            None => None,
        };
        Ok(Self { record, id, process: None })
    }

    /// Says which process the agent is.
    pub fn of(self, process: Option<&Process>) -> Self {
        Self { process: process.map(Process::to_string), ..self }
    }
}

/// Takes one record, inside a write transaction. The same delivery is taken once.
///
/// # Errors
/// The database failed, and the transaction is to be rolled back.
pub async fn take_hook(tx: &impl ConnectionTrait, delivery: HookDelivery, heard: HookTime) -> Result<(), DbErr> {
    let HookDelivery { record, id, process } = delivery;
    let now_ms = heard.at_ms();
    if let Some(id) = id
        && !ingest::delivery::note(tx, &id, now_ms).await?
    {
        return Ok(());
    }
    let fresh = FreshIds { session: SessionId::new_at(now_ms).to_string(), event: EventId::new_at(now_ms).to_string() };
    let found = store::find_task(tx, record.runtime, &record.session_id).await?;
    let mut agent = found.as_ref().map_or_else(|| AgentMemory::new(&record), store::StoredTask::agent);
    // A transcript already imported this period: do not log rows without their own id again.
    let is_in_transcript = heard.is_late() && agent.imported_until().is_some_and(|until| now_ms <= until);
    if !is_in_transcript {
        agent.imported = None;
    }
    let known = match &found {
        Some(task) => store::find_event(tx, &task.id, &record, &agent).await?,
        None => None,
    };
    let is_news = found.as_ref().is_none_or(|task| task.is_news(heard));
    let step = agent.take(&record, known.as_ref().map(|event| event.state), is_news, &fresh);

    let task_id = match found {
        Some(task) => {
            let changes = task.changes(&record, process.as_deref(), &mut agent, &step, heard);
            ingest::task::change(tx, &task.id, changes).await?;
            task.id
        }
        None => {
            let task = store::task_to_start(&record, process.as_deref(), &mut agent, now_ms);
            let id = task.id.to_string();
            ingest::task::insert(tx, task).await?;
            id
        }
    };
    store::save_runs(tx, &task_id, &record, &step, now_ms).await?;
    ingest::event::abandon(tx, &step.abandoned).await?;
    let state = match record.row().1 {
        RowEffect::None => return Ok(()),
        RowEffect::Log => None,
        RowEffect::Begin(_) => Some(EventState::Running),
        RowEffect::End(_, RowEnd::Ok) => Some(EventState::Ok),
        RowEffect::End(_, RowEnd::Failed) => Some(EventState::Failed),
        RowEffect::End(_, RowEnd::Denied) => Some(EventState::Denied),
    };
    let session_id = agent.session().map(str::to_owned);
    match (known, state) {
        (Some(event), Some(state)) => {
            let unfinished = matches!(event.state, EventState::Running | EventState::Abandoned);
            if unfinished && state != EventState::Running {
                ingest::event::finish(tx, &event.id, event.ending(state, TimelineRow::of(&record))).await?;
            }
        }
        (Some(_), None) => {}
        (None, _) if is_in_transcript && record.external_id().is_none() => {}
        (None, state) => {
            let (external_id, session_id) = (record.external_id(), session_id.clone());
            let row = TimelineRow::of(&record).into_event(&task_id, now_ms, now_ms);
            let event = EventToLog { id: fresh.event, session_id, state, external_id, ..row };
            ingest::event::insert_all(tx, vec![event]).await?;
        }
    }
    if record.hook == HookName::PermissionDenied && !is_in_transcript {
        let event = EventToLog { session_id, ..TimelineRow::of_denial(&record).into_event(&task_id, now_ms, now_ms) };
        ingest::event::insert_all(tx, vec![event]).await?;
    }
    Ok(())
}

/// Whether a title that a record brings is better than the one there is: a new name of the session always is, and the
/// first thing the person said is better than the folder. A name that is said again does not undo what a person wrote.
fn is_better_title((titled, title): &(TitleOrigin, String), agent: &AgentMemory) -> bool {
    match titled {
        TitleOrigin::Session => agent.named.as_ref() != Some(title),
        TitleOrigin::Folder | TitleOrigin::Prompt => *titled > agent.titled,
    }
}
