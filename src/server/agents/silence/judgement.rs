//! Whether an agent that says nothing is still at work.
//!
//! Esc calls no hook and a killed process says no goodbye, so a task can look as if its agent were at work when nobody
//! is. What is true is asked from outside: whether the process is still there, where it is known, and for how long
//! nothing was heard. First the task is flagged *stale*, which any hook takes back; much later its agent is given up as
//! lost, and even that is taken back when it is heard of again. Tasks that no hook reports on are never judged: where
//! they stand is their writer's to say.

use std::time::Duration;

use requery_entities::task;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, DerivePartialModel, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::agent::runtime::AgentRuntime;
use crate::protocol::model::{StaleReason, TaskStatus};
use crate::server::agents::hooks::store::{self, StoredTask};
use crate::server::ingest;
use crate::server::ingest::task::TaskChanges;

/// How many tasks are looked at in one statement.
const TASKS_PER_STATEMENT: u64 = 1_000;

/// For how long an agent may be silent.
#[derive(Clone, Copy, Debug)]
pub struct SilenceLimits {
    /// Until its running task is flagged stale, 30 minutes: longer than most builds run, shorter than a lunch.
    pub stale_after: Duration,
    /// Until a task that is flagged is given up, 24 hours: over a night.
    pub lost_after: Duration,
}

impl Default for SilenceLimits {
    fn default() -> Self {
        Self { stale_after: Duration::from_secs(30 * 60), lost_after: Duration::from_secs(24 * 3600) }
    }
}

/// What is known of a task and its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilentAgent {
    /// Where the task stands.
    pub status: TaskStatus,
    /// When the agent was last heard of, or its status was last set by anybody.
    pub heard_at: i64,
    /// Whether its process is still there; none: nobody can tell.
    pub is_alive: Option<bool>,
    /// Why it is flagged and since when, if it is.
    pub stale: Option<(StaleReason, i64)>,
}

/// What follows from a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilenceVerdict {
    /// The task is flagged, as of then.
    Flag(StaleReason, i64),
    /// The agent is given up.
    Lose,
}

/// Judges a silence; none: it is to be left. Whoever judges has been listening since `listening_since`: of what was
/// before, it cannot know.
pub fn judge(agent: SilentAgent, patience: SilenceLimits, listening_since: i64, now_ms: i64) -> Option<SilenceVerdict> {
    let SilentAgent { status, heard_at, is_alive, stale } = agent;
    let is_gone = is_alive == Some(false);
    let stale_from = heard_at.max(listening_since).saturating_add(ms(patience.stale_after));
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
            let left = patience.lost_after.saturating_sub(patience.stale_after);
            // One whose process is there may have been stopped with Esc, but it is not lost.
            let is_missed = is_gone || (is_silent && is_alive.is_none());
            (is_missed && now_ms >= since.saturating_add(ms(left))).then_some(SilenceVerdict::Lose)
        }
    }
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A task that is judged.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "task::Entity")]
struct JudgedTask {
    id: String,
    status: String,
    status_since: i64,
    heard_at: Option<i64>,
    process: Option<String>,
    stale_since: Option<i64>,
    stale_reason: Option<String>,
}

/// What is to be done about a task, if it is still as it was.
#[derive(Debug)]
pub struct Judgement {
    id: String,
    status: TaskStatus,
    heard_at: i64,
    verdict: SilenceVerdict,
}

/// Judges all tasks whose agents ought to be there. `is_alive` is asked about processes by their names.
pub async fn judge_silences(
    tx: &impl ConnectionTrait,
    patience: SilenceLimits,
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
        after.clone_from(&last.id);
        judgements.extend(rows.into_iter().filter_map(|row| {
            let agent = SilentAgent {
                status: TaskStatus::parse(&row.status)?,
                heard_at: row.heard_at?.max(row.status_since),
                is_alive: row.process.as_deref().and_then(&is_alive),
                stale: row.stale_reason.as_deref().and_then(StaleReason::parse).zip(row.stale_since),
            };
            let verdict = judge(agent, patience, listening_since, now_ms)?;
            Some(Judgement { id: row.id, status: agent.status, heard_at: row.heard_at?, verdict })
        }));
    }
}

/// Carries a judgement out, inside a write transaction. An agent that was heard of meanwhile is left alone.
pub async fn carry_out(tx: &impl ConnectionTrait, judgement: &Judgement, now_ms: i64) -> Result<(), DbErr> {
    let Judgement { id, status, heard_at, verdict } = judgement;
    let as_it_was = task::Entity::find()
        .filter(task::Column::Id.eq(id))
        .filter(task::Column::HeardAt.eq(*heard_at))
        .filter(task::Column::Status.eq(status.as_str()));
    let Some(row) = as_it_was.one(tx).await? else { return Ok(()) };
    match verdict {
        SilenceVerdict::Flag(reason, since) => {
            let changes = TaskChanges { stale: Some(Some((*reason, *since))), ..TaskChanges::default() };
            ingest::task::change(tx, id, changes).await
        }
        SilenceVerdict::Lose => {
            if row.source.parse::<AgentRuntime>().is_err() {
                return Ok(());
            }
            let task = StoredTask::from(row);
            let mut agent = task.agent();
            let step = agent.lose();
            ingest::task::change(tx, id, task.changes_when_lost(&agent, now_ms)).await?;
            store::lose_run(tx, &step, now_ms).await?;
            ingest::event::abandon(tx, &step.abandoned).await
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

    /// Last heard of at 100; who judges listens since 50.
    #[test]
    fn a_silence_is_judged_by_its_length_and_by_the_process() {
        const LOST: i64 = 1_100;
        for (status, is_alive, stale, now_ms, expected) in [
            // A clock that was set back is no silence.
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
            // It is given time from when it was first missed, however late that was.
            (Running, Some(false), None, LOST, Some(Flag(Gone, LOST))),
            (Running, Some(false), Some((Gone, LOST)), LOST + 969, None),
            (Running, Some(false), Some((Gone, LOST)), LOST + 970, Some(Lose)),
            // A person may take any time, but not if there is nobody to be answered.
            (Waiting, None, None, LOST, None),
            (Waiting, Some(true), None, LOST, None),
            (Waiting, Some(false), None, 100, Some(Flag(Gone, 100))),
            (Waiting, Some(false), Some((Gone, 100)), LOST, Some(Lose)),
            (Waiting, None, Some((Gone, 100)), LOST, None),
            (Completed, Some(false), None, LOST, None),
            (Errored, Some(false), None, LOST, None),
        ] {
            let agent = SilentAgent { status, heard_at: 100, is_alive, stale };
            assert_eq!(judge(agent, LIMITS, 50, now_ms), expected, "{agent:?} at {now_ms}");
        }
    }

    #[test]
    fn what_was_before_it_listened_it_cannot_know() {
        let agent = SilentAgent { status: Running, heard_at: 0, is_alive: None, stale: None };
        let since = 5_000;
        assert_eq!(judge(agent, LIMITS, since, since + 29), None);
        assert_eq!(judge(agent, LIMITS, since, since + 100), Some(Flag(Silent, since + 30)));
        let flagged = SilentAgent { stale: Some((Silent, 30)), ..agent };
        assert_eq!(judge(flagged, LIMITS, since, since + 29), None);
        assert_eq!(judge(flagged, LIMITS, since, since + 30), Some(Lose));
    }
}
