//! An agent that makes releases and writes through the REST API: a task for the release and one for each part of it.

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::DemoStage;
use super::texts::{PROJECTS, RELEASE};

/// Makes one release after another.
pub async fn work(mut stage: DemoStage) {
    for number in 0.. {
        // `None` means that a task of the release was deleted. The agent then starts the next release.
        release(&mut stage, number).await;
        stage.pause(5.0, 15.0).await;
    }
}

async fn release(stage: &mut DemoStage, number: u32) -> Option<()> {
    let project = &PROJECTS[stage.dice.usize(0..PROJECTS.len())];
    let title = format!("Release {} 2.{}.{}", project.name, 4 + number, stage.dice.u32(0..10));
    let task = begin(stage, json!({"title": title, "project": project.name, "source": "release-bot"})).await?;
    let parts = RELEASE.iter().map(|(part, _)| format!("- {part}")).collect::<Vec<_>>().join("\n");
    log(stage, &task, json!([{"kind": "plan", "title": "Four parts", "body": parts}])).await?;
    stage.pause(1.0, 3.0).await;

    for (at, (title, commands)) in RELEASE.iter().enumerate() {
        // The long tests of an agent's first release always fail, so that a viewer soon sees a failed task.
        let fails = at == 2 && (number == 0 || stage.chance(30));
        part(stage, &task, title, commands, fails).await?;
        if fails {
            part(stage, &task, &format!("{title} again"), commands, false).await?;
        }
        if at == 1 {
            approve(stage, &task).await?;
        }
    }
    // The release is done, so the task of its first part, the changelog, is deleted.
    if let Some(first) = task.parts(stage).await.first() {
        stage.call(Method::DELETE, &format!("api/v1/tasks/{first}"), Value::Null).await;
    }
    let push = json!([
        {"kind": "git.commit", "title": format!("chore: {title}")},
        {"kind": "git.push", "title": "origin main, with the tag"},
    ]);
    log(stage, &task, push).await?;
    end(stage, &task, "completed", "Released; nothing unusual in the first minutes.").await
}

/// A task and the session that works on it.
struct Work {
    id: String,
    session: String,
}

impl Work {
    /// The ids of the child tasks, the oldest first.
    async fn parts(&self, stage: &mut DemoStage) -> Vec<String> {
        let path = format!("api/v1/tasks/{}", self.id);
        let detail = stage.call(Method::GET, &path, Value::Null).await.unwrap_or_default();
        let children = detail["children"].as_array().into_iter().flatten().rev();
        children.filter_map(|child| Some(child["task_id"].as_str()?.to_owned())).collect()
    }
}

async fn begin(stage: &mut DemoStage, task: Value) -> Option<Work> {
    let id = id_of(&stage.call(Method::POST, "api/v1/tasks", task).await?, "task_id")?;
    let session = json!({"runtime_session_id": stage.id("run-")});
    let session = stage.call(Method::POST, &format!("api/v1/tasks/{id}/sessions"), session).await?;
    Some(Work { id, session: id_of(&session, "session_id")? })
}

async fn log(stage: &mut DemoStage, task: &Work, mut events: Value) -> Option<Vec<String>> {
    for event in events.as_array_mut().into_iter().flatten() {
        event["session_id"] = json!(task.session);
    }
    let path = format!("api/v1/tasks/{}/events", task.id);
    let logged = stage.call(Method::POST, &path, json!({"events": events})).await?;
    logged["items"].as_array()?.iter().map(|event| id_of(event, "event_id")).collect()
}

/// A part of a release: a child task that runs in the background.
async fn part(stage: &mut DemoStage, release: &Work, title: &str, commands: &[&str], fails: bool) -> Option<()> {
    let task = json!({
        "title": title,
        "parent_task_id": release.id,
        "parent_session_id": release.session,
        "mode": "background",
        "source": "release-bot",
    });
    let part = begin(stage, task).await?;
    for (at, command) in commands.iter().enumerate() {
        let event =
            json!([{"kind": "tool", "family": "terminal", "state": "running", "title": format!("sh: {command}")}]);
        let logged = log(stage, &part, event).await?;
        stage.pause(0.8, 2.5).await;
        let failed = fails && at + 1 == commands.len();
        let ended = json!({
            "state": if failed { "failed" } else { "ok" },
            "body": if failed { "p99 rose to 840 ms, allowed are 500 ms" } else { "done" },
            "metadata": {"exit_status": i32::from(failed)},
        });
        stage.call(Method::PATCH, &format!("api/v1/events/{}", logged.first()?), ended).await?;
    }
    match fails {
        true => end(stage, &part, "errored", "The service is slower than it may be.").await,
        false => end(stage, &part, "completed", "Done.").await,
    }
}

/// Asks for a permission and waits for it, as long as a person may take to answer.
async fn approve(stage: &mut DemoStage, task: &Work) -> Option<()> {
    log(stage, task, json!([{"kind": "permission.requested", "title": "Sign with the release key?"}])).await?;
    let path = format!("api/v1/tasks/{}", task.id);
    let asks = json!({
        "status": "waiting", "status_reason": "permission", "status_detail": "Sign with the release key?",
    });
    stage.call(Method::PATCH, &path, asks).await?;
    stage.pause(4.0, 9.0).await;
    stage.call(Method::PATCH, &path, json!({"status": "running"})).await.map(drop)
}

async fn end(stage: &mut DemoStage, task: &Work, status: &str, summary: &str) -> Option<()> {
    let ended = json!({"status": status, "summary": summary});
    stage.call(Method::PATCH, &format!("api/v1/sessions/{}", task.session), ended.clone()).await?;
    stage.call(Method::PATCH, &format!("api/v1/tasks/{}", task.id), ended).await.map(drop)
}

fn id_of(row: &Value, field: &str) -> Option<String> {
    row[field].as_str().map(str::to_owned)
}
