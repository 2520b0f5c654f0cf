//! Judges silent agents: whether their tasks are stale or lost.
//!
//! Esc sends no hook, and neither does a killed process. So a task can stay `running` while its agent does no work. The
//! judgement uses two facts from outside: whether the agent's process still runs, if it is known, and how long ago the
//! last hook arrived. First the task is flagged *stale*, and the next hook clears the flag. Much later the agent is
//! given up as *lost*, and the next hook undoes that too. A task without hooks is never judged: its writers alone set
//! its status.
//!
//! Servers on several machines can judge the tasks of one database, see [`JudgingServer`].

use std::time::Duration;

use requery_entities::{StoredText, task};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, DerivePartialModel, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::agent::name::AgentName;
use crate::agent::process::Process;
use crate::protocol::limits;
use crate::protocol::model::{StaleReason, TaskStatus};
use crate::server::agents::hooks::store::{self, StoredTask};
use crate::server::ingest;
use crate::server::ingest::task::TaskChanges;

/// How many tasks one statement reads.
const TASKS_PER_STATEMENT: u64 = 1_000;

/// The longest silences that are accepted.
#[derive(Clone, Copy, Debug)]
pub struct SilenceLimits {
    /// The silence after which a running task is flagged stale. 30 minutes: longer than most builds, shorter than a
    /// lunch.
    pub stale_after: Duration,
    /// The silence after which the agent of a flagged task is given up as lost. 24 hours: it covers a night.
    pub lost_after: Duration,
}

impl Default for SilenceLimits {
    fn default() -> Self {
        Self { stale_after: limits::SILENT_AFTER, lost_after: limits::LOST_AFTER }
    }
}

/// The server that judges, among the servers of its database.
///
/// A process is known only on its own machine, so a server there flags the agent as gone and gives it up as lost. An
/// agent whose process another machine knows is not lost on silence alone: it may live, stopped with Esc. If that
/// machine is gone for good, no server ever judges the process. Then the task of a running agent stays flagged as
/// silent, and a person who sees the flag decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgingServer {
    /// The only server: the database is a file. It judges all agents, and no other server will judge any of them.
    Only,
    /// The server with the lease. It judges all agents.
    WithLease,
    /// Another server. It judges the agents whose processes it knows.
    WithoutLease,
}

/// The facts about a task and its agent that a judgement uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilentAgent {
    /// The status of the task.
    pub status: TaskStatus,
    /// The time of the last hook, or of the last change of the status by any writer, if that was later.
    pub heard_at: i64,
    /// Whether the process still runs. None: unknown.
    pub is_alive: Option<bool>,
    /// Whether another machine knows the process, so that a server there judges it.
    pub is_elsewhere: bool,
    /// The reason and the start of the stale flag, if the task has one.
    pub stale: Option<(StaleReason, i64)>,
}

/// The verdict on a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilenceVerdict {
    /// Flag the task as stale since this time.
    Flag(StaleReason, i64),
    /// Give the agent up as lost.
    Lose,
}

