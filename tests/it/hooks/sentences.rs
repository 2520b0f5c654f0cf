//! Scripts of records with exact times. Each script holds one sentence of the manual about the status.
//!
//! A line is a time in seconds, a hook and its fields as `key=value`. The expected line has the status after the
//! record, its reason, the second since which the task has it, and the rows of calls that the record began or ended.

use std::collections::BTreeMap;
use std::path::Path;

use requery::agent::process::Process;
use requery::agent::runtime::AgentRuntime;
use requery::server::access::scope::Scope;
use requery::server::agents::{self, HookDelivery, HookTime};
use requery_entities::event;
use sea_orm::TransactionTrait;
use serde_json::{Value, json};

use super::{START, Store};

pub(super) const CLAUDE: AgentRuntime = AgentRuntime::ClaudeCode;
pub(super) const CODEX: AgentRuntime = AgentRuntime::Codex;

pub(super) async fn check(source: AgentRuntime, script: &str, expected: &str) {
    let store = Store::open().await;
    let mut known = BTreeMap::new();
    let mut actual = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let at: f64 = words.next().expect("a time").parse().expect("a number");
        let mut body = json!({"session_id": "s", "hook_event_name": words.next()});
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            body[key] = serde_json::from_str(value).unwrap_or_else(|_| value.replace('+', " ").into());
        }
        store.take_at(source, body.to_string().as_bytes(), START + (at * 1_000.0) as i64).await.expect("taken");
        let task = store.task("s").await.expect("its task");
        let mut text = task.status.to_string();
        text += &task.status_reason.map(|reason| format!(" {reason}")).unwrap_or_default();
        text += &format!(" since {}", (task.status_since - START) as f64 / 1_000.0);
        for row in store.events().await {
            let Some(id) = row.external_id.as_deref().and_then(|id| id.split_once(':')) else { continue };
            let state = row.state.as_deref().unwrap_or_default().to_owned();
            if known.insert(row.id.to_string(), state.clone()).as_ref() != Some(&state) {
                text += &format!(", {} {state}", id.1);
            }
        }
        actual.push(text);
    }
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(actual, expected);
}

#[tokio::test]
async fn an_interrupt_of_codex_ends_the_requests_and_the_calls_of_its_turn() {
    check(
        CODEX,
        "1 UserPromptSubmit turn_id=t1 prompt=go
         2 PreModelRequest turn_id=t1
         3 PreToolUse turn_id=t1 tool_use_id=a tool_name=Bash
         4 PermissionRequest turn_id=t1 tool_name=Bash
         5 Interrupt turn_id=t1
         6 UserPromptSubmit turn_id=t2 prompt=go
         7 PreToolUse turn_id=t2 tool_use_id=b agent_id=helper tool_name=Bash
         8 Interrupt turn_id=t3 agent_id=helper",
        "running since 1
         running since 1
         running since 1, a running
         waiting permission since 4
         waiting interrupted since 5, a abandoned
         running since 6
         running since 6, b running
         running since 6, b abandoned",
    )
    .await;
}

#[tokio::test]
async fn a_failed_request_of_codex_fails_the_turn_until_the_agent_goes_on() {
    check(
        CODEX,
        "1 UserPromptSubmit turn_id=t1 prompt=go
         2 PreModelRequest turn_id=t1
         3 PostModelRequest turn_id=t1 status=failed error=bad+key
         4 PreModelRequest turn_id=t1
         5 PostModelRequest turn_id=t1 status=completed
         6 PostModelRequest turn_id=t1 status=failed error=bad+key agent_id=helper
         7 PostModelRequest turn_id=t1 status=failed error=bad+key
         8 UserPromptSubmit turn_id=t2 prompt=again
         9 StopFailure turn_id=t2 error=overloaded",
        "running since 1
         running since 1
         errored model_request_failed since 3
         running since 4
         running since 4
         running since 4
         errored model_request_failed since 7
         running since 8
         errored overloaded since 9",
    )
    .await;
}

/// Outside of the plan mode the client refuses the question at once, and the agent goes on.
#[tokio::test]
async fn a_question_of_codex_waits_until_its_call_ends_or_the_model_is_asked_again() {
    check(
        CODEX,
        "1 UserPromptSubmit turn_id=t1 prompt=go
         2 PreToolUse turn_id=t1 tool_use_id=a tool_name=request_user_input
         3 PostToolUse turn_id=t1 tool_use_id=a tool_name=request_user_input
         4 PreToolUse turn_id=t1 tool_use_id=b tool_name=request_user_input
         5 PreModelRequest turn_id=t1
         6 PreToolUse turn_id=t1 tool_use_id=c tool_name=request_user_input_async
         7 Stop turn_id=t1",
        "running since 1
         waiting question since 2, a running
         running since 3, a ok
         waiting question since 4, b running
         running since 5
         running since 5, c ok
         waiting finished since 7, b failed",
    )
    .await;
}

