//! The overview: it reads stored figures and never counts rows.
//!
//! A writer only inserts changes of figures, and the server folds them a while later. The changes that are not folded
//! yet are added here, in the same snapshot. No part depends on the time of the request.

use std::collections::BTreeMap;

use requery_entities::{StoredText, task};
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, FromQueryResult, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::usage::UsageSums;
use super::{count, id, time};
use crate::protocol::limits;
use crate::protocol::model::{Activity, NeedsYou, Overview, SourceCount, Stats, TaskStatus};
use crate::server::change_log::fold::Unfolded;
use crate::server::database::{ReadTransaction, sql};

const HOUR_MS: i64 = 3_600_000;

/// The overview of the projects in the transaction's scope.
pub async fn overview(tx: &ReadTransaction) -> Result<Overview, DbErr> {
    let unfolded = Unfolded::of(tx).await?.values(tx);
    let rows: Vec<Figure> = match tx.scope().project() {
        None => sql::overview::OF_ALL.all(tx, unfolded).await?,
        Some(project) => sql::overview::OF_PROJECT.all(tx, unfolded.into_iter().chain([project.into()])).await?,
    };

    let mut stats = Stats::default();
    // Two sources that are not UTF-8 can be read as one text.
    let mut sources = BTreeMap::<String, u64>::new();
    let mut usage = UsageSums::default();
    let mut hours = Vec::new();
    for Figure { figure, hour, value: signed } in rows {
        let value = count(signed);
        let Some(name) = figure else {
            hours.extend(hour.map(|hour| (hour, value)));
            continue;
        };
        if let Some(status) = name.strip_prefix("tasks.").and_then(TaskStatus::parse) {
            stats.total_tasks = stats.total_tasks.saturating_add(value);
            match status {
                TaskStatus::Running => stats.running_tasks = value,
                TaskStatus::Waiting => stats.waiting_tasks = value,
                TaskStatus::Completed => stats.completed_tasks = value,
                TaskStatus::Errored => stats.errored_tasks = value,
            }
        } else if let Some(source) = name.strip_prefix("source.").filter(|_| value > 0) {
            let tasks = sources.entry(source.to_owned()).or_default();
            *tasks = tasks.saturating_add(value);
        } else if name == "events" {
            stats.total_events = value;
        } else {
            usage.take(&name, signed);
        }
    }
    // The server deletes the hours of a project without tasks at any time, so none are shown from the last task on.
    if tx.scope().project().is_some() && stats.total_tasks == 0 {
        hours.clear();
    }
    let mut sources: Vec<_> = sources.into_iter().map(|(source, tasks)| SourceCount { source, tasks }).collect();
    sources.sort_by(|a, b| b.tasks.cmp(&a.tasks).then_with(|| a.source.cmp(&b.source)));
    Ok(Overview { stats, needs_you: needs_you(tx).await?, activity: activity(hours), sources, usage: usage.usage() })
}

/// A task that needs a person.
#[derive(FromQueryResult)]
struct NeedingTask {
    id: StoredText,
    title: StoredText,
    project: StoredText,
    source: StoredText,
    status: StoredText,
    status_certain: i64,
    status_detail: Option<StoredText>,
    /// The reason of the status or of the stale flag, and its time.
    reason: Option<StoredText>,
    since: i64,
}

/// The reasons for which a task waits without a need of a person: nobody used the session yet, or the agent goes on by
/// itself.
const NEED_NOBODY: [&str; 2] = ["ready", "scheduled"];

