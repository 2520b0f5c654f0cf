//! The rows of tool calls in recordings of real agents: a person reads the change, the prompt and the plan.

use requery::agent::runtime::AgentRuntime;
use requery_entities::event;
use serde_json::{Value, json};

use super::{START, Store, metadata};
use crate::home::fixtures;

/// The rows of a recording.
async fn rows_of(file: &str, runtime: AgentRuntime) -> Vec<event::Model> {
    let store = Store::open().await;
    let lines = std::fs::read_to_string(fixtures("real").join(file)).expect("a recording");
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).expect("a line");
        let at = START + line["at_ms"].as_i64().expect("a time");
        store.take_at(runtime, line["body"].to_string().as_bytes(), at).await.expect("taken");
    }
    store.events().await
}

#[track_caller]
fn row<'a>(rows: &'a [event::Model], kind: &str, title: &str) -> &'a event::Model {
    let titles: Vec<_> = rows.iter().filter(|row| row.kind == kind).map(|row| row.title.to_string()).collect();
    rows.iter().find(|row| row.kind == kind && row.title == title).unwrap_or_else(|| panic!("{title}: {titles:#?}"))
}

#[track_caller]
fn body<'a>(rows: &'a [event::Model], title: &str) -> &'a str {
    row(rows, "tool", title).body.as_deref().unwrap_or_else(|| panic!("{title} has no body"))
}

#[tokio::test]
async fn calls_of_claude_code_show_what_a_person_wants() {
    let rows = rows_of("claude-code-2.1.332-print.jsonl", AgentRuntime::ClaudeCode).await;
    assert_eq!(
        body(&rows, "Edit src/cart.py"),
        "@@ -2,4 +2,4 @@\n     total = 0\n     for line in lines:\n         total += line.price\n-    return total\n\
        +    return round(total, 2)\n"
    );
    assert_eq!(
        body(&rows, "Write src/coupon.py"),
        "+def coupon(total, percent):\n+    return total * (100 - percent) / 100\n"
    );
    assert_eq!(body(&rows, "Agent: Look for totals"), "Look for every use of total and report back.");
    let subagent = row(&rows, "subagent", "Look for totals");
    assert_eq!(metadata(subagent)["agent_type"], "Explore");
    assert_eq!(subagent.body.as_deref(), Some("Two places: cart.py line 1 and 4."));
    let todo = |id: &str| {
        let row = rows.iter().find(|row| row.external_id.as_deref() == Some(id)).expect("a todo");
        json!([&*row.title, row.state.as_deref(), metadata(row)["status"]])
    };
    assert_eq!(todo("todo:1"), json!(["Round the total", "ok", "completed"]));
    assert_eq!(todo("todo:2"), json!(["Write the coupon", "running", null]));
    let worktree = row(&rows, "tool", "EnterWorktree: try-one");
    assert_eq!(worktree.family.as_deref(), Some("file"));

    let rows = rows_of("claude-code-2.1.332-interactive.jsonl", AgentRuntime::ClaudeCode).await;
    let plan = "# Plan: round the total\n\n1. Round in `total()`\n2. Add a test\n";
    let plans: Vec<_> = rows.iter().filter(|row| row.kind == "tool" && row.body.as_deref() == Some(plan)).collect();
    assert_eq!(plans.len(), 1);
    assert_eq!(row(&rows, "subagent", "Clean up").state.as_deref(), Some("ok"));
    assert_eq!(row(&rows, "subagent", "Slow look").state.as_deref(), Some("ok"));
    assert_eq!(row(&rows, "tool", "CronCreate: Say hello from the cron").family.as_deref(), Some("agent"));
}

#[tokio::test]
async fn calls_of_codex_show_what_a_person_wants() {
    let rows = rows_of("codex-0.169.0-tui.jsonl", AgentRuntime::Codex).await;
    let patch = row(&rows, "tool", "apply_patch src/cart.py, src/coupon.py");
    assert!(patch.body.as_deref().is_some_and(|body| body.starts_with("*** Begin Patch\n")), "{:?}", patch.body);
    let facts = metadata(patch);
    assert_eq!(facts["file_paths"], json!(["src/cart.py", "src/coupon.py"]));
    assert_eq!((&facts["file_path"], &facts["exit_status"]), (&json!("src/cart.py"), &json!(0)));
    assert_eq!(body(&rows, "collaborationspawn_agent: look"), "Look for every use of total.");
    assert_eq!(row(&rows, "subagent", "look").state.as_deref(), Some("ok"));
    let waits = row(&rows, "tool", "collaborationwait_agent");
    assert_eq!(waits.family.as_deref(), Some("agent"));
}