#[tokio::test]
async fn a_batch_settles_the_calls_that_were_refused() {
    check(
        CLAUDE,
        r#"1 UserPromptSubmit prompt_id=p1 prompt=go
         2 PreToolUse prompt_id=p1 tool_use_id=a tool_name=Bash tool_input={"command":"rm"}
         3 PermissionRequest prompt_id=p1 tool_name=Bash tool_input={"command":"rm"}
         4 PostToolBatch prompt_id=p1 tool_calls=[{"tool_use_id":"a","tool_name":"Bash","tool_input":{"command":"rm","x":1},"tool_response":"The\u0020user\u0020doesn't\u0020want\u0020to\u0020proceed\u0020with\u0020this\u0020tool\u0020use."}]
         5 PostToolBatch prompt_id=p1 tool_calls=[{"tool_use_id":"b","tool_name":"Edit","tool_response":"<tool_use_error>no</tool_use_error>"}]
         6 PreToolUse prompt_id=p1 tool_use_id=c tool_name=Bash tool_input={"command":"mv"}
         7 PermissionRequest prompt_id=p1 tool_name=Bash tool_input={"command":"mv"}
         8 PostToolBatch prompt_id=p1 tool_calls=[{"tool_use_id":"c","tool_name":"Bash","tool_response":"needs\u0020approval"}]
         9 PreToolUse prompt_id=p1 tool_use_id=d tool_name=Bash
         10 PostToolBatch prompt_id=p1 tool_calls=[{"tool_use_id":"d","tool_name":"Bash","tool_response":"fine"},7,{"tool_use_id":8}]
         11 PostToolUse prompt_id=p1 tool_use_id=d tool_name=Bash
         12 PostToolBatch prompt_id=p1 tool_calls=odd
         13 PreToolUse prompt_id=p1 tool_use_id=e tool_name=Bash
         14 PermissionRequest prompt_id=p1 tool_name=Bash tool_input={"command":"changed"}
         15 PostToolBatch prompt_id=p1 tool_calls=[{"tool_use_id":"e","tool_name":"Bash","tool_response":"fine"}]"#,
        "running since 1
         running since 1, a running
         waiting permission since 3
         running since 4, a denied
         running since 4, b failed
         running since 4, c running
         waiting permission since 7
         running since 8, c denied
         running since 8, d running
         running since 8
         running since 8, d ok
         running since 8
         running since 8, e running
         waiting permission since 14
         running since 15",
    )
    .await;
}

#[tokio::test]
async fn a_prompt_in_the_queue_of_the_running_turn_ends_no_call_and_no_request() {
    check(
        CLAUDE,
        "1 UserPromptSubmit prompt_id=p1 prompt=go
         2 PreToolUse prompt_id=p1 tool_use_id=a tool_name=Bash
         3 UserPromptSubmit prompt_id=p1 prompt=and+use+the+old+name
         4 PermissionRequest prompt_id=p1 tool_name=Bash
         5 UserPromptSubmit prompt_id=p1 prompt=and+hurry
         6 UserPromptSubmit prompt_id=p2 prompt=stop+it",
        "running since 1
         running since 1, a running
         running since 1
         waiting permission since 4
         waiting permission since 4
         running since 6, a abandoned",
    )
    .await;
}

#[tokio::test]
async fn a_prompt_of_the_client_answers_no_question() {
    check(
        CLAUDE,
        "1 UserPromptSubmit prompt_id=p1 prompt=go
         2 PreToolUse prompt_id=p1 tool_use_id=q tool_name=AskUserQuestion
         3 UserPromptSubmit prompt_id=p2 prompt=<task-notification>one</task-notification>
         4 UserPromptSubmit prompt_id=p3 prompt=<scheduled-task>two</scheduled-task>
         5 UserPromptSubmit prompt_id=p4 source=cron prompt=three
         6 UserPromptSubmit prompt_id=p5 source=user prompt=four",
        "running since 1
         waiting question since 2, q running
         waiting question since 2
         waiting question since 2
         waiting question since 2
         running since 6, q abandoned",
    )
    .await;
}

