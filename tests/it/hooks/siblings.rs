//! Siblings of small bodies from public reports of faults.

use serde_json::json;

use super::Store;
use super::sentences::{CLAUDE, check};

/// A type that is empty or no text counts as none. A type that is known decides, whatever the message says.
#[tokio::test]
async fn a_notification_with_an_odd_type_is_read_by_its_message() {
    check(
        CLAUDE,
        r#"1 UserPromptSubmit prompt=go
         2 Notification notification_type="" message=Claude+needs+your+permission+to+use+Bash
         3 PreToolUse tool_use_id=a tool_name=Bash
         4 Notification notification_type=null message=CLAUDE+IS+WAITING+FOR+YOUR+INPUT
         5 UserPromptSubmit prompt=on
         6 Notification notification_type=7 message=Claude+Code+needs+your+attention
         7 UserPromptSubmit prompt=on
         8 Notification notification_type=auth_success message=Claude+needs+your+permission
         9 Notification
         10 Notification message=["needs\u0020your\u0020permission"]"#,
        "running since 1
         waiting permission since 2
         running since 3, a running
         waiting idle since 4
         running since 5, a abandoned
         waiting question since 6
         running since 7
         running since 7
         running since 7
         running since 7",
    )
    .await;
}

/// A notice that comes while a permission is open leaves it open, and words of a person beside the notice are a prompt.
#[tokio::test]
async fn a_notice_beside_words_of_a_person_is_a_prompt() {
    check(
        CLAUDE,
        "1 UserPromptSubmit prompt_id=p1 prompt=go
         2 PreToolUse prompt_id=p1 tool_use_id=a tool_name=Bash
         3 PermissionRequest prompt_id=p1 tool_name=Bash
         4 UserPromptSubmit prompt_id=p2 prompt=<task-notification>one</task-notification><task-notification>two</task-notification>
         5 UserPromptSubmit prompt_id=p3 prompt=<system-reminder>mind</system-reminder>
         6 UserPromptSubmit prompt_id=p4 prompt=<task-notification>one</task-notification>+and+stop",
        "running since 1
         running since 1, a running
         waiting permission since 3
         waiting permission since 3
         waiting permission since 3
         running since 6, a abandoned",
    )
    .await;
}

/// A session that a schedule began has no title of a person until a person writes.
#[tokio::test]
async fn a_prompt_of_the_client_gives_no_title() {
    let store = Store::open().await;
    let mut seen = Vec::new();
    for more in [
        json!({"prompt": "<scheduled-task name=\"m\">look at the trees</scheduled-task>"}),
        json!({"prompt": "look at the pears", "source": "cron"}),
        json!({"prompt": "<ide_opened_file>a.ts</ide_opened_file> <ide_selection>x</ide_selection>\nwater them", "source": "user"}),
        json!({"prompt": "and the plums", "source": "sdk"}),
    ] {
        let mut body = json!({"session_id": "s", "hook_event_name": "UserPromptSubmit", "cwd": "/srv/orchard"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        store.take(CLAUDE, body.to_string().as_bytes()).await.expect("taken");
        let title = store.task("s").await.expect("its task").title;
        let row = store.events().await.pop().expect("a row");
        seen.push(format!("{title} | {} | {}", row.kind, row.title));
    }
    assert_eq!(
        seen,
        [
            "orchard | notification | look at the trees",
            "orchard | notification | look at the pears",
            "water them | user.message | water them",
            "water them | user.message | and the plums",
        ]
    );
}

/// The words of a failed request are the detail of the task and a row.
#[tokio::test]
async fn a_failed_request_of_codex_is_told_with_its_words() {
    let store = Store::open().await;
    for (hook, more) in [
        ("UserPromptSubmit", json!({"prompt": "go"})),
        ("PreModelRequest", json!({})),
        ("PostModelRequest", json!({"status": "failed", "error": "unexpected status 429: slow down"})),
    ] {
        let mut body = json!({"session_id": "s", "turn_id": "t", "hook_event_name": hook});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        store.take(super::sentences::CODEX, body.to_string().as_bytes()).await.expect("taken");
    }
    let task = store.task("s").await.expect("its task");
    assert_eq!(task.status_detail.as_deref(), Some("unexpected status 429: slow down"));
    let row = store.events().await.pop().expect("a row");
    assert_eq!((&*row.kind, &*row.title), ("assistant.error", "unexpected status 429: slow down"));
}

/// Pictures in the input of a call, in lines of 76 characters, and in the answer of a subagent.
#[tokio::test]
async fn pictures_in_other_places_are_told_by_their_size() {
    let store = Store::open().await;
    let picture = "QUJD".repeat(1_500);
    let lines: Vec<_> = picture.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    let wrapped = lines.join("\n");
    for (hook, field, value) in [
        ("PostToolUse", "tool_response", json!({"stdout": format!("cat a.b64:\n{wrapped}\n")})),
        ("PostToolUse", "tool_response", json!({"file": {"base64": picture, "type": "image/png"}})),
        ("PostToolUseFailure", "error", json!(format!("bad picture {picture}"))),
        ("SubagentStop", "last_assistant_message", json!(format!("![tree](data:image/png;base64,{picture})"))),
        ("Stop", "last_assistant_message", json!(format!("It is {picture}"))),
        ("UserPromptSubmit", "prompt", json!(format!("look at {picture}"))),
        ("Notification", "message", json!(format!("shot {picture}"))),
    ] {
        let mut body = json!({"session_id": "g12", "hook_event_name": hook, "tool_name": "mcp__cam__shoot",
            "tool_use_id": field.len().to_string() + hook, "agent_id": null});
        body[field] = value;
        store.take(CLAUDE, body.to_string().as_bytes()).await.expect("taken");
        let row = store.events().await.pop().expect("a row");
        let text = format!("{} {}", row.title, row.body.as_deref().unwrap_or_default());
        assert!(text.len() < 300, "{hook}: {text}");
        assert!(text.contains(" bytes)"), "{hook}: {text}");
    }
    let task = store.task("g12").await.expect("its task");
    assert_eq!(task.title, "look at (base64, 4500 bytes)");
    assert_eq!(task.status_detail.as_deref(), None);
}
