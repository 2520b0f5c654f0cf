//! The state of the work: the agent's own list, its model, its branch, its last commit and its pull request.

use requery::agent::runtime::AgentRuntime;
use requery_entities::{event, session, task};
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use super::{START, Store, read};

/// The list of a task, as in `[x] Docs, [>] Tests, [ ] Release`.
fn list(task: &task::Model) -> String {
    let todos: Value = task.todos.as_deref().map_or(json!([]), |text| serde_json::from_str(text).expect("JSON"));
    let entry = |todo: &Value| {
        let mark = match todo["state"].as_str() {
            Some("completed") => "x",
            Some("in_progress") => ">",
            Some("pending") => " ",
            other => panic!("{other:?}"),
        };
        format!("[{mark}] {}", todo["title"].as_str().expect("a title"))
    };
    todos.as_array().expect("a list").iter().map(entry).collect::<Vec<_>>().join(", ")
}

/// The state of a task without its list.
fn outcome(task: &task::Model) -> [Option<&str>; 4] {
    [task.model.as_deref(), task.branch.as_deref(), task.last_commit.as_deref(), task.pull_request.as_deref()]
}

#[tokio::test]
async fn the_recordings_give_lists_models_and_commits() {
    let store = Store::open().await;
    for (file, source) in
        [("claude-code-busy-day.jsonl", AgentRuntime::ClaudeCode), ("codex-two-sessions.jsonl", AgentRuntime::Codex)]
    {
        for line in read(file).lines() {
            let line: Value = serde_json::from_str(line).expect("a line");
            store.take(source, line["body"].to_string().as_bytes()).await.expect("taken");
        }
    }
    let mut found = Vec::new();
    for task in task::Entity::find().all(&store.db).await.expect("tasks") {
        let [model, branch, commit, pull_request] = outcome(&task).map(|text| text.unwrap_or("-").to_owned());
        let list = list(&task);
        found.push(format!(
            "{}: {model} {branch} {commit} {pull_request} {list}",
            &task.external_id.expect("an id")[..8]
        ));
    }
    found.sort();
    assert_eq!(
        found,
        [
            "019fbc44: gpt-5.3-codex - - - ",
            "019fbc44: gpt-5.3-codex - - - ",
            "4ca67353: - - - - [x] Write the runbook",
            "780c4b16: claude-opus-4-7 double-entry 91ab0e4 - [x] Model and writer, [x] Migration 0042, \
             [x] Remove the tolerance, [ ] Docs",
            "bd8ec9a1: claude-haiku-4-5 - - - [x] Move fields to <Field>, [x] Keep old ids, [x] Run e2e",
            "e4039782: claude-sonnet-5 - - - ",
            "e88b7591: claude-sonnet-5 fix/rounding 3f9d2c1 - ",
        ]
    );
    for run in session::Entity::find().all(&store.db).await.expect("runs").iter().filter(|run| run.source == "codex") {
        assert_eq!(run.model.as_deref(), Some("gpt-5.3-codex"));
    }
}

fn record(hook: &str, fields: Value) -> Vec<u8> {
    let mut record = json!({"session_id": "s", "cwd": "/srv/shop", "hook_event_name": hook});
    record.as_object_mut().expect("an object").extend(fields.as_object().cloned().expect("fields"));
    record.to_string().into_bytes()
}

fn call(id: &str, name: &str, input: Value, response: Value) -> Vec<u8> {
    record("PostToolUse", json!({"tool_use_id": id, "tool_name": name, "tool_input": input, "tool_response": response}))
}