#[tokio::test]
async fn a_turn_that_ends_with_a_schedule_waits_for_no_person() {
    check(
        CLAUDE,
        r#"1 UserPromptSubmit prompt_id=p1 prompt=go
         2 Stop prompt_id=p1 session_crons=[{"id":"c","prompt":"hello"}] last_assistant_message=done
         3 UserPromptSubmit prompt_id=p2 prompt=hello
         4 Stop prompt_id=p2 session_crons=[{"id":"c","prompt":"hello"}] background_tasks=[{"type":"subagent"}]
         5 Stop prompt_id=p2 session_crons=[]"#,
        "running since 1
         waiting scheduled since 2
         running since 3
         running since 3
         waiting finished since 5",
    )
    .await;
}

#[tokio::test]
async fn a_compaction_outside_of_a_turn_runs_and_leaves_an_idle_task() {
    check(
        CLAUDE,
        "1 UserPromptSubmit prompt_id=p1 prompt=go
         2 PreCompact prompt_id=p1 trigger=auto
         3 SessionStart prompt_id=p1 source=compact
         4 PostCompact prompt_id=p1 trigger=auto
         5 Stop prompt_id=p1
         6 PreCompact prompt_id=p2 trigger=manual
         7 SubagentStop prompt_id=p2 agent_id=x
         8 SessionStart prompt_id=p2 source=compact
         9 PostCompact prompt_id=p2 trigger=manual",
        "running since 1
         running since 1
         running since 1
         running since 1
         waiting finished since 5
         running since 6
         running since 6, x ok
         waiting idle since 8
         waiting idle since 8",
    )
    .await;
}

#[tokio::test]
async fn a_notification_without_a_type_is_read_by_its_message() {
    check(
        CLAUDE,
        "1 UserPromptSubmit prompt=go
         2 PreToolUse tool_use_id=a tool_name=Write
         3 Notification message=Claude+needs+your+permission+to+use+Write
         4 PostToolUse tool_use_id=a tool_name=Write
         5 Notification message=Claude+Code+needs+your+approval+for+the+plan
         6 UserPromptSubmit prompt=go
         7 Notification message=Claude+Code+needs+your+input
         8 UserPromptSubmit prompt=go
         9 Notification message=Claude+Code+login+successful
         10 Notification message=Claude+is+waiting+for+your+input",
        "running since 1
         running since 1, a running
         waiting permission since 3
         running since 4, a ok
         waiting permission since 5
         running since 6
         waiting question since 7
         running since 8
         running since 8
         waiting idle since 10",
    )
    .await;
}

/// The hook of the call's end comes as soon as the agent is launched.
#[tokio::test]
async fn the_call_of_an_agent_in_the_background_runs_until_its_notice() {
    let notice = |status: &str| {
        format!(
            "<task-notification><task-id>x</task-id><tool-use-id>a</tool-use-id><status>{status}</status></task-notification>"
        )
    };
    for (status, state) in [("completed", "ok"), ("failed", "failed"), ("killed", "abandoned")] {
        check(
            CLAUDE,
            &format!(
                r#"1 UserPromptSubmit prompt_id=p1 prompt=go
                 2 PreToolUse prompt_id=p1 tool_use_id=a tool_name=Agent
                 3 PostToolUse prompt_id=p1 tool_use_id=a tool_name=Agent tool_response={{"isAsync":true,"agentId":"x"}}
                 4 Stop prompt_id=p1 background_tasks=[{{"type":"subagent"}}]
                 5 UserPromptSubmit prompt_id=p2 prompt=and+more
                 6 Stop prompt_id=p2 background_tasks=[{{"type":"subagent"}}]
                 7 UserPromptSubmit prompt_id=p3 prompt={}
                 8 Stop prompt_id=p3"#,
                notice(status)
            ),
            &format!(
                "running since 1
                 running since 1, a running
                 running since 1
                 running since 1
                 running since 1
                 running since 1
                 running since 1, a {state}
                 waiting finished since 8"
            ),
        )
        .await;
    }
}

#[tokio::test]
async fn the_approval_of_a_question_is_shown_by_the_question() {
    check(
        CLAUDE,
        r#"1 UserPromptSubmit prompt_id=p1 prompt=go
         2 PreToolUse tool_use_id=q tool_name=ExitPlanMode tool_input={"plan":"dig"}
         3 PermissionRequest tool_name=ExitPlanMode tool_input={"plan":"dig"}
         4 PostToolUse tool_use_id=q tool_name=ExitPlanMode tool_input={"plan":"dig"}
         5 PermissionRequest tool_name=ExitPlanMode tool_input={"plan":"sow"}
         6 PostToolUse tool_use_id=r tool_name=ExitPlanMode tool_input={"plan":"sow"}"#,
        "running since 1
         waiting question since 2, q running
         waiting question since 2
         running since 4, q ok
         waiting question since 5
         running since 6, r ok",
    )
    .await;
}

