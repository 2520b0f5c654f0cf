//! Scripts of hooks that arrive in another order than they ran, or of which one never ran.

use requery::server::access::scope::Scope;
use requery::server::agents::{self, HookDelivery, HookTime};
use serde_json::json;

use super::sentences::{CLAUDE, CODEX, check};
use super::{START, Store};

/// The client runs both hooks in the same moment. In a real recording less than 50 ms lie between them.
#[tokio::test]
async fn the_end_of_a_turn_behind_the_end_of_its_session_leaves_the_session_completed() {
    check(
        CLAUDE,
        "1 SessionStart source=startup
         2 UserPromptSubmit prompt_id=p1 prompt=go
         3 SessionEnd reason=other
         4 Stop prompt_id=p1 last_assistant_message=done
         5 UserPromptSubmit prompt_id=p2 prompt=on
         6 SessionEnd reason=other
         7 StopFailure prompt_id=p2 error=overloaded
         8 UserPromptSubmit prompt_id=p3 prompt=again
         9 Stop prompt_id=p3",
        "waiting ready since 1
         running since 2
         completed since 3
         completed since 3
         running since 5
         completed since 6
         errored overloaded since 7
         running since 8
         waiting finished since 9",
    )
    .await;
}

#[tokio::test]
async fn a_prompt_in_front_of_the_start_of_its_session_keeps_the_task_running() {
    for source in ["startup", "clear"] {
        check(
            CODEX,
            &format!(
                "1 UserPromptSubmit turn_id=t1 prompt=go
                 2 SessionStart source={source}
                 3 Stop turn_id=t1
                 4 SessionStart source={source}"
            ),
            "running since 1
             running since 1
             waiting finished since 3
             waiting ready since 4",
        )
        .await;
    }
    // A resumed session has hooks of its earlier process.
    check(
        CLAUDE,
        "1 UserPromptSubmit prompt=go
         2 SessionStart source=resume",
        "running since 1
         waiting ready since 2",
    )
    .await;
}

/// Codex reports no end of a call that failed. When it asks its model again, the calls before have ended.
#[tokio::test]
async fn a_failed_call_of_codex_is_failed_however_its_turn_ends() {
    let turn = "1 UserPromptSubmit turn_id=t1 prompt=go
        2 PreToolUse turn_id=t1 tool_use_id=a tool_name=apply_patch
        3 PreToolUse turn_id=t1 tool_use_id=b tool_name=Bash
        4 PreModelRequest turn_id=t1
        5 PostToolUse turn_id=t1 tool_use_id=b tool_name=Bash
        6 PreToolUse turn_id=t1 tool_use_id=c tool_name=Bash";
    let before = "running since 1
        running since 1, a running
        running since 1, b running
        running since 1
        running since 1, b ok
        running since 1, c running";
    for (end, after) in [
        ("Interrupt turn_id=t1", "waiting interrupted since 7, a failed, c abandoned"),
        ("UserPromptSubmit turn_id=t2 prompt=on", "running since 1, a failed, c abandoned"),
        (
            "PostModelRequest turn_id=t1 status=failed error=x",
            "errored model_request_failed since 7, a failed, c abandoned",
        ),
        ("SessionEnd reason=other", "completed since 7, a failed, c abandoned"),
        ("Stop turn_id=t1", "waiting finished since 7, a failed, c failed"),
    ] {
        check(CODEX, &format!("{turn}\n7 {end}"), &format!("{before}\n{after}")).await;
    }
}

#[tokio::test]
async fn the_batch_in_front_of_the_ends_of_its_calls_denies_no_call_that_ran() {
    let store = Store::open().await;
    let call = |hook: &str| {
        json!({"session_id": "s", "hook_event_name": hook, "tool_name": "Bash", "tool_use_id": "a",
            "tool_input": {"command": "make"}, "tool_response": {"stdout": "", "stderr": ""}})
    };
    let mut batch = call("PostToolBatch");
    batch["tool_calls"] = json!([{"tool_name": "Bash", "tool_use_id": "a", "tool_input": {"command": "make"},
        "tool_response": "(no output)"}]);
    let mut seen = Vec::new();
    for record in [call("PreToolUse"), call("PermissionRequest"), batch, call("PostToolUse")] {
        store.take(CLAUDE, record.to_string().as_bytes()).await.expect("taken");
        let rows = store.events().await;
        let shown = rows.iter().map(|row| format!("{} {:?} {:?}", row.kind, row.state.as_deref(), row.body.as_deref()));
        seen.push(shown.collect::<Vec<_>>());
    }
    assert_eq!(seen[2][0], r#"tool Some("denied") Some("(no output)")"#);
    assert_eq!(seen[3], [r#"tool Some("ok") None"#.to_owned(), "permission.requested None None".to_owned()]);
    assert_eq!(super::metadata(&store.events().await[0])["reason"], json!(null));
}

/// A record waits in the spool. The hooks before and after it ran in the same millisecond.
#[tokio::test]
async fn hooks_of_one_millisecond_are_all_newest() {
    let store = Store::open().await;
    for (hook, more) in [
        ("SessionStart", json!({"source": "startup", "model": "one"})),
        ("UserPromptSubmit", json!({"prompt": "go", "model": "two"})),
        ("Stop", json!({"model": "three"})),
    ] {
        let mut body = json!({"session_id": "s", "hook_event_name": hook});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let delivery = HookDelivery::read(CLAUDE, None, body.to_string().as_bytes()).expect("read");
        let time = HookTime::late(START, START + 60_000);
        agents::take_hook(&store.db, &Scope::All, &delivery, time).await.expect("taken");
    }
    let task = store.task("s").await.expect("its task");
    assert_eq!(task.model.as_deref(), Some("three"));
    assert_eq!((task.status.as_str(), task.status_reason.as_deref()), ("waiting", Some("finished")));
    // Each status has the time of its hook, and not the time of the intake.
    assert!((0..=1).contains(&(task.status_since - START)), "{}", task.status_since - START);
}
