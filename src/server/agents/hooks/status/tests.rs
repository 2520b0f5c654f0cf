//! Scripts of records, and the status of the task after each record.

use std::collections::HashMap;

use serde_json::json;

use super::{AgentMemory, FreshIds, HookOutcome};
use crate::agent::hook_catalogue::{RowEffect, RowEnd};
use crate::agent::runtime::AgentRuntime;
use crate::protocol::limits;
use crate::protocol::model::EventState;
use crate::server::agents::hooks::record::HookRecord;

/// Runs a script. Each line is one record, a hook and its fields as `key=value`, or the word `lose`. The expected text
/// has one line for each record: the status after it, then its other effects.
#[track_caller]
fn check(script: &str, expected: &str) {
    let mut agent: Option<AgentMemory> = None;
    let mut rows: HashMap<String, EventState> = HashMap::new();
    let mut actual = String::new();
    for (at, line) in script.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let (next, outcome) = match agent.take() {
            Some(mut agent) if line == "lose" => {
                let outcome = agent.lose();
                (agent, outcome)
            }
            agent => take(agent, at, line, &mut rows),
        };
        let settled = settled_text(&outcome);
        let abandoned = outcome.settled_events.iter().filter(|(_, state)| *state == EventState::Abandoned);
        let abandoned: Vec<&str> = abandoned.map(|(event, _)| event.as_str()).collect();
        let (status, reason) = next.status();
        actual += status.as_str();
        for (effect, ids) in [
            ("", reason.map(str::to_owned)),
            ("again ", outcome.resumed_run),
            ("lost ", outcome.lost_run),
            ("began ", outcome.started_run),
            ("ended ", outcome.ended_run),
            ("settled ", settled),
            ("abandoned ", Some(abandoned.join(" ")).filter(|text| !text.is_empty())),
        ] {
            actual += &ids.map(|ids| format!(" {effect}{ids}")).unwrap_or_default();
        }
        actual += "\n";
        // The memory survives being stored and read back.
        let text = serde_json::to_string(&next).expect("JSON");
        agent = Some(serde_json::from_str(&text).expect("an agent"));
    }
    let expected: String = expected.lines().map(|line| format!("{}\n", line.trim())).skip(1).collect();
    assert_eq!(actual, expected.trim_end_matches(' ').trim_end_matches('\n').to_owned() + "\n");
}

fn settled_text(outcome: &HookOutcome) -> Option<String> {
    let settled = outcome.settled_events.iter().filter(|(_, state)| *state != EventState::Abandoned);
    let settled = settled.map(|(event, state)| format!("{event}={}", state.as_str()));
    Some(settled.collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
}

fn take(
    agent: Option<AgentMemory>,
    at: usize,
    line: &str,
    rows: &mut HashMap<String, EventState>,
) -> (AgentMemory, HookOutcome) {
    let mut words = line.split_whitespace();
    let mut body = json!({"session_id": "s", "hook_event_name": words.next()});
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        body[key] = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    }
    let record = HookRecord::parse(AgentRuntime::ClaudeCode, body.to_string().as_bytes()).expect("a record");
    let fresh = FreshIds { session: format!("run{at}"), event: format!("row{at}") };
    let mut next = agent.unwrap_or_else(|| AgentMemory::new(&record));
    let known = record.key().and_then(|key| rows.get(&key).copied());
    let outcome = next.take(&record, known, true, &fresh, at as i64);
    if let (Some(key), effect) = (record.key(), record.row().1) {
        match (effect, known) {
            (RowEffect::Begin(_), None) => {
                rows.insert(key, EventState::Running);
            }
            (RowEffect::End(_, RowEnd::Ok), None | Some(EventState::Running)) => {
                rows.insert(key, EventState::Ok);
            }
            (_, _) => {}
        }
    }
    (next, outcome)
}

#[test]
fn a_turn_runs_finishes_and_goes_idle() {
    check(
        "SessionStart source=startup
         UserPromptSubmit prompt=hi
         PreToolUse tool_use_id=a tool_name=Bash
         PostToolUse tool_use_id=a tool_name=Bash
         Stop
         Notification notification_type=idle_prompt
         SessionEnd reason=exit",
        "
         waiting ready began run0
         running
         running
         running
         waiting finished
         waiting finished
         completed ended run0",
    );
}

#[test]
fn the_end_of_the_call_lifts_its_permission_request() {
    check(
        r#"UserPromptSubmit prompt=hi
         PreToolUse tool_use_id=a tool_name=Bash tool_input={"command":"make"}
         PreToolUse tool_use_id=b tool_name=Bash tool_input={"command":"ls"}
         PermissionRequest tool_name=Bash tool_input={"description":"Builds","command":"make"}
         PostToolUse tool_use_id=b tool_name=Bash tool_input={"command":"ls"}
         PostToolUse tool_use_id=a tool_name=Bash tool_input={"command":"make"}"#,
        "
         running began run0
         running
         running
         waiting permission
         waiting permission
         running",
    );
}

#[test]
fn the_end_of_the_turn_lifts_a_refused_permission() {
    check(
        r#"UserPromptSubmit prompt=hi
         PreToolUse tool_use_id=a tool_name=Bash
         PermissionRequest tool_name=Bash
         PermissionRequest tool_name=Bash agent_id=sub
         UserPromptSubmit prompt=no
         SubagentStop agent_id=sub"#,
        "
         running began run0
         running
         waiting permission
         waiting permission
         waiting permission abandoned row1
         running",
    );
}

