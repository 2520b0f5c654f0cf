//! Takes the words of clients, and the commands that run below agents, as signs of answers that no hook reports.
//!
//! The caller reads the files and the processes. This code decides which tasks change, and writes them.

use std::collections::BTreeSet;

use requery_entities::task;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::agent::process::Process;
use crate::agent::runtime::AgentRuntime;
use crate::agent::session_file::SpeakingSession;
use crate::protocol::model::TaskStatus;
use crate::server::agents::hooks::status::{AgentMemory, HookOutcome};
use crate::server::agents::hooks::store::{self, StoredTask};
use crate::server::ingest;

/// How many tasks are looked at in one pass. A machine runs fewer sessions than this.
const MAX_TASKS: u64 = 1_000;

/// The signs from outside at one time.
pub struct OutsideSigns {
    /// The sessions that say their status.
    pub sessions: Vec<SpeakingSession>,
    /// The ids of the sessions that said a word before, and may have ended since.
    pub heard_before: BTreeSet<String>,
    /// The time.
    pub now_ms: i64,
}

/// A task that the signs change.
#[derive(Debug)]
pub struct AnsweredTask {
    id: String,
    process: Option<String>,
    signs: Signs,
}

/// The signs for one task.
#[derive(Debug)]
enum Signs {
    Word(Option<crate::agent::session_file::ClientWord>),
    Commands(Vec<(i64, String)>),
}

impl Signs {
    fn apply(&self, agent: &mut AgentMemory, now_ms: i64) -> (HookOutcome, i64) {
        match self {
            Self::Word(word) => agent.hear(*word, now_ms),
            Self::Commands(lines) => (agent.see_commands(lines), now_ms),
        }
    }
}

/// The ids of the sessions whose tasks hold a word of their client.
pub async fn sessions_with_a_word(tx: &impl ConnectionTrait) -> Result<BTreeSet<String>, DbErr> {
    let rows = open_tasks().filter(task::Column::IngestState.like("%\"word\":{%")).limit(MAX_TASKS).all(tx).await?;
    Ok(rows.into_iter().filter_map(|row| row.external_id).map(String::from).collect())
}

/// The tasks that the signs change. `commands_below` gives the commands below a process.
pub async fn find_answered(
    tx: &impl ConnectionTrait,
    signs: &OutsideSigns,
    commands_below: impl Fn(&Process) -> Vec<(i64, String)>,
) -> Result<Vec<AnsweredTask>, DbErr> {
    let ids = signs.sessions.iter().map(|session| &session.session_id).chain(&signs.heard_before);
    let asks =
        Condition::all().add(task::Column::StatusReason.eq("permission")).add(task::Column::Process.is_not_null());
    let named = task::Column::ExternalId.is_in(ids.map(String::as_str));
    let rows = open_tasks()
        .filter(Condition::any().add(named).add(asks))
        .order_by_asc(task::Column::Id)
        .limit(MAX_TASKS)
        .all(tx)
        .await?;
    let mut answered = Vec::new();
    for row in rows {
        let (id, stored_process) = (row.id.to_string(), row.process.as_deref().map(str::to_owned));
        let session_id = row.external_id.as_deref().unwrap_or_default().to_owned();
        let known = stored_process.as_deref().and_then(|process| process.parse::<Process>().ok());
        let session = signs.sessions.iter().find(|session| session.session_id == session_id);
        // An agent of another machine, container or user can have a session with the same id.
        let session =
            session.filter(|session| known.as_ref().is_none_or(|known| known.space() == session.process.space()));
        let task = StoredTask::from(row);
        let before = task.agent();
        let mut found = Signs::Word(session.map(|session| session.word));
        if session.is_none() && !before.has_word() {
            match &known {
                Some(process) if before.waits_for_command() => found = Signs::Commands(commands_below(process)),
                Some(_) | None => continue,
            }
        }
        let mut agent = before.clone();
        let (outcome, _) = found.apply(&mut agent, signs.now_ms);
        let process =
            session.map(|session| session.process.to_string()).filter(|is| Some(is) != stored_process.as_ref());
        if outcome.decides_status || agent != before || process.is_some() {
            answered.push(AnsweredTask { id, process, signs: found });
        }
    }
    Ok(answered)
}

/// Writes the change of a task, inside a write transaction. A hook that arrived meanwhile counts.
pub async fn carry_out_answer(tx: &impl ConnectionTrait, answered: &AnsweredTask, now_ms: i64) -> Result<(), DbErr> {
    let Some(row) = open_tasks().filter(task::Column::Id.eq(&answered.id)).one(tx).await? else { return Ok(()) };
    let task = StoredTask::from(row);
    let mut agent = task.agent();
    let (outcome, since) = answered.signs.apply(&mut agent, now_ms);
    let changes = task.changes_by_word(answered.process.as_deref(), &agent, &outcome, since);
    ingest::task::change(tx, &answered.id, changes).await?;
    store::end_events(tx, &outcome).await
}

/// The running and waiting tasks of Claude Code that hooks report.
fn open_tasks() -> sea_orm::Select<task::Entity> {
    task::Entity::find()
        .filter(task::Column::Source.eq(AgentRuntime::ClaudeCode.as_str()))
        .filter(task::Column::Status.is_in([TaskStatus::Running.as_str(), TaskStatus::Waiting.as_str()]))
        .filter(task::Column::HeardAt.is_not_null())
}
