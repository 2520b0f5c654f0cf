//! A session in an import and the same session in hooks: the same words, the same ends of calls.

use serde_json::{Value, json};

use super::{Importer, line_of};

fn line(session: &str, at: usize, kind: &str, content: Value, more: Value) -> String {
    let mut line = json!({
        "type": kind, "uuid": format!("{session}-{at}"), "sessionId": session, "cwd": "/srv/orchard",
        "timestamp": format!("2026-08-01T08:00:{at:02}.000Z"), "message": {"content": content},
    });
    for (field, value) in more.as_object().unwrap() {
        match field.as_str() {
            "model" => line["message"]["model"] = value.clone(),
            _ => line[field] = value.clone(),
        }
    }
    format!("{line}\n")
}

async fn shown(importer: &Importer, session: &str) -> String {
    let detail = importer.task(session).await;
    let rows = detail["timeline"]["items"].as_array().unwrap().iter().rev();
    rows.map(|row| line_of(row)[9..].to_owned()).collect::<Vec<_>>().join("\n")
}

/// The same texts as prompts of an import and of hooks give the same messages and the same title.
#[tokio::test]
async fn hooks_and_imports_have_one_rule_for_words() {
    let importer = Importer::start().await;
    let prompts = [
        "<task-notification>\n<task-id>b7</task-id>\n<summary>It ended</summary>\n</task-notification>",
        "<scheduled-task id=\"4\">look at the trees</scheduled-task>",
        "<ide_selection>three\nlines</ide_selection>\n\nplant it here",
        "water it\n\n<system-reminder>Mind the rules.</system-reminder>",
        "where does <system-reminder> come from?",
        "<command-message>tidy is running…</command-message>\n<command-name>/tidy</command-name>\n\
            <command-args>the shed, <b>all</b> of it</command-args>",
    ];
    let mut lines = String::new();
    for (at, prompt) in prompts.iter().enumerate() {
        lines += &line("imported", at, "user", json!(prompt), json!({}));
        importer.hook(json!({"session_id": "hooked", "hook_event_name": "UserPromptSubmit", "prompt": prompt})).await;
    }
    importer.import(lines).await;
    let expected = "\
user.message user: plant it here
user.message user: water it
user.message user: where does <system-reminder> come from?
user.message user: /tidy the shed, <b>all</b> of it";
    assert_eq!(shown(&importer, "imported").await, expected);
    let hooked = shown(&importer, "hooked").await;
    let messages: Vec<_> = hooked.lines().filter(|row| row.starts_with("user.message")).collect();
    assert_eq!(messages.join("\n"), expected);
    for session in ["imported", "hooked"] {
        assert_eq!(importer.task(session).await["task"]["title"], "plant it here", "{session}");
    }
}

#[tokio::test]
async fn a_refused_call_is_denied_and_an_error_of_the_service_is_errored() {
    let importer = Importer::start().await;
    let call = |at: usize, id: &str| {
        let block = json!([{"type": "tool_use", "id": id, "name": "Write", "input": {"file_path": "/srv/orchard/a"}}]);
        line("ends", at, "assistant", block, json!({}))
    };
    let result = |at: usize, id: &str, text: &str| {
        let block = json!([{"type": "tool_result", "tool_use_id": id, "is_error": true, "content": text}]);
        line("ends", at, "user", block, json!({}))
    };
    let refused = "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was a file \
        edit, the new_string was NOT written to the file). To tell you how to proceed, the user said:\nuse tin";
    let mut lines = line("ends", 0, "user", json!("build the shed"), json!({}));
    lines += &call(1, "t1");
    lines += &result(2, "t1", refused);
    lines += &call(3, "t2");
    lines +=
        &result(4, "t2", "Claude requested permissions to write to /srv/orchard/a, but you haven't granted it yet.");
    lines += &call(5, "t3");
    lines += &result(6, "t3", "File does not exist.");
    let synthetic = json!({"model": "<synthetic>"});
    lines += &line("ends", 7, "assistant", json!([{"type": "text", "text": "No response requested."}]), synthetic);
    importer.import(lines.clone()).await;
    assert_eq!(importer.task("ends").await["task"]["status"], "completed");
    let error = json!({"model": "<synthetic>", "isApiErrorMessage": true, "error": "rate_limit"});
    let error = line("ends", 8, "assistant", json!([{"type": "text", "text": "API Error: too many requests"}]), error);
    importer.import(error.clone()).await;
    assert_eq!(
        shown(&importer, "ends").await,
        "\
user.message user: build the shed
tool implementation denied: Write a
tool implementation denied: Write a
tool implementation failed: Write a
assistant.error assistant: Turn failed (rate_limit)"
    );
    let detail = importer.task("ends").await;
    assert_eq!(detail["timeline"]["items"][3]["body"], "use tin");
    let task = &detail["task"];
    assert_eq!(
        json!([task["status"], task["status_reason"], task["status_detail"]]),
        json!(["errored", "rate_limit", "API Error: too many requests"])
    );
    // The status does not depend on the order of the parts, and work behind the error heals it.
    let other = Importer::start().await;
    other.import(error).await;
    other.import(lines).await;
    assert_eq!(other.store(), importer.store());
    importer.import(line("ends", 9, "user", json!("go on"), json!({}))).await;
    let task = importer.task("ends").await["task"].clone();
    assert_eq!(json!([task["status"], task["status_reason"]]), json!(["completed", null]));
}

