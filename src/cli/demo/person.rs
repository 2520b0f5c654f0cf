//! The simulated person of the demo: bookmarks tasks and events, deletes and purges finished tasks, and updates the
//! agents.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use requery::agent::hook_catalogue::HookName;
use requery::agent::runtime::AgentRuntime;
use requery::protocol::model::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::stage::DemoStage;
use super::texts::{NOTES, PROJECTS};

/// After the tour, a purge spares finished tasks that are younger than this, so that a viewer can look at them.
const FINISHED_TASK_STAYS: Duration = Duration::from_secs(300);

/// An action of the person.
#[derive(Clone, Copy)]
enum PersonAction {
    MarkTask,
    MarkEvent,
    Unmark,
    Delete,
    Purge,
    UpdateAgent,
}

/// Performs one action after another.
pub async fn look_after(mut stage: DemoStage) {
    // The tour performs every action early, so that a viewer sees all of them. Random actions follow.
    let tour = [
        PersonAction::UpdateAgent,
        PersonAction::MarkTask,
        PersonAction::MarkEvent,
        PersonAction::Unmark,
        PersonAction::MarkTask,
        PersonAction::Delete,
        PersonAction::Purge,
    ];
    for action in tour {
        stage.pause(5.0, 8.0).await;
        // The team may not have made a suitable task yet.
        while !attempt(&mut stage, action, Duration::ZERO).await {
            stage.pause(2.0, 3.0).await;
        }
    }
    loop {
        stage.pause(6.0, 20.0).await;
        let action = stage.one_of(&[
            PersonAction::MarkTask,
            PersonAction::MarkEvent,
            PersonAction::MarkEvent,
            PersonAction::Unmark,
            PersonAction::Purge,
            PersonAction::UpdateAgent,
        ]);
        attempt(&mut stage, action, FINISHED_TASK_STAYS).await;
    }
}

/// Performs an action. Returns `false` if the team has no suitable task or bookmark yet.
async fn attempt(stage: &mut DemoStage, action: PersonAction, kept: Duration) -> bool {
    match action {
        PersonAction::MarkTask => mark_task(stage).await.is_some(),
        PersonAction::MarkEvent => mark_event(stage).await.is_some(),
        PersonAction::Unmark => unmark(stage).await.is_some(),
        PersonAction::Delete => delete(stage).await.is_some(),
        PersonAction::Purge => purge(stage, kept).await,
        PersonAction::UpdateAgent => update_agent(stage).await.is_some(),
    }
}

async fn mark_task(stage: &mut DemoStage) -> Option<()> {
    let task = random_row(stage, "api/v1/tasks?limit=20").await?;
    let mark = json!({"task_id": task["task_id"], "note": stage.one_of(NOTES)});
    stage.call(Method::PUT, "api/v1/bookmarks", mark).await.map(drop)
}

async fn mark_event(stage: &mut DemoStage) -> Option<()> {
    let task = random_row(stage, "api/v1/tasks?limit=20").await?;
    let event = random_row(stage, &format!("api/v1/tasks/{}/timeline?limit=20", task["task_id"].as_str()?)).await?;
    let mark = json!({"event_id": event["event_id"], "task_id": task["task_id"], "note": stage.one_of(NOTES)});
    stage.call(Method::PUT, "api/v1/bookmarks", mark).await.map(drop)
}

async fn unmark(stage: &mut DemoStage) -> Option<()> {
    let mark = random_row(stage, "api/v1/bookmarks").await?;
    let path = format!("api/v1/bookmarks/{}", mark["bookmark_id"].as_str()?);
    stage.call(Method::DELETE, &path, Value::Null).await.map(drop)
}

async fn delete(stage: &mut DemoStage) -> Option<()> {
    let task = random_row(stage, "api/v1/tasks?status=completed").await?;
    let path = format!("api/v1/tasks/{}", task["task_id"].as_str()?);
    stage.call(Method::DELETE, &path, Value::Null).await.map(drop)
}

/// Purges the finished tasks of one project that are older than `kept`. Skips projects without such tasks.
async fn purge(stage: &mut DemoStage, kept: Duration) -> bool {
    let before = SystemTime::now().checked_sub(kept).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let before = before.and_then(|time| i64::try_from(time.as_millis()).ok()).map(Timestamp::from_ms);
    let first = stage.dice.usize(0..PROJECTS.len());
    for at in 0..PROJECTS.len() {
        let project = PROJECTS[(first + at) % PROJECTS.len()].name;
        let purge = json!({"project": project, "older_than": before});
        let purged = stage.call(Method::POST, "api/v1/tasks/purge", purge).await.unwrap_or_default();
        if purged["count"].as_u64().unwrap_or_default() > 0 {
            return true;
        }
    }
    false
}

/// Installs another version of an agent.
async fn update_agent(stage: &mut DemoStage) -> Option<()> {
    let agent = stage.one_of(&AgentRuntime::ALL);
    let version = format!("1.{}.0", stage.dice.usize(1..1000));
    let installed =
        json!({"source": agent.as_str(), "version": version, "hooks": HookName::registered(agent, None).len()});
    stage.call(Method::PUT, "api/v1/agents", installed).await.map(drop)
}

/// A random row of a page. `None` if the page is empty.
async fn random_row(stage: &mut DemoStage, path: &str) -> Option<Value> {
    let page = stage.call(Method::GET, path, Value::Null).await?;
    let rows = page["items"].as_array().filter(|rows| !rows.is_empty())?;
    Some(rows[stage.dice.usize(0..rows.len())].clone())
}