/// The tools and the hooks of the list tell the same changes, so each order of them gives the same list.
#[tokio::test]
async fn records_of_the_list_can_arrive_in_any_order_and_twice() {
    let create = |id: &str, subject: &str| {
        call(&format!("c{id}"), "TaskCreate", json!({"subject": subject}), json!({"task": {"id": id}}))
    };
    let created = |id: &str, subject: &str| record("TaskCreated", json!({"task_id": id, "task_subject": subject}));
    let completed = record("TaskCompleted", json!({"task_id": "1"}));
    let records = [
        create("1", "Docs"),
        created("1", "Docs"),
        create("2", "Tests"),
        created("2", "Tests"),
        call("u", "TaskUpdate", json!({"taskId": "2", "status": "in_progress"}), json!({"success": true})),
        completed,
    ];
    for turn in 0..records.len() {
        let store = Store::open().await;
        for at in 0..2 * records.len() {
            store.take(AgentRuntime::ClaudeCode, &records[(at + turn) % records.len()]).await.expect("taken");
        }
        let list = list(&store.task("s").await.expect("a task"));
        let mut entries: Vec<&str> = list.split(", ").collect();
        entries.sort_unstable();
        assert_eq!(entries, ["[>] Tests", "[x] Docs"], "beginning with record {turn}");
    }
}

#[tokio::test]
async fn a_list_is_replaced_changed_and_bounded() {
    let store = Store::open().await;
    let long = "é".repeat(200);
    let many: Vec<Value> = (0..150).map(|number| json!({"content": format!("{number}"), "status": "odd"})).collect();
    for (source, record, expected) in [
        (
            AgentRuntime::ClaudeCode,
            call(
                "1",
                "TodoWrite",
                json!({"todos": [{"content": "a\nb", "status": "completed"}, {"content": long}]}),
                json!({}),
            ),
            format!("[x] a b, [ ] {}…", "é".repeat(119)),
        ),
        // A subagent has a list of its own.
        (
            AgentRuntime::ClaudeCode,
            record(
                "PostToolUse",
                json!({"tool_name": "TodoWrite", "agent_id": "sub", "tool_input": {"todos": []}, "tool_use_id": "2"}),
            ),
            format!("[x] a b, [ ] {}…", "é".repeat(119)),
        ),
        (AgentRuntime::ClaudeCode, call("3", "TodoWrite", json!({"todos": []}), json!({})), String::new()),
        (
            AgentRuntime::ClaudeCode,
            call("4", "TaskCreate", json!({"subject": "Docs"}), json!({"task": {"id": "7"}})),
            "[ ] Docs".to_owned(),
        ),
        (
            AgentRuntime::ClaudeCode,
            call("5", "TaskUpdate", json!({"taskId": "7", "subject": "Manual", "status": "odd"}), json!({})),
            "[ ] Manual".to_owned(),
        ),
        (
            AgentRuntime::ClaudeCode,
            call("5b", "TaskUpdate", json!({"taskId": "7", "status": "completed"}), json!({"success": false})),
            "[ ] Manual".to_owned(),
        ),
        (
            AgentRuntime::ClaudeCode,
            call("5c", "TaskUpdate", json!({"taskId": 7, "status": "in_progress"}), json!({"success": true})),
            "[>] Manual".to_owned(),
        ),
        (
            AgentRuntime::ClaudeCode,
            call("6", "TaskUpdate", json!({"taskId": "7", "status": "deleted"}), json!({})),
            String::new(),
        ),
        (
            AgentRuntime::ClaudeCode,
            call(
                "7",
                "update_plan",
                json!({"plan": [{"step": "Look", "status": "in_progress"}, {"step": 7}]}),
                json!({}),
            ),
            "[>] Look".to_owned(),
        ),
        (
            AgentRuntime::ClaudeCode,
            call("8", "TodoWrite", json!({"todos": many}), json!({})),
            (0..100).map(|number| format!("[ ] {number}")).collect::<Vec<_>>().join(", "),
        ),
        // A list that is full takes no further entry.
        (
            AgentRuntime::ClaudeCode,
            call("9", "TaskCreate", json!({"subject": "Docs"}), json!({"task": {"id": "8"}})),
            (0..100).map(|number| format!("[ ] {number}")).collect::<Vec<_>>().join(", "),
        ),
    ] {
        store.take(source, &record).await.expect("taken");
        assert_eq!(list(&store.task("s").await.expect("a task")), expected);
    }
}

