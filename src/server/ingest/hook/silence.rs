//! Whether an agent that says nothing is still at work.
//!
//! Esc calls no hook and a killed process says no goodbye, so a task can look as if its agent were at work when nobody
//! is. What is true is asked from outside: whether the process is still there, where it is known, and for how long
//! nothing was heard. First the task is flagged *stale*, which any hook takes back; much later its agent is given up as
//! lost, and even that is taken back when it is heard of again. Tasks that no hook reports on are never judged: where
//! they stand is their writer's to say.

use std::time::Duration;

use requery_entities::task;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, DerivePartialModel, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::Source;
use super::store::{StoredTask, Timeline};
use crate::protocol::model::{StaleReason, TaskStatus};

/// How many tasks are looked at in one statement.
const AT_ONCE: u64 = 1_000;

/// For how long an agent may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until its running task is flagged stale, 30 minutes: longer than most builds run, shorter than a lunch.
    pub stale_after: Duration,
    /// Until a task that is flagged is given up, 24 hours: over a night.
    pub lost_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stale_after: Duration::from_secs(30 * 60), lost_after: Duration::from_secs(24 * 3600) }
    }
}

/// What is known of a task and its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where the task stands.
    pub status: TaskStatus,
    /// When the agent was last heard of.
    pub heard_at: i64,
    /// Whether its process is still there; none: nobody can tell.
    pub is_alive: Option<bool>,
    /// Why it is flagged, if it is.
    pub stale: Option<StaleReason>,
}

/// What follows from a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Leave,
    /// The task is flagged.
    Flag(StaleReason),
    /// The agent is given up.
    Lose,
}

/// Judges a silence. Whoever judges has been listening since `listening_since`: of what was before, it cannot know.
pub fn judge(agent: Agent, patience: Patience, listening_since: i64, now_ms: i64) -> Verdict {
    let Agent { status, heard_at, is_alive, stale } = agent;
    let for_longer_than = |since: i64, span: Duration| {
        u128::try_from(now_ms.saturating_sub(since)).is_ok_and(|silence| silence >= span.as_millis())
    };
    let is_gone = is_alive == Some(false);
    let is_silent = match status {
        TaskStatus::Running => for_longer_than(heard_at.max(listening_since), patience.stale_after),
        // A person may take any time to answer.
        TaskStatus::Waiting => false,
        TaskStatus::Completed | TaskStatus::Errored => return Verdict::Leave,
    };
    match stale {
        // One whose process is there may have been stopped with Esc, but it is not lost.
        Some(_)
            if (is_gone || is_silent) && is_alive != Some(true) && for_longer_than(heard_at, patience.lost_after) =>
        {
            Verdict::Lose
        }
        None | Some(StaleReason::Silent) if is_gone => Verdict::Flag(StaleReason::Gone),
        None if is_silent => Verdict::Flag(StaleReason::Silent),
        None | Some(_) => Verdict::Leave,
    }
}

/// A task that is judged.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "task::Entity")]
struct Row {
    id: String,
    status: String,
    heard_at: Option<i64>,
    process: Option<String>,
    stale_reason: Option<String>,
}

/// What is to be done about a task, if it is still as it was.
#[derive(Debug)]
pub struct Judgement {
    id: String,
    heard_at: i64,
    verdict: Verdict,
}

/// Judges all tasks whose agents ought to be there. `is_alive` is asked about processes by their names.
pub async fn judge_all(
    tx: &impl ConnectionTrait,
    patience: Patience,
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
            .limit(AT_ONCE)
            .into_partial_model::<Row>()
            .all(tx)
            .await?;
        let Some(last) = rows.last() else { return Ok(judgements) };
        after.clone_from(&last.id);
        judgements.extend(rows.into_iter().filter_map(|row| {
            let agent = Agent {
                status: TaskStatus::parse(&row.status)?,
                heard_at: row.heard_at?,
                is_alive: row.process.as_deref().and_then(&is_alive),
                stale: row.stale_reason.as_deref().and_then(StaleReason::parse),
            };
            let verdict = judge(agent, patience, listening_since, now_ms);
            (verdict != Verdict::Leave).then_some(Judgement { id: row.id, heard_at: agent.heard_at, verdict })
        }));
    }
}

