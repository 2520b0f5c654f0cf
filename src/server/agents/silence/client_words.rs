//! Takes the words of clients, and the commands that run below agents, as signs of answers that no hook reports.
//!
//! The caller reads the files and the processes. This code decides which tasks change, and writes them.

use std::collections::{BTreeMap, BTreeSet};

use requery_entities::task;
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

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
    /// The commands that run below the agents of tasks that ask for a permission, with their starts, by the id of the
    /// task.
    pub commands: BTreeMap<String, Vec<(i64, String)>>,
    /// The time.
    pub now_ms: i64,
}

/// A task that asks for the permission to run a command, with the process of its agent.
pub struct AskingTask {
    /// The id.
    pub id: String,
    /// The process.
    pub process: Process,
}

/// The tasks that ask for the permission to run a command, where the process of the agent is known.
pub async fn find_asking(tx: &impl ConnectionTrait) -> Result<Vec<AskingTask>, DbErr> {
    let rows = task::Entity::find()
        .filter(task::Column::Status.eq(TaskStatus::Waiting.as_str()))
        .filter(task::Column::StatusReason.eq("permission"))
        .filter(task::Column::Process.is_not_null())
        .limit(MAX_TASKS)
        .all(tx)
        .await?;
    let asking = rows.into_iter().filter(is_open).filter_map(|row| {
        let (id, process) = (row.id.to_string(), row.process.as_deref()?.parse().ok()?);
        StoredTask::from(row).agent().waits_for_command().then_some(AskingTask { id, process })
    });
    Ok(asking.collect())
}

/// A task that the signs change.
#[derive(Debug)]
pub struct AnsweredTask {
    id: String,
    /// The process that the task had.
    stored_process: Option<String>,
    /// The process that the task gets, if it is another one.
    process: Option<String>,
    signs: Signs,
}

impl AnsweredTask {
    /// Whether a machine can know the signs, if other machines have agents too. A word that a session says is a fact
    /// everywhere. The absence of a word is one only on the machine that knows the process of the task: a session of
    /// another machine keeps its file there. `is_alive` tells whether the process of this name still runs on this
    /// machine, and nothing about the processes of others.
    ///
    /// If that machine is gone for good, the word stays until later hooks contradict it.
    pub fn is_known_here(&self, is_alive: impl Fn(&str) -> Option<bool>) -> bool {
        match &self.signs {
            Signs::Word(Some(_)) => true,
            Signs::Word(None) | Signs::Commands(_) => self.stored_process.as_deref().and_then(is_alive).is_some(),
        }
    }
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
    let rows = task::Entity::find()
        .filter(task::Column::Status.is_in([TaskStatus::Running.as_str(), TaskStatus::Waiting.as_str()]))
        .filter(task::Column::IngestState.like("%\"word\":{%"))
        .limit(MAX_TASKS)
        .all(tx)
        .await?;
    Ok(rows.into_iter().filter(is_open).filter_map(|row| row.external_id).map(String::from).collect())
}

/// The tasks that the signs change.
pub async fn find_answered(tx: &impl ConnectionTrait, signs: &OutsideSigns) -> Result<Vec<AnsweredTask>, DbErr> {
    let ids = signs.sessions.iter().map(|session| &session.session_id).chain(&signs.heard_before);
    let named = Condition::all()
        .add(task::Column::Source.eq(AgentRuntime::ClaudeCode.as_str()))
        .add(task::Column::ExternalId.is_in(ids.map(String::as_str)));
    let asking = Condition::all().add(task::Column::Id.is_in(signs.commands.keys().map(String::as_str)));
    // One query for each index: SQLite finds the tasks of a condition with an `or` only by a scan.
    let mut rows = BTreeMap::new();
    for which in [named, asking] {
        let found = task::Entity::find().filter(which).limit(MAX_TASKS).all(tx).await?;
        rows.extend(found.into_iter().filter(is_open).map(|row| (row.id.to_string(), row)));
    }
    let mut answered = Vec::new();
    for (id, row) in rows {
        let stored_process = row.process.as_deref().map(str::to_owned);
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
            match signs.commands.get(&id) {
                Some(commands) => found = Signs::Commands(commands.clone()),
                None => continue,
            }
        }
        let mut agent = before.clone();
        let (outcome, _) = found.apply(&mut agent, signs.now_ms);
        let process =
            session.map(|session| session.process.to_string()).filter(|is| Some(is) != stored_process.as_ref());
        if outcome.decides_status || agent != before || process.is_some() {
            answered.push(AnsweredTask { id, stored_process, process, signs: found });
        }
    }
    Ok(answered)
}

/// Writes the change of a task, inside a write transaction. A hook that arrived meanwhile counts.
pub async fn carry_out_answer(tx: &impl ConnectionTrait, answered: &AnsweredTask, now_ms: i64) -> Result<(), DbErr> {
    let row = task::Entity::find_by_id(answered.id.as_str()).lock(LockType::NoKeyUpdate).one(tx).await?.filter(is_open);
    let Some(row) = row else { return Ok(()) };
    let task = StoredTask::from(row);
    let mut agent = task.agent();
    let (outcome, since) = answered.signs.apply(&mut agent, now_ms);
    let changes = task.changes_by_word(answered.process.as_deref(), &agent, &outcome, since);
    ingest::task::change(tx, &answered.id, changes).await?;
    store::end_events(tx, &outcome).await
}

/// Whether it is a running or waiting task of Claude Code that hooks report.
fn is_open(row: &task::Model) -> bool {
    let status = TaskStatus::parse(&row.status);
    *row.source == *AgentRuntime::ClaudeCode.as_str()
        && matches!(status, Some(TaskStatus::Running | TaskStatus::Waiting))
        && row.heard_at.is_some()
}
