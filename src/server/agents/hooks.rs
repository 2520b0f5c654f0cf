//! Takes what the hooks of coding agents report.
//!
//! A record becomes at most a few rows: the task of its session, its run, an entry of the timeline. What to make of it
//! is decided without I/O: `record` reads the body, `catalogue` says what each hook does to the timeline, `status` where
//! the task stands after it, `row` what the entry looks like. This file and `store` read the two rows that this needs
//! and write the result. Nothing here follows a path that a record names or runs a command it quotes.
//!
//! A hook keeps an agent waiting, so it costs few statements and each of them finds its row by an index.

pub(super) mod catalogue;
pub(super) mod fingerprint;
pub(super) mod place;
pub(super) mod record;
pub(super) mod row;
pub(super) mod status;
pub(super) mod store;
mod tool;

use sea_orm::{ConnectionTrait, DbErr};

use self::catalogue::{Effect, End, Hook};
use self::record::Record;
use self::row::Row;
use self::status::{Agent, Fresh, Titled};
use crate::agent::process::Process;
use crate::protocol::limits;
use crate::protocol::model::EventState;
use crate::protocol::{EventId, SessionId};
use crate::server::ingest::text::NotJson;

/// The runtime whose hook it is. It follows from the endpoint: the records themselves do not tell the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Claude Code.
    ClaudeCode,
    /// Codex.
    Codex,
}

impl Source {
    /// The text in `tasks.source`, and the last part of the endpoint.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
        }
    }

    /// The runtime of that text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ClaudeCode, Self::Codex].into_iter().find(|source| source.as_str() == text)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

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
pub enum Heard {
    /// Now.
    Now(i64),
    /// Earlier: it was sent late.
    Late(i64),
}

impl Heard {
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
pub struct Delivery {
    record: Record,
    id: Option<String>,
    process: Option<String>,
}

impl Delivery {
    /// Reads a body and its delivery's id. It needs no transaction, so that nobody waits for a long body to be parsed.
    ///
    /// # Errors
    /// One of the two is not valid.
    pub fn read(source: Source, id: Option<&str>, body: &[u8]) -> Result<Self, HookError> {
        let record = Record::parse(source, body)?;
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
pub async fn take(tx: &impl ConnectionTrait, delivery: Delivery, heard: Heard) -> Result<(), DbErr> {
    let Delivery { record, id, process } = delivery;
    let now_ms = heard.at_ms();
    let source = record.source;
    if let Some(id) = id
        && !store::deliver(tx, &id, now_ms).await?
    {
        return Ok(());
    }
    let fresh = Fresh { session: SessionId::fresh().to_string(), event: EventId::fresh().to_string() };
    let found = store::find_task(tx, source, &record.session_id).await?;
    let mut agent = found.as_ref().map_or_else(|| Agent::new(&record), store::StoredTask::agent);
    // Of a time that the session's transcript has told of, what has no name of its own is there already.
    let is_told = heard.is_late() && agent.imported_until().is_some_and(|until| now_ms <= until);
    if !is_told {
        agent.imported = None;
    }
    let known = match &found {
        Some(task) => store::find_event(tx, &task.id, &record, &agent).await?,
        None => None,
    };
    let is_news = found.as_ref().is_none_or(|task| task.is_news(heard));
    let step = agent.take(&record, known.as_ref().map(|event| event.state), is_news, &fresh);

    let task_id = match found {
        Some(task) => task.save(tx, &record, process.as_deref(), &mut agent, &step, heard).await?,
        None => store::start_task(tx, &record, process.as_deref(), &mut agent, now_ms).await?,
    };
    let timeline = store::Timeline { tx, source, task_id: &task_id, now_ms };
    timeline.save_runs(&record, &step).await?;
    timeline.abandon(&step.abandoned).await?;
    let session = agent.session();
    let state = match record.row().1 {
        Effect::None => return Ok(()),
        Effect::Log => None,
        Effect::Begin(_) => Some(EventState::Running),
        Effect::End(_, End::Ok) => Some(EventState::Ok),
        Effect::End(_, End::Failed) => Some(EventState::Failed),
        Effect::End(_, End::Denied) => Some(EventState::Denied),
    };
    match (known, state) {
        (Some(event), Some(state)) => {
            let unfinished = matches!(event.state, EventState::Running | EventState::Abandoned);
            if unfinished && state != EventState::Running {
                timeline.end(event, state, Row::of(&record)).await?;
            }
        }
        (Some(_), None) => {}
        (None, _) if is_told && record.external_id().is_none() => {}
        (None, state) => timeline.log(fresh.event, session, Row::of(&record), state, record.external_id()).await?,
    }
    if record.hook == Hook::PermissionDenied && !is_told {
        timeline.log(EventId::fresh().to_string(), session, Row::of_denial(&record), None, None).await?;
    }
    Ok(())
}

/// Whether a title that a record brings is better than the one there is: a new name of the session always is, and the
/// first thing the person said is better than the folder. A name that is said again does not undo what a person wrote.
fn is_better((titled, title): &(Titled, String), agent: &Agent) -> bool {
    match titled {
        Titled::Session => agent.named.as_ref() != Some(title),
        Titled::Folder | Titled::Prompt => *titled > agent.titled,
    }
}