#[test]
fn a_notification_blocks_only_an_unblocked_task() {
    check(
        "UserPromptSubmit prompt=hi
         PreToolUse tool_use_id=a tool_name=Bash
         Notification notification_type=permission_prompt
         PostToolUse tool_use_id=z tool_name=Bash
         PostToolUse tool_use_id=a tool_name=Bash
         PreToolUse tool_use_id=q tool_name=AskUserQuestion
         Notification notification_type=permission_prompt
         PostToolUse tool_use_id=q tool_name=AskUserQuestion
         Notification notification_type=idle_prompt",
        "
         running began run0
         running
         waiting permission
         waiting permission
         running
         waiting question
         waiting question
         running
         waiting idle",
    );
}

#[test]
fn the_next_tool_call_of_the_main_thread_clears_an_error() {
    check(
        "UserPromptSubmit prompt=hi
         StopFailure error=overloaded
         PreToolUse tool_use_id=s tool_name=Read agent_id=sub
         SessionEnd reason=exit
         SessionStart source=resume
         StopFailure error=overloaded
         PreToolUse tool_use_id=m tool_name=Read",
        "
         running began run0
         errored overloaded
         errored overloaded
         errored overloaded ended run0 abandoned row2
         waiting ready began run4
         errored overloaded
         running",
    );
}

#[test]
fn only_background_agents_keep_a_task_running() {
    check(
        r#"UserPromptSubmit prompt=hi
         Stop background_tasks=[{"type":"shell"}]
         UserPromptSubmit prompt=hi
         Stop background_tasks=[{"type":"shell"},{"type":"MCP_task"}]
         SubagentStop agent_id=x
         Stop background_tasks=[null,3,{"type":null}]"#,
        "
         running began run0
         waiting finished
         running
         running
         running
         waiting finished",
    );
}

#[test]
fn late_and_repeated_records_change_nothing() {
    check(
        "PostToolUse tool_use_id=a tool_name=Bash
         Stop
         PreToolUse tool_use_id=a tool_name=Bash
         SessionEnd reason=exit
         PreToolUse tool_use_id=a tool_name=Bash
         SubagentStop agent_id=x
         SessionEnd reason=exit
         UserPromptSubmit prompt=hi",
        "
         running began run0
         waiting finished
         waiting finished
         completed ended run0
         completed
         completed
         completed
         running began run7",
    );
}

#[test]
fn a_new_run_closes_an_older_open_run_as_lost() {
    check(
        "SessionStart source=startup
         UserPromptSubmit prompt=hi
         PreToolUse tool_use_id=a tool_name=Bash
         SubagentStart agent_id=sub
         SessionStart source=compact
         SessionStart source=resume",
        "
         waiting ready began run0
         running
         running
         running
         running
         waiting ready lost run0 began run5 abandoned row2 row3",
    );
}

#[test]
fn the_open_rows_in_memory_are_bounded() {
    let calls: String = (0..300).map(|at| format!("PreToolUse tool_use_id=t{at} tool_name=Bash\n")).collect();
    let mut expected = String::from("\nrunning began run0");
    for at in 1..300 {
        expected += "\nrunning";
        if at >= limits::OPEN_ROWS {
            expected += &format!(" abandoned row{}", at - limits::OPEN_ROWS);
        }
    }
    check(&calls, &expected);
}

#[test]
fn a_hook_of_a_lost_agent_continues_its_run() {
    check(
        r#"SessionStart source=startup
         UserPromptSubmit prompt=hi
         PreToolUse tool_use_id=a tool_name=Bash
         PermissionRequest tool_name=Bash
         lose
         PostToolUse tool_use_id=a tool_name=Bash
         lose
         PreToolUse tool_use_id=b tool_name=Bash
         lose
         SessionStart source=resume
         lose
         UserPromptSubmit prompt=on
         lose
         SessionEnd reason=exit"#,
        "
         waiting ready began run0
         running
         running
         waiting permission
         errored lost lost run0 abandoned row2
         running again run0
         errored lost lost run0
         running again run0
         errored lost lost run0 abandoned row7
         waiting ready began run9
         completed ended run9
         running began run11
         errored lost lost run11
         completed again run11 ended run11",
    );
}

#[test]
fn a_failed_turn_keeps_its_error_as_the_reason() {
    check(
        "UserPromptSubmit prompt=hi
         StopFailure error=overloaded
         SessionEnd reason=exit
         SessionStart source=resume
         StopFailure",
        "
         running began run0
         errored overloaded
         errored overloaded ended run0
         waiting ready began run3
         errored",
    );
}

/// Claude Code requests permission for the question call itself, and the answers become part of the call's input.
#[test]
fn the_answer_to_a_question_lifts_every_block_on_it() {
    check(
        r#"UserPromptSubmit prompt=hi
         PreToolUse tool_use_id=q tool_name=AskUserQuestion tool_input={"questions":["which?"]}
         PermissionRequest tool_name=AskUserQuestion tool_input={"questions":["which?"]}
         PostToolUse tool_use_id=q tool_name=AskUserQuestion tool_input={"questions":["which?"],"answers":["b"]}"#,
        "
         running began run0
         waiting question
         waiting question
         running",
    );
}

/// No hook reports that a person rejected a plan and gave other instructions. The agent's next call shows it.
#[test]
fn next_tool_call_lifts_the_block() {
    check(
        r#"UserPromptSubmit prompt=hi
         PreToolUse tool_use_id=p tool_name=ExitPlanMode
         PreToolUse tool_use_id=s tool_name=Read agent_id=sub
         PreToolUse tool_use_id=r tool_name=Read"#,
        "
         running began run0
         waiting question
         waiting question
         running",
    );
}