/// A rule or a person denies a call, and the batch tells it again.
#[tokio::test]
async fn a_denial_that_two_hooks_tell_has_one_row() {
    let store = Store::open().await;
    for body in [
        json!({"hook_event_name": "PreToolUse", "tool_use_id": "a", "tool_name": "Bash"}),
        json!({"hook_event_name": "PermissionDenied", "tool_use_id": "a", "tool_name": "Bash", "reason": "a rule"}),
        json!({"hook_event_name": "PostToolBatch", "tool_calls": [{"tool_use_id": "a", "tool_name": "Bash",
            "tool_response": "Permission for this action has been denied. Reason: a rule"}]}),
    ] {
        let mut body = body;
        body["session_id"] = "s".into();
        store.take(CLAUDE, body.to_string().as_bytes()).await.expect("taken");
    }
    let rows: Vec<_> = store.events().await.into_iter().map(|row| (row.kind.to_string(), row.body)).collect();
    let reason = || Some("a rule".into());
    assert_eq!(rows, [("tool".to_owned(), reason()), ("permission.denied".to_owned(), reason())]);
}

/// The words of a person who refused a call are the body of the denial. The row of the call keeps the plan.
#[tokio::test]
async fn a_refusal_keeps_the_words_of_the_person() {
    let store = Store::open().await;
    let rows = store.replay("claude-code-2.1.332-interactive.jsonl", CLAUDE).await;
    let bodies = |is_wanted: fn(&event::Model) -> bool| -> Vec<_> {
        let wanted = rows.iter().filter(|row| is_wanted(row));
        wanted.map(|row| (row.title.to_string(), row.body.clone().map(String::from).unwrap_or_default())).collect()
    };
    let owned = |(title, body): (&str, &str)| (title.to_owned(), body.to_owned());
    let (command, plan) =
        ("rm -rf build && mkdir build", "# Plan: round the total 1. Round in `total()` 2. Add a test");
    assert_eq!(
        bodies(|row| row.kind == "permission.denied"),
        [
            owned((&format!("Denied Bash: {command}"), "use git clean instead")),
            owned((&format!("Denied ExitPlanMode: {plan}"), "also add docs")),
        ]
    );
    assert_eq!(
        bodies(|row| row.state.as_deref() == Some("denied")),
        [
            owned((&format!("Bash: {command}"), "use git clean instead")),
            owned((
                &format!("ExitPlanMode: {plan}"),
                "# Plan: round the total\n\n1. Round in `total()`\n2. Add a test\n"
            )),
        ]
    );
    let of_person = |row: &&event::Model| row.kind == "user.message";
    assert!(rows.iter().filter(of_person).all(|row| !row.title.contains("task-notification")));
    assert!(!rows.iter().filter(of_person).any(|row| row.title == "Say hello from the cron"));
    let questions = rows.iter().filter(|row| row.kind == "permission.requested" && !row.title.contains("Bash"));
    assert_eq!(questions.count(), 0);
}

/// Each recording of a real client ends with these states of its calls.
#[tokio::test]
async fn the_calls_of_the_recordings_have_their_states() {
    for (file, source, expected) in [
        ("claude-code-2.1.332-interactive.jsonl", CLAUDE, json!({"ok": 18, "denied": 2, "failed": 2, "abandoned": 3})),
        ("claude-code-2.1.332-print.jsonl", CLAUDE, json!({"ok": 20, "denied": 1, "failed": 7})),
        ("claude-code-2.1.332-background.jsonl", CLAUDE, json!({"abandoned": 2})),
        ("codex-0.169.0-tui.jsonl", CODEX, json!({"ok": 16, "failed": 3, "abandoned": 3})),
    ] {
        let store = Store::open().await;
        let rows = store.replay(file, source).await;
        let calls = rows.iter().filter(|row| row.kind == "tool");
        let states = super::count(calls.filter_map(|row| row.state.as_deref().map(str::to_owned)));
        assert_eq!(json!(states), expected, "{file}");
    }
}