/// An old failure in an imported transcript needs no person. A failure that a hook reports does.
#[tokio::test]
async fn an_imported_failure_needs_a_person_when_its_agent_is_heard() {
    let importer = Importer::start().await;
    let error = json!({"model": "<synthetic>", "isApiErrorMessage": true, "error": "rate_limit"});
    let text = json!([{"type": "text", "text": "API Error: too many requests"}]);
    importer.import(line("ends", 1, "assistant", text, error)).await;
    let overview = importer.overview("").await;
    assert_eq!(json!([overview["stats"]["errored_tasks"], overview["needs_you"]]), json!([1, []]));
    let hook = json!({"session_id": "ends", "hook_event_name": "StopFailure", "error": "rate_limit", "error_details": "again"});
    importer.hook(hook).await;
    let entry = importer.overview("").await["needs_you"][0].clone();
    assert_eq!(json!([entry["status"], entry["reason"]]), json!(["errored", "rate_limit"]));
}

#[tokio::test]
async fn the_transcript_of_a_subagent_alone_has_its_folder_and_its_tools() {
    let importer = Importer::start().await;
    let subagent = json!({"isSidechain": true, "agentId": "a7", "cwd": "/srv/orchard/.claude/worktrees/agent-a7"});
    let call = json!([{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}]);
    let result = json!([{"type": "tool_result", "tool_use_id": "t1", "content": "a.txt"}]);
    let mut lines = line("sub", 1, "user", json!("Look for apples"), subagent.clone());
    lines += &line("sub", 2, "assistant", call, subagent.clone());
    lines += &line("sub", 3, "user", result, subagent.clone());
    lines += &line("sub", 4, "assistant", json!([{"type": "text", "text": "None."}]), subagent);
    importer.import(lines.clone()).await;
    let detail = importer.task("sub").await;
    let task = &detail["task"];
    assert_eq!(
        json!([task["project"], task["workspace"], task["title"]]),
        json!(["orchard", "/srv/orchard/.claude/worktrees/agent-a7", "agent-a7"])
    );
    assert_eq!(shown(&importer, "sub").await, "tool terminal ok: Bash: ls");
    assert_eq!(detail["timeline"]["items"][0]["metadata"]["agent_id"], "a7");
    // The main thread names the folder of the session, whichever comes first.
    let main = line("sub", 0, "user", json!("where are the apples?"), json!({"isSidechain": false}));
    importer.import(main.clone()).await;
    let task = importer.task("sub").await["task"].clone();
    assert_eq!(json!([task["workspace"], task["title"]]), json!(["/srv/orchard", "where are the apples?"]));
    let other = Importer::start().await;
    other.import(main).await;
    other.import(lines).await;
    assert_eq!(other.store(), importer.store());
}
