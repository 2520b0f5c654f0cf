//! The detail of a status: the question, the command or the error, in the words of the agent.

use requery::agent::runtime::AgentRuntime;
use serde_json::{Value, json};

use super::Store;

/// Markup, an escape sequence, a character that turns the direction, and a NUL.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{1b}[2J\u{202e}\0";

#[tokio::test]
async fn a_status_has_the_words_of_the_hook_that_set_it() {
    let long = "é".repeat(600);
    let cut = format!("{}…", "é".repeat(499));
    let bash = json!({"command": "rm -rf build"});
    let questions = json!({"questions": [{"question": "Which port?"}, {"question": "Which host?"}]});
    let mut cases = vec![
        ("PermissionRequest", json!({"tool_name": "Bash", "tool_input": bash}), "permission Bash: rm -rf build"),
        (
            "PermissionRequest",
            json!({"tool_name": "Edit", "tool_input": {"file_path": "/srv/a.rs"}}),
            "permission Edit /srv/a.rs",
        ),
        (
            "PreToolUse",
            json!({"tool_name": "AskUserQuestion", "tool_input": questions}),
            "question Which port?\nWhich host?",
        ),
        ("PreToolUse", json!({"tool_name": "ExitPlanMode", "tool_input": {"plan": "1. Look"}}), "question 1. Look"),
        ("PreToolUse", json!({"tool_name": "AskUserQuestion", "tool_input": {"questions": "odd"}}), "question -"),
        ("Elicitation", json!({"mcp_server_name": "m", "message": "Your name?"}), "question Your name?"),
        ("Notification", json!({"notification_type": "permission_prompt", "message": " May I? "}), "permission May I?"),
        ("Notification", json!({"notification_type": "idle_prompt", "message": "Waits"}), "idle -"),
        (
            "Stop",
            json!({"last_assistant_message": "All done.\nShall I commit?"}),
            "finished All done.\nShall I commit?",
        ),
        ("Stop", json!({}), "finished -"),
        ("StopFailure", json!({"error": "overloaded", "error_details": "Try later"}), "overloaded Try later"),
        ("StopFailure", json!({"error": "overloaded", "last_assistant_message": "I failed"}), "overloaded I failed"),
        ("SessionEnd", json!({"reason": "exit"}), "- -"),
        // A text is data: markup, steering characters and blank texts make no other status.
        (
            "Stop",
            json!({"last_assistant_message": HOSTILE}),
            "finished <img src=x onerror=alert(1)>\u{1b}[2J\u{202e}\u{fffd}",
        ),
        ("Stop", json!({"last_assistant_message": " \n\t "}), "finished -"),
        ("Stop", json!({"last_assistant_message": {"text": "odd"}}), "finished -"),
        ("PermissionRequest", json!({"tool_name": 7, "tool_input": []}), "permission Tool"),
        ("Elicitation", json!({"message": null}), "question -"),
    ];
    let cut_case = format!("finished {cut}");
    cases.push(("Stop", json!({"last_assistant_message": long}), &cut_case));
    for (at, (hook, fields, expected)) in cases.into_iter().enumerate() {
        let store = Store::open().await;
        let session = format!("s{at}");
        let send = async |hook: &str, fields: &Value| {
            let mut record = json!({"session_id": session, "cwd": "/home/ada/web", "hook_event_name": hook});
            record.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
            store.take(AgentRuntime::ClaudeCode, record.to_string().as_bytes()).await.expect("taken");
            let task = store.task(&session).await.expect("its task");
            let word = |text: Option<&str>| text.unwrap_or("-").to_owned();
            format!("{} {}", word(task.status_reason.as_deref()), word(task.status_detail.as_deref()))
        };
        assert_eq!(send("UserPromptSubmit", &json!({"prompt": "go"})).await, "- -");
        assert_eq!(send(hook, &fields).await, expected, "{hook} {fields}");
        // A later message without a question does not change the detail, and the next prompt removes it.
        assert_eq!(send("UserPromptSubmit", &json!({"prompt": "go on"})).await, "- -", "{hook}");
    }
}

/// Two requests at once: the older one counts until it is answered.
#[tokio::test]
async fn the_detail_is_that_of_the_oldest_open_request() {
    let store = Store::open().await;
    let ask = |command: &str, agent: Option<&str>| {
        json!({
            "session_id": "s", "cwd": "/w", "hook_event_name": "PermissionRequest", "tool_name": "Bash",
            "tool_input": {"command": command}, "agent_id": agent,
        })
    };
    let mut done = ask("make", None);
    done["hook_event_name"] = json!("PostToolUse");
    let mut seen = Vec::new();
    for record in [ask("make", None), ask("make test", Some("sub")), done] {
        store.take(AgentRuntime::ClaudeCode, record.to_string().as_bytes()).await.expect("taken");
        seen.push(store.task("s").await.expect("its task").status_detail.map(String::from).unwrap_or_default());
    }
    assert_eq!(seen, ["Bash: make", "Bash: make", "Bash: make test"]);
}

/// Codex names its question another way. Each request ends with its call, and the detail with it.
#[tokio::test]
async fn requests_of_codex_have_their_words_until_their_calls_end() {
    let store = Store::open().await;
    let question = json!({"questions": [{"id": "rounding", "question": "Which rounding?", "options": []}]});
    let command = json!({"command": "git push origin HEAD", "description": "writes outside the workspace"});
    let mut seen = Vec::new();
    for (hook, tool, input) in [
        ("UserPromptSubmit", "", &json!(null)),
        ("PreToolUse", "request_user_input", &question),
        ("PostToolUse", "request_user_input", &question),
        ("PreToolUse", "Bash", &command),
        ("PermissionRequest", "Bash", &command),
        ("PostToolUse", "Bash", &command),
        // The agent goes on while the person reads this question.
        ("PreToolUse", "request_user_input_async", &question),
    ] {
        let record = json!({
            "session_id": "s", "turn_id": "t", "cwd": "/w", "hook_event_name": hook, "tool_name": tool,
            "tool_input": input, "tool_use_id": format!("call of {tool}"),
        });
        store.take(AgentRuntime::Codex, record.to_string().as_bytes()).await.expect("taken");
        let task = store.task("s").await.expect("its task");
        let detail = task.status_detail.map(String::from).unwrap_or_default();
        seen.push(format!("{} {} {detail}", task.status.as_str(), task.status_reason.as_deref().unwrap_or_default()));
    }
    assert_eq!(
        seen,
        [
            "running  ",
            "waiting question Which rounding?",
            "running  ",
            "running  ",
            "waiting permission Bash: git push origin HEAD",
            "running  ",
            "running  ",
        ]
    );
}

/// A server of MCP need not name its questions. The task then waits with the words of the newest one.
#[tokio::test]
async fn a_repeated_question_without_a_name_brings_its_words() {
    let store = Store::open().await;
    let mut seen = Vec::new();
    for message in [json!("Your name?"), json!("Your address?"), json!(null)] {
        let record = json!({
            "session_id": "s", "cwd": "/w", "hook_event_name": "Elicitation", "mcp_server_name": "m", "message": message,
        });
        store.take(AgentRuntime::ClaudeCode, record.to_string().as_bytes()).await.expect("taken");
        seen.push(store.task("s").await.expect("its task").status_detail.map(String::from).unwrap_or_default());
    }
    assert_eq!(seen, ["Your name?", "Your address?", "Your address?"]);
}