/// A list that is longer than its column loses its last entries, and no record.
#[tokio::test]
async fn a_list_of_long_ids_and_titles_fits() {
    let store = Store::open().await;
    for number in 0..100 {
        let id = format!("{number:0>256}");
        let subject = format!("{number:0>3}{}", "🐦".repeat(117));
        let created = call(&id, "TaskCreate", json!({"subject": subject}), json!({"task": {"id": id}}));
        store.take(AgentRuntime::ClaudeCode, &created).await.expect("taken");
    }
    let task = store.task("s").await.expect("a task");
    let stored = task.todos.as_deref().expect("a list");
    let todos: Vec<Value> = serde_json::from_str(stored).expect("JSON");
    assert!((60_000..=65_536).contains(&stored.len()) && todos.len() > 75, "{} {}", stored.len(), todos.len());
    assert!(todos[0]["title"].as_str().expect("a title").starts_with("000"));
}

#[tokio::test]
async fn a_commit_is_one_row_and_the_outcome_of_the_task() {
    let store = Store::open().await;
    let command = "git commit -m x && git push -u origin HEAD && gh pr create --fill";
    let output = "[fix/x 3f9d2c1] x\nTo github.com:a/b.git\n * [new branch]      fix/x -> fix/x\n\
        https://github.com/a/b/pull/7\n";
    let begin =
        record("PreToolUse", json!({"tool_use_id": "t", "tool_name": "Bash", "tool_input": {"command": command}}));
    let end = call("t", "Bash", json!({"command": command}), json!({"stdout": output, "stderr": ""}));
    for record in [&begin, &end, &end, &begin] {
        store.take(AgentRuntime::ClaudeCode, record).await.expect("taken");
    }
    let rows: Vec<event::Model> = store.events().await;
    let kinds: Vec<&str> = rows.iter().map(|row| &*row.kind).collect();
    assert_eq!(kinds, ["tool", "git.commit", "git.push", "pull_request"]);
    assert!(rows.iter().all(|row| row.session_id.is_some() && row.session_id == rows[0].session_id));
    assert!(rows[1..].iter().all(|row| row.lane.as_deref() == Some("git") && row.state.is_none()));
    let task = store.task("s").await.expect("a task");
    let expected = [None, Some("fix/x"), Some("3f9d2c1"), Some("https://github.com/a/b/pull/7")];
    assert_eq!(outcome(&task), expected);
}

/// A person can change the model within a run, and a subagent can have another one.
#[tokio::test]
async fn the_model_is_that_of_the_main_thread() {
    let store = Store::open().await;
    for (hook, fields, expected) in [
        ("SessionStart", json!({"source": "startup", "model": "opus"}), Some("opus")),
        ("SessionStart", json!({"source": "compact"}), Some("opus")),
        ("UserPromptSubmit", json!({"model": {"id": "sonnet", "display_name": "Sonnet"}}), Some("sonnet")),
        ("PreToolUse", json!({"model": "haiku", "agent_id": "sub", "tool_name": "Bash"}), Some("sonnet")),
        ("Stop", json!({"model": "x".repeat(300)}), Some("sonnet")),
        ("Stop", json!({"model": 7}), Some("sonnet")),
        ("PostModelSwitch", json!({"from_model": "sonnet", "to_model": "opus"}), Some("opus")),
    ] {
        store.take(AgentRuntime::ClaudeCode, &record(hook, fields)).await.expect("taken");
        let runs = session::Entity::find().all(&store.db).await.expect("runs");
        let models: Vec<_> = runs.iter().map(|run| run.model.as_deref()).collect();
        assert_eq!((models, outcome(&store.task("s").await.expect("a task"))[0]), (vec![expected], expected), "{hook}");
    }
    // The next run begins with the model of the run before, until the runtime tells another one.
    store
        .take_at(AgentRuntime::ClaudeCode, &record("SessionStart", json!({"source": "resume"})), START + 1)
        .await
        .expect("taken");
    let runs = session::Entity::find().all(&store.db).await.expect("runs");
    assert_eq!(runs.iter().map(|run| run.model.as_deref()).collect::<Vec<_>>(), [Some("opus"); 2]);
}
