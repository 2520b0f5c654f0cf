//! The overview: it reads stored figures and never counts rows.
//!
//! The counts of tasks, sources and usage change in `figures` in the transaction of the row. The counts of events are
//! folded from the log a while later. The changes that are not folded yet are added here, in the same snapshot.

use std::collections::BTreeMap;

use requery_entities::{StoredText, task};
use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

use super::usage::UsageSums;
use super::{count, id, time};
use crate::protocol::limits;
use crate::protocol::model::{Activity, NeedsYou, Overview, SourceCount, Stats, TaskStatus};
use crate::server::change_log::fold::not_folded;
use crate::server::database::{ReadTransaction, sql};

const HOUR_MS: i64 = 3_600_000;

/// The overview of the projects in the transaction's scope.
pub async fn overview(tx: &ReadTransaction) -> Result<Overview, DbErr> {
    let project = tx.scope().project();
    let figures: Vec<Figure> = sql::overview::FIGURES.all(tx, [project.into()]).await?;
    let folded: Vec<Hour> =
        sql::overview::FOLDED_HOURS.all(tx, [project.into(), limits::ACTIVITY_HOURS.into()]).await?;
    let [from, to] = not_folded(tx, &tx.position()).await?.values();
    let logged: Vec<Hour> = sql::overview::LOGGED_HOURS.all(tx, [project.into(), from, to]).await?;

    let mut stats = Stats::default();
    // Two sources that are not UTF-8 can be read as one text.
    let mut sources = BTreeMap::<String, u64>::new();
    let mut usage = UsageSums::default();
    // If a task is deleted before its events are folded, the figure loses the events before it gets them. The figure
    // can then be negative, but not the sum of figure and log.
    let mut events: i64 = logged.iter().map(|hour| hour.events).sum();
    for Figure { name, value: signed } in figures {
        let value = count(signed);
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
            events = events.saturating_add(signed);
        } else {
            usage.take(&name, signed);
        }
    }
    stats.total_events = count(events);
    let mut sources: Vec<_> = sources.into_iter().map(|(source, tasks)| SourceCount { source, tasks }).collect();
    sources.sort_by(|a, b| b.tasks.cmp(&a.tasks).then_with(|| a.source.cmp(&b.source)));
    Ok(Overview {
        stats,
        needs_you: needs_you(tx).await?,
        activity: activity(folded.into_iter().chain(logged)),
        sources,
        usage: usage.usage(),
    })
}

async fn needs_you(tx: &ReadTransaction) -> Result<Vec<NeedsYou>, DbErr> {
    let status = |words: &[TaskStatus]| task::Column::Status.is_in(words.iter().map(|status| status.as_str()));
    let waits = || Condition::all().add(status(&[TaskStatus::Waiting])).add(task::Column::StaleSince.is_null());
    let asks = Condition::any().add(task::Column::StatusReason.is_in(["permission", "question"]));
    let stale = Condition::all()
        .add(status(&[TaskStatus::Running, TaskStatus::Waiting]))
        .add(task::Column::StaleSince.is_not_null());
    let (reason, since) = (task::Column::StatusReason, task::Column::StatusSince);
    let mut rows = Vec::new();
    // First the agents that ask a question, then the silent agents, and in the remaining room the agents that only
    // wait for the next prompt.
    for (which, reason, since) in [
        (waits().add(asks.clone()), reason, since),
        (stale, task::Column::StaleReason, task::Column::StaleSince),
        (waits().add(Condition::any().add(asks.not()).add(task::Column::StatusReason.is_null())), reason, since),
    ] {
        let left = limits::NEEDS_YOU_TASKS - rows.len();
        let mut query = task::Entity::find().filter(which);
        if let Some(project) = tx.scope().project() {
            query = query.filter(task::Column::Project.eq(project));
        }
        let found = query
            .select_only()
            .columns([task::Column::Id, task::Column::Title, task::Column::Project, reason, since])
            .order_by_asc(since)
            .order_by_asc(task::Column::Id)
            .limit(left as u64)
            .into_tuple::<(StoredText, StoredText, StoredText, Option<StoredText>, i64)>()
            .all(tx)
            .await?;
        rows.extend(found);
    }
    rows.sort_by(|a, b| (a.4, &a.0).cmp(&(b.4, &b.0)));
    let needs_you = rows.into_iter().filter_map(|(task_id, title, project, reason, since)| {
        Some(NeedsYou {
            task_id: id(&task_id)?,
            title: title.into(),
            project: project.into(),
            reason: reason.map(String::from),
            since: time(since),
        })
    });
    Ok(needs_you.collect())
}

fn activity(hours: impl Iterator<Item = Hour>) -> Vec<Activity> {
    let mut events = BTreeMap::<i64, u64>::new();
    for hour in hours {
        let events = events.entry(hour.hour).or_default();
        *events = events.saturating_add(count(hour.events));
    }
    let newest = events.last_key_value().map_or(0, |(hour, _)| *hour);
    events
        .range(newest.saturating_sub(limits::ACTIVITY_HOURS - 1)..)
        .map(|(hour, events)| Activity { hour: time(hour.saturating_mul(HOUR_MS)), events: *events })
        .collect()
}

#[derive(FromQueryResult)]
struct Figure {
    name: StoredText,
    value: i64,
}

#[derive(FromQueryResult)]
struct Hour {
    hour: i64,
    events: i64,
}