/// Carries a judgement out, inside a write transaction. An agent that was heard of meanwhile is left alone.
pub async fn carry_out(tx: &impl ConnectionTrait, judgement: &Judgement, now_ms: i64) -> Result<(), DbErr> {
    let Judgement { id, heard_at, verdict } = judgement;
    let as_it_was = task::Entity::find()
        .filter(task::Column::Id.eq(id))
        .filter(task::Column::HeardAt.eq(*heard_at))
        .filter(task::Column::Status.is_in([TaskStatus::Running.as_str(), TaskStatus::Waiting.as_str()]));
    let Some(row) = as_it_was.one(tx).await? else { return Ok(()) };
    match verdict {
        Verdict::Leave => Ok(()),
        Verdict::Flag(reason) => {
            let flag = task::ActiveModel {
                stale_since: Set(Some(*heard_at)),
                stale_reason: Set(Some(reason.as_str().to_owned())),
                ..Default::default()
            };
            task::Entity::update_many().set(flag).filter(task::Column::Id.eq(id)).exec(tx).await.map(drop)
        }
        Verdict::Lose => {
            let Some(source) = Source::parse(&row.source) else { return Ok(()) };
            let task = StoredTask::from(row);
            let mut agent = task.agent();
            let step = agent.lose();
            task.save_lost(tx, &agent, now_ms).await?;
            let timeline = Timeline { tx, source, task_id: id, now_ms };
            timeline.lose_run(&step).await?;
            timeline.abandon(&step.abandoned).await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Agent, Patience, Verdict, judge};
    use crate::protocol::model::{StaleReason, TaskStatus};

    const PATIENCE: Patience = Patience { stale_after: Duration::from_secs(30), lost_after: Duration::from_secs(1000) };

    /// Last heard of at 100 s; who judges listens since 50 s.
    #[track_caller]
    fn check(status: TaskStatus, is_alive: Option<bool>, stale: Option<StaleReason>, at_ms: i64, expected: Verdict) {
        let agent = Agent { status, heard_at: 100_000, is_alive, stale };
        assert_eq!(judge(agent, PATIENCE, 50_000, at_ms), expected, "{agent:?} at {at_ms}");
    }

    #[test]
    fn a_silence_is_judged_by_its_length_and_by_the_process() {
        use StaleReason::{Gone, Silent};
        use TaskStatus::{Completed, Errored, Running, Waiting};
        use Verdict::{Flag, Leave, Lose};
        const LOST: i64 = 1_100_000;
        for (status, is_alive, stale, at_ms, expected) in [
            // A clock that was set back is no silence.
            (Running, None, None, 0, Leave),
            (Running, None, None, 129_999, Leave),
            (Running, None, None, 130_000, Flag(Silent)),
            (Running, Some(true), None, 130_000, Flag(Silent)),
            (Running, Some(false), None, 100_000, Flag(Gone)),
            (Running, None, Some(Silent), LOST - 1, Leave),
            (Running, Some(false), Some(Silent), 140_000, Flag(Gone)),
            (Running, Some(false), Some(Gone), LOST - 1, Leave),
            // First the flag, even if nobody looked for long.
            (Running, None, None, LOST, Flag(Silent)),
            (Running, None, Some(Silent), LOST, Lose),
            (Running, Some(false), Some(Gone), LOST, Lose),
            (Running, Some(true), Some(Silent), LOST, Leave),
            // A person may take any time, but not if there is nobody to be answered.
            (Waiting, None, None, LOST, Leave),
            (Waiting, Some(true), None, LOST, Leave),
            (Waiting, Some(false), None, 100_000, Flag(Gone)),
            (Waiting, Some(false), Some(Gone), LOST, Lose),
            (Waiting, None, Some(Gone), LOST, Leave),
            (Completed, Some(false), None, LOST, Leave),
            (Errored, Some(false), None, LOST, Leave),
        ] {
            check(status, is_alive, stale, at_ms, expected);
        }
    }

    #[test]
    fn what_was_before_it_listened_it_cannot_know() {
        let agent = Agent { status: TaskStatus::Running, heard_at: 0, is_alive: None, stale: None };
        assert_eq!(judge(agent, PATIENCE, 5_000_000, 5_029_999), Verdict::Leave);
        assert_eq!(judge(agent, PATIENCE, 5_000_000, 5_030_000), Verdict::Flag(StaleReason::Silent));
        let flagged = Agent { stale: Some(StaleReason::Silent), ..agent };
        assert_eq!(judge(flagged, PATIENCE, 5_000_000, 5_029_999), Verdict::Leave);
        assert_eq!(judge(flagged, PATIENCE, 5_000_000, 5_030_000), Verdict::Lose);
    }
}