/// Two subagents of the same type at once, started before any of them ends.
#[tokio::test]
async fn subagents_at_once_have_their_own_names() {
    let store = Store::open().await;
    let send = async |body: Value| {
        let mut record = json!({"session_id": "s", "cwd": "/srv/orchard"});
        record.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
        store.take(AgentRuntime::ClaudeCode, record.to_string().as_bytes()).await.expect("taken");
    };
    let call = |id: &str, about: &str, kind: &str| {
        json!({"hook_event_name": "PreToolUse", "tool_name": "Agent", "tool_use_id": id,
            "tool_input": {"description": about, "prompt": format!("{about}!"), "subagent_type": kind}})
    };
    let start = |id: &str, kind: &str| json!({"hook_event_name": "SubagentStart", "agent_id": id, "agent_type": kind});
    send(call("t1", "Look for apples", "Explore")).await;
    send(call("t2", "Look for pears", "Explore")).await;
    send(call("t3", "Mend the shed", "general-purpose")).await;
    for (id, kind) in [("a3", "general-purpose"), ("a2", "Explore"), ("a1", "Explore"), ("a9", "Plan")] {
        send(start(id, kind)).await;
    }
    let names = async || {
        let rows = store.events().await;
        let named = rows.iter().filter(|row| row.kind == "subagent");
        named
            .map(|row| format!("{}: {}", row.external_id.as_deref().unwrap_or_default(), &*row.title))
            .collect::<Vec<_>>()
    };
    // The hook of a start does not name the call: the order of the calls decides.
    let guessed = ["subagent:a3: Mend the shed", "subagent:a2: Look for apples", "subagent:a1: Look for pears"];
    assert_eq!(names().await[..3], guessed);
    assert_eq!(names().await[3], "subagent:a9: Plan");
    // The end of a call names its subagent.
    let mut end = call("t2", "Look for pears", "Explore");
    end["hook_event_name"] = json!("PostToolUse");
    end["tool_response"] = json!({"status": "async_launched", "isAsync": true, "agentId": "a2"});
    send(end).await;
    assert_eq!(names().await[1], "subagent:a2: Look for pears");
}

/// A worktree that the client made belongs to the project of its repository, and a strange tool has its name.
#[tokio::test]
async fn worktrees_and_strange_tools_have_their_names() {
    let store = Store::open().await;
    let record = json!({
        "session_id": "s", "cwd": "/srv/orchard/.claude/worktrees/try-one", "hook_event_name": "PreToolUse",
        "tool_name": "PlantTree", "tool_use_id": "t1", "tool_input": {"kind": "apple"},
    });
    store.take(AgentRuntime::ClaudeCode, record.to_string().as_bytes()).await.expect("taken");
    assert_eq!(store.task("s").await.expect("its task").project, "orchard");
    let row = store.events().await.pop().expect("a row");
    assert_eq!((&*row.title, row.family.as_deref()), ("PlantTree", None));
    let failed = json!({
        "session_id": "s", "hook_event_name": "PostToolUse", "tool_name": "apply_patch", "tool_use_id": "t2",
        "tool_input": {"command": "*** Begin Patch\n*** Update File: a\n*** Move to: b\n*** End Patch"},
        "tool_response": "Exit code: 1\nWall time: 0 seconds\nOutput:\nno such file",
    });
    store.take(AgentRuntime::Codex, failed.to_string().as_bytes()).await.expect("taken");
    let row = store.events().await.pop().expect("a row");
    assert_eq!((&*row.title, row.state.as_deref()), ("apply_patch a, b", Some("failed")));
    assert_eq!(row.body.as_deref(), Some("Exit code: 1\nWall time: 0 seconds\nOutput:\nno such file"));
}