async fn needs_you(tx: &ReadTransaction) -> Result<Vec<NeedsYou>, DbErr> {
    let status = |words: &[TaskStatus]| task::Column::Status.is_in(words.iter().map(|status| status.as_str()));
    let waits = || Condition::all().add(status(&[TaskStatus::Waiting])).add(task::Column::StaleSince.is_null());
    let asks = Condition::any().add(task::Column::StatusReason.is_in(["permission", "question"]));
    let needs_nobody = Condition::any().add(task::Column::StatusReason.is_in(NEED_NOBODY));
    let is_other = Condition::any()
        .add(Condition::all().add(asks.clone().not()).add(needs_nobody.not()))
        .add(task::Column::StatusReason.is_null());
    // The process of a session that was never used took no work with it.
    let was_used = Condition::any()
        .add(task::Column::StatusReason.ne("ready"))
        .add(task::Column::StatusReason.is_null())
        .add(status(&[TaskStatus::Running]));
    // Named by the others: SQLite would look up the two statuses in their index, and read all tasks that run, in place
    // of the few ones that are flagged.
    let is_over = [TaskStatus::Completed, TaskStatus::Errored].map(TaskStatus::as_str);
    let stale = Condition::all()
        .add(task::Column::Status.is_not_in(is_over))
        .add(task::Column::StaleSince.is_not_null())
        .add(was_used);
    // A failure in an imported transcript is history, until the agent is heard live. An import leaves a memory of the
    // agent.
    let is_live = Condition::any().add(task::Column::HeardAt.is_not_null()).add(task::Column::IngestState.is_null());
    let errored = Condition::all().add(status(&[TaskStatus::Errored])).add(is_live);
    let (reason, since) = (task::Column::StatusReason, task::Column::StatusSince);
    let mut rows: Vec<NeedingTask> = Vec::new();
    // In the order in which a person takes them: the agents that ask, then the agents that failed or are silent, then
    // the agents that wait for the next prompt. Each group takes the room that the groups before it left. The second
    // group has a share: an old failure stays a failure for ever, and must not hide an agent that waits.
    for (group, share) in [
        (vec![(waits().add(asks), reason, since, Order::Asc)], limits::NEEDS_YOU_TASKS),
        (
            vec![
                (stale, task::Column::StaleReason, task::Column::StaleSince, Order::Asc),
                // Of many failed tasks the newest ones are listed.
                (errored, reason, since, Order::Desc),
            ],
            limits::NEEDS_YOU_FAILURES,
        ),
        (vec![(waits().add(is_other), reason, since, Order::Asc)], limits::NEEDS_YOU_TASKS),
    ] {
        let first = rows.len();
        for (which, reason, since, order) in group {
            let left = (limits::NEEDS_YOU_TASKS - rows.len()).min(share - (rows.len() - first));
            let mut query = task::Entity::find().filter(which);
            if let Some(project) = tx.scope().project() {
                query = query.filter(task::Column::Project.eq(project));
            }
            let found = query
                .select_only()
                .columns([task::Column::Id, task::Column::Title, task::Column::Project, task::Column::Source])
                .columns([task::Column::Status, task::Column::StatusCertain, task::Column::StatusDetail])
                .column_as(reason, "reason")
                .column_as(since, "since")
                .order_by(since, order)
                .order_by_asc(task::Column::Id)
                .limit(left as u64)
                .into_model::<NeedingTask>()
                .all(tx)
                .await?;
            rows.extend(found);
        }
        rows[first..].sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
    }
    let needs_you = rows.into_iter().filter_map(|row| {
        let status = TaskStatus::parse(&row.status)?;
        Some(NeedsYou {
            task_id: id(&row.id)?,
            title: row.title.into(),
            project: row.project.into(),
            source: row.source.into(),
            status,
            status_certain: row.status_certain != 0,
            reason: row.reason.map(String::from),
            // A running task that is flagged stale asks for no decision.
            detail: row.status_detail.filter(|_| status != TaskStatus::Running).map(String::from),
            since: time(row.since),
        })
    });
    Ok(needs_you.collect())
}

/// The 24 hours that end with the newest one.
fn activity(mut hours: Vec<(i64, u64)>) -> Vec<Activity> {
    hours.sort_unstable();
    let newest = hours.last().map_or(0, |(hour, _)| *hour);
    hours.retain(|(hour, _)| *hour > newest.saturating_sub(limits::ACTIVITY_HOURS));
    hours.into_iter().map(|(hour, events)| Activity { hour: time(hour.saturating_mul(HOUR_MS)), events }).collect()
}

/// A figure with its name, or the events of an hour.
#[derive(FromQueryResult)]
struct Figure {
    figure: Option<StoredText>,
    hour: Option<i64>,
    value: i64,
}