/// The hook that ends a session is lost when the client kills it. The next session of the process ends the old one.
#[tokio::test]
async fn a_new_session_of_the_process_ends_the_old_one() {
    let store = Store::open().await;
    let name = format!("{}:{}:1:2:3:4", "0".repeat(32), uuid::Uuid::nil());
    let process: Process = name.parse().expect("a process");
    let send = async |source: AgentRuntime, session: &str, hook: &str, at: i64, process: Option<&Process>| {
        let body = json!({"session_id": session, "hook_event_name": hook, "source": "clear", "prompt": "go",
            "tool_name": "Bash", "tool_use_id": format!("call of {session}")});
        let delivery = HookDelivery::read(source, None, body.to_string().as_bytes()).expect("read").of(process);
        let tx = store.db.begin().await.expect("a transaction");
        agents::take_hook(&tx, &Scope::All, &delivery, HookTime::Now(START + at)).await.expect("taken");
        tx.commit().await.expect("committed");
    };
    let standing = async |session: &str| {
        let task = store.task(session).await.expect("its task");
        format!("{} since {}", task.status, task.status_since - START)
    };
    for source in [CLAUDE, CODEX] {
        for (session, process) in [("old", Some(&process)), ("other", None)] {
            let session = format!("{source} {session}");
            send(source, &session, "UserPromptSubmit", 1_000, process).await;
            send(source, &session, "PreToolUse", 2_000, process).await;
        }
        send(source, &format!("{source} new"), "SessionStart", 3_000, Some(&process)).await;
    }
    assert_eq!(standing("claude-code old").await, "completed since 3000");
    assert_eq!(standing("claude-code other").await, "running since 1000");
    assert_eq!(standing("claude-code new").await, "waiting since 3000");
    assert_eq!(standing("codex old").await, "running since 1000");
    let row =
        store.events().await.into_iter().find(|row| row.external_id.as_deref() == Some("tool:call of claude-code old"));
    assert_eq!(row.expect("its row").state.as_deref(), Some("abandoned"));
    // A late hook of the old session begins no new run by itself, and its next prompt does.
    send(CLAUDE, "claude-code old", "PostToolUse", 4_000, Some(&process)).await;
    assert_eq!(standing("claude-code old").await, "completed since 3000");
}

#[tokio::test]
async fn prompts_and_notifications_of_public_reports_have_their_right_values() {
    let store = Store::open().await;
    for file in ["04-notification-without-a-type.hooks.jsonl", "05-notice-of-the-client-as-a-prompt.hooks.jsonl"] {
        for line in fixture("field", file).lines() {
            store.take(CLAUDE, line.as_bytes()).await.expect("taken");
        }
    }
    let mut standing = Vec::new();
    for session in ["g04a", "g04b", "g05"] {
        let task = store.task(session).await.expect("its task");
        standing.push(format!("{} {}", task.status, task.status_reason.as_deref().unwrap_or_default()));
    }
    assert_eq!(standing, ["waiting permission", "waiting idle", "waiting question"]);
    let rows = store.events().await;
    let question = rows.iter().find(|row| row.external_id.as_deref() == Some("tool:toolu_g05")).expect("the question");
    assert_eq!(question.state.as_deref(), Some("running"));
    let notice = rows.last().expect("the notice");
    assert_eq!((notice.kind.as_str(), notice.title.as_str()), ("notification", "Background command ended"));
}

/// The answers of a model count once, without the tokens of the cache in the input.
#[tokio::test]
async fn the_requests_of_codex_count_as_usage() {
    use sea_orm::ConnectionTrait;
    let store = Store::open().await;
    store.replay("codex-0.169.0-tui.jsonl", CODEX).await;
    let query = "select model || ' ' || count(*) || ' answers, ' || sum(input_tokens) || ' sent, ' || \
        sum(cache_read_tokens) || ' from the cache, ' || sum(output_tokens) || ' answered' as said from usage";
    let row = store.db.query_one_raw(sea_orm::Statement::from_string(store.db.get_database_backend(), query));
    let said: String = row.await.expect("a query").expect("a row").try_get("", "said").expect("a text");
    assert_eq!(said, "gpt-5.5 38 answers, 7600 sent, 34200 from the cache, 1520 answered");
}

fn fixture(folder: &str, file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Store {
    /// Stores a recording of a real client on its own clock. Returns all rows.
    async fn replay(&self, file: &str, source: AgentRuntime) -> Vec<event::Model> {
        for line in fixture("real", file).lines() {
            let line: Value = serde_json::from_str(line).expect("a line");
            let now = START + line["at_ms"].as_i64().expect("a time");
            self.take_at(source, line["body"].to_string().as_bytes(), now).await.expect("taken");
        }
        self.events().await
    }
}