/// Judges a silence. None: leave the task as it is. The server has listened since `listening_since`. A silence counts
/// from then at the earliest, because the server could not take earlier hooks.
pub fn judge(agent: SilentAgent, limits: SilenceLimits, listening_since: i64, now_ms: i64) -> Option<SilenceVerdict> {
    let SilentAgent { status, heard_at, is_alive, is_elsewhere, stale } = agent;
    let is_gone = is_alive == Some(false);
    let stale_from = heard_at.max(listening_since).saturating_add(ms(limits.stale_after));
    let is_silent = match status {
        TaskStatus::Running => now_ms >= stale_from,
        // A person may take any time to answer.
        TaskStatus::Waiting => false,
        TaskStatus::Completed | TaskStatus::Errored => return None,
    };
    match stale {
        None if is_gone => Some(SilenceVerdict::Flag(StaleReason::Gone, now_ms)),
        None => is_silent.then_some(SilenceVerdict::Flag(StaleReason::Silent, stale_from)),
        Some((StaleReason::Silent, since)) if is_gone => Some(SilenceVerdict::Flag(StaleReason::Gone, since)),
        Some((_, since)) => {
            let left = limits.lost_after.saturating_sub(limits.stale_after);
            // An agent with a live process is not lost: a person may have stopped its turn with Esc.
            let is_lost = is_gone || (is_silent && is_alive.is_none() && !is_elsewhere);
            (is_lost && now_ms >= since.saturating_add(ms(left))).then_some(SilenceVerdict::Lose)
        }
    }
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// The columns of a judged task.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "task::Entity")]
struct JudgedTask {
    id: StoredText,
    status: StoredText,
    status_since: i64,
    heard_at: Option<i64>,
    process: Option<StoredText>,
    stale_since: Option<i64>,
    stale_reason: Option<StoredText>,
}

/// A verdict on one task, to carry out if no hook, no writer and no other server changed the task meanwhile.
#[derive(Debug)]
pub struct Judgement {
    id: String,
    status: TaskStatus,
    heard_at: i64,
    stale: Option<(StaleReason, i64)>,
    verdict: SilenceVerdict,
}

/// The stale flag of a task, as its columns tell it.
fn stale_flag(reason: Option<&str>, since: Option<i64>) -> Option<(StaleReason, i64)> {
    reason.and_then(StaleReason::parse).zip(since)
}

/// Judges all running tasks that hooks report on, and the waiting tasks among them with a known process, as far as
/// `server` judges them. `is_alive` tells whether the process of this name still runs, if this machine knows it.
pub async fn judge_silences(
    tx: &impl ConnectionTrait,
    server: JudgingServer,
    limits: SilenceLimits,
    listening_since: i64,
    now_ms: i64,
    is_alive: impl Fn(&str) -> Option<bool>,
) -> Result<Vec<Judgement>, DbErr> {
    let mut judgements = Vec::new();
    let mut after = String::new();
    loop {
        let waits = Condition::all()
            .add(task::Column::Status.eq(TaskStatus::Waiting.as_str()))
            .add(task::Column::Process.is_not_null());
        let rows = task::Entity::find()
            .filter(Condition::any().add(task::Column::Status.eq(TaskStatus::Running.as_str())).add(waits))
            .filter(task::Column::HeardAt.is_not_null())
            .filter(task::Column::Id.gt(&after))
            .order_by_asc(task::Column::Id)
            .limit(TASKS_PER_STATEMENT)
            .into_partial_model::<JudgedTask>()
            .all(tx)
            .await?;
        let Some(last) = rows.last() else { return Ok(judgements) };
        // An id that is not UTF-8 can be read as a lower text. Then the loop must not find it again.
        if *last.id <= *after {
            return Ok(judgements);
        }
        after = last.id.to_string();
        judgements.extend(rows.into_iter().filter_map(|row| {
            let process = row.process.as_deref();
            let is_alive = process.and_then(&is_alive);
            if server == JudgingServer::WithoutLease && is_alive.is_none() {
                return None;
            }
            let is_named = process.is_some_and(|process| process.parse::<Process>().is_ok());
            let agent = SilentAgent {
                status: TaskStatus::parse(&row.status)?,
                heard_at: row.heard_at?.max(row.status_since),
                is_alive,
                is_elsewhere: server != JudgingServer::Only && is_alive.is_none() && is_named,
                stale: stale_flag(row.stale_reason.as_deref(), row.stale_since),
            };
            let verdict = judge(agent, limits, listening_since, now_ms)?;
            let (status, stale) = (agent.status, agent.stale);
            Some(Judgement { id: row.id.into(), status, heard_at: row.heard_at?, stale, verdict })
        }));
    }
}

/// Carries a judgement out, inside a write transaction. If a hook arrived or the status changed meanwhile, the task
/// stays as it is. The same holds if the flag changed: another server can have found that the process is gone, which
/// this server cannot know.
pub async fn carry_out(tx: &impl ConnectionTrait, judgement: &Judgement, now_ms: i64) -> Result<(), DbErr> {
    let Judgement { id, status, heard_at, stale, verdict } = judgement;
    let unchanged_task = task::Entity::find()
        .filter(task::Column::Id.eq(id))
        .filter(task::Column::HeardAt.eq(*heard_at))
        .filter(task::Column::Status.eq(status.as_str()))
        .lock(LockType::NoKeyUpdate);
    let Some(row) = unchanged_task.one(tx).await? else { return Ok(()) };
    if stale_flag(row.stale_reason.as_deref(), row.stale_since) != *stale {
        return Ok(());
    }
    match verdict {
        SilenceVerdict::Flag(reason, since) => {
            let changes = TaskChanges { stale: Some(Some((*reason, *since))), ..TaskChanges::default() };
            ingest::task::change(tx, id, changes).await
        }
        SilenceVerdict::Lose => {
            if row.source.parse::<AgentName>().is_err() {
                return Ok(());
            }
            let task = StoredTask::from(row);
            let mut agent = task.agent();
            let outcome = agent.lose();
            ingest::task::change(tx, id, task.changes_when_given_up(&agent, now_ms)).await?;
            store::give_run_up(tx, &outcome, now_ms).await?;
            store::end_events(tx, &outcome).await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::SilenceVerdict::{Flag, Lose};
    use super::{SilenceLimits, SilentAgent, judge};
    use crate::protocol::model::StaleReason::{Gone, Silent};
    use crate::protocol::model::TaskStatus::{Completed, Errored, Running, Waiting};

    const LIMITS: SilenceLimits =
        SilenceLimits { stale_after: Duration::from_millis(30), lost_after: Duration::from_millis(1000) };

    /// The last hook was at 100, and the server listens since 50.
    #[test]
    fn a_verdict_depends_on_the_length_of_the_silence_and_the_process() {
        const LOST: i64 = 1_100;
        for (status, is_alive, stale, now_ms, expected) in [
            // The clock was set back.
            (Running, None, None, 0, None),
            (Running, None, None, 129, None),
            (Running, None, None, 130, Some(Flag(Silent, 130))),
            (Running, Some(true), None, 131, Some(Flag(Silent, 130))),
            (Running, Some(false), None, 110, Some(Flag(Gone, 110))),
            (Running, Some(false), Some((Silent, 130)), 140, Some(Flag(Gone, 130))),
            (Running, None, Some((Silent, 130)), LOST - 1, None),
            (Running, Some(false), Some((Gone, 130)), LOST - 1, None),
            (Running, None, Some((Silent, 130)), LOST, Some(Lose)),
            (Running, Some(false), Some((Gone, 130)), LOST, Some(Lose)),
            (Running, Some(true), Some((Silent, 130)), LOST, None),
            // The time until lost counts from the stale flag, even if the flag came late.
            (Running, Some(false), None, LOST, Some(Flag(Gone, LOST))),
            (Running, Some(false), Some((Gone, LOST)), LOST + 969, None),
            (Running, Some(false), Some((Gone, LOST)), LOST + 970, Some(Lose)),
            // A person may take any time to answer, unless the process that waits for the answer is gone.
            (Waiting, None, None, LOST, None),
            (Waiting, Some(true), None, LOST, None),
            (Waiting, Some(false), None, 100, Some(Flag(Gone, 100))),
            (Waiting, Some(false), Some((Gone, 100)), LOST, Some(Lose)),
            (Waiting, None, Some((Gone, 100)), LOST, None),
            (Completed, Some(false), None, LOST, None),
            (Errored, Some(false), None, LOST, None),
        ] {
            let agent = SilentAgent { status, heard_at: 100, is_alive, is_elsewhere: false, stale };
            assert_eq!(judge(agent, LIMITS, 50, now_ms), expected, "{agent:?} at {now_ms}");
        }
    }

    #[test]
    fn a_silence_counts_only_while_the_server_listens() {
        let agent = SilentAgent { status: Running, heard_at: 0, is_alive: None, is_elsewhere: false, stale: None };
        let since = 5_000;
        assert_eq!(judge(agent, LIMITS, since, since + 29), None);
        assert_eq!(judge(agent, LIMITS, since, since + 100), Some(Flag(Silent, since + 30)));
        let flagged = SilentAgent { stale: Some((Silent, 30)), ..agent };
        assert_eq!(judge(flagged, LIMITS, since, since + 29), None);
        assert_eq!(judge(flagged, LIMITS, since, since + 30), Some(Lose));
    }
    /// The server on the machine of the process judges it.
    #[test]
    fn an_agent_of_another_machine_is_flagged_and_never_lost() {
        for (status, stale, now_ms, expected) in [
            (Running, None, 129, None),
            (Running, None, 130, Some(Flag(Silent, 130))),
            (Running, Some((Silent, 130)), 1_100_000, None),
            (Running, Some((Gone, 130)), 1_100_000, None),
            (Waiting, None, 1_100_000, None),
            (Waiting, Some((Gone, 130)), 1_100_000, None),
        ] {
            let agent = SilentAgent { status, heard_at: 100, is_alive: None, is_elsewhere: true, stale };
            assert_eq!(judge(agent, LIMITS, 50, now_ms), expected, "{agent:?} at {now_ms}");
        }
    }
}
