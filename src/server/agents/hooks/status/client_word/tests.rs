//! Scripts of hooks and words at exact times, and the status of the task after each.

use serde_json::json;

use crate::agent::runtime::AgentRuntime;
use crate::agent::session_file::{ClientStatus, ClientWord};
use crate::protocol::model::EventState;
use crate::server::agents::hooks::record::HookRecord;
use crate::server::agents::hooks::status::{AgentMemory, FreshIds, HookOutcome};

/// The time for which the manual says that the status of a hook waits for the word.
const HELD_FOR: i64 = 5_000;

/// A task: the memory of its agent, and the status that is shown.
#[derive(Default)]
struct Shown {
    agent: Option<AgentMemory>,
    status: String,
    said: Option<ClientWord>,
    abandoned: Vec<String>,
}

impl Shown {
    fn note(&mut self, agent: AgentMemory, outcome: &HookOutcome) -> &str {
        if outcome.decides_status {
            let (status, reason) = agent.status();
            self.status = [Some(status.as_str()), reason].into_iter().flatten().collect::<Vec<_>>().join(" ");
        }
        let abandoned = outcome.settled_events.iter().filter(|(_, state)| *state == EventState::Abandoned);
        self.abandoned.extend(abandoned.map(|(event, _)| event.clone()));
        // The memory survives being stored and read back.
        let text = serde_json::to_string(&agent).expect("JSON");
        self.agent = Some(serde_json::from_str(&text).expect("an agent"));
        &self.status
    }

    /// A hook, as `Hook key=value`.
    fn hook(&mut self, at: i64, line: &str) -> &str {
        let mut words = line.split_whitespace();
        let mut body = json!({"session_id": "s", "hook_event_name": words.next()});
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            body[key] = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        }
        let record = HookRecord::parse(AgentRuntime::ClaudeCode, body.to_string().as_bytes()).expect("a record");
        let fresh = FreshIds { session: format!("run{at}"), event: format!("row{at}") };
        let mut agent = self.agent.take().unwrap_or_else(|| AgentMemory::new(&record));
        let known = record.key().filter(|key| agent.open(key).is_some()).map(|_| EventState::Running);
        let outcome = agent.take(&record, known, true, &fresh, at);
        self.note(agent, &outcome)
    }

    /// The client says another status.
    fn say(&mut self, at: i64, says: ClientStatus) -> &str {
        self.said = Some(ClientWord { says, at });
        self.look(at)
    }

    /// The server looks at the file.
    fn look(&mut self, now: i64) -> &str {
        let mut agent = self.agent.take().expect("a hook came first");
        let (outcome, since) = agent.hear(self.said, now);
        assert!(since <= now, "a status of the future");
        self.note(agent, &outcome)
    }

    fn agent(&self) -> &AgentMemory {
        self.agent.as_ref().expect("a hook came first")
    }
}

const CALL: &str = r#"PreToolUse tool_use_id=a tool_name=Bash tool_input={"command":"make"}"#;
const ASKED: &str = r#"PermissionRequest tool_name=Bash tool_input={"command":"make"}"#;

/// A turn whose call asks for a permission at 30, and whose client says so at 31.
fn asked() -> Shown {
    let mut task = Shown::default();
    task.hook(10, "UserPromptSubmit prompt=hi");
    task.say(11, ClientStatus::Busy);
    assert_eq!(task.hook(20, CALL), "running");
    task.hook(30, ASKED);
    assert_eq!(task.say(31, ClientStatus::Permission), "waiting permission");
    task
}

/// The client writes its file and runs its hook at the same moment, and the server sees the file after the hook.
#[test]
fn a_word_of_the_moment_before_the_hook_agrees_with_the_hook() {
    let mut task = Shown::default();
    task.hook(10, "SessionStart source=startup");
    assert_eq!(task.say(11, ClientStatus::Idle), "waiting ready");
    assert_eq!(task.hook(20, "UserPromptSubmit prompt=hi"), "waiting ready");
    assert_eq!(task.say(19, ClientStatus::Busy), "running");
    task.hook(30, CALL);
    assert_eq!(task.hook(40, ASKED), "running");
    assert_eq!(task.say(39, ClientStatus::Permission), "waiting permission");
    assert_eq!(task.look(60_000), "waiting permission");
    assert_eq!(task.say(60_010, ClientStatus::Busy), "running");
}

#[test]
fn an_approval_ends_the_permission_before_the_call_ends() {
    let mut task = asked();
    assert_eq!(task.say(40, ClientStatus::Busy), "running");
    assert_eq!(task.hook(20_000, "PostToolUse tool_use_id=a tool_name=Bash"), "running");
    assert_eq!(task.abandoned, Vec::<String>::new());
}

#[test]
fn a_refusal_and_esc_interrupt_the_turn_and_end_its_calls() {
    let mut task = asked();
    assert_eq!(task.say(40, ClientStatus::Idle), "waiting interrupted");
    assert_eq!(task.abandoned, ["row20"]);
    assert_eq!(task.hook(50, "UserPromptSubmit prompt=on"), "waiting interrupted", "the client writes its file later");
    assert_eq!(task.say(51, ClientStatus::Busy), "running");
    assert_eq!(task.say(60, ClientStatus::Idle), "waiting interrupted");
}

#[test]
fn the_end_of_a_turn_is_no_interruption() {
    let mut task = asked();
    task.say(40, ClientStatus::Busy);
    assert_eq!(task.hook(50, "Stop"), "running", "held back");
    assert_eq!(task.say(51, ClientStatus::Idle), "waiting finished");
    // The client can say that it is idle before the hook of the end arrives.
    let mut task = asked();
    task.say(40, ClientStatus::Busy);
    assert_eq!(task.say(50, ClientStatus::Idle), "waiting interrupted");
    assert_eq!(task.hook(49, "Stop"), "waiting finished");
}

#[test]
fn a_turn_that_ended_with_agents_in_the_background_finishes() {
    let mut task = asked();
    task.say(40, ClientStatus::Busy);
    assert_eq!(task.hook(50, r#"Stop background_tasks=[{"type":"subagent"}]"#), "running");
    assert_eq!(task.look(60), "running");
    assert_eq!(task.say(70, ClientStatus::Idle), "waiting finished");
}

#[test]
fn work_without_a_prompt_ends_with_the_status_from_before() {
    let mut task = asked();
    task.say(40, ClientStatus::Busy);
    task.hook(50, "Stop");
    task.say(51, ClientStatus::Idle);
    assert_eq!(task.say(60, ClientStatus::Busy), "running", "/compact, or a command of the client");
    assert_eq!(task.say(70, ClientStatus::Idle), "waiting finished");
    assert_eq!(task.say(80, ClientStatus::Dialog), "waiting finished", "the person opened the dialog");
}

#[test]
fn a_request_without_a_hook_is_shown() {
    let mut task = Shown::default();
    task.hook(10, "UserPromptSubmit prompt=hi");
    task.hook(20, CALL);
    assert_eq!(task.say(30, ClientStatus::Permission), "waiting permission");
    assert!(task.agent().is_certain());
    assert_eq!(task.say(40, ClientStatus::Busy), "running");
    assert_eq!(task.say(50, ClientStatus::Question), "waiting question");
    assert_eq!(task.hook(60, "PostToolUse tool_use_id=a tool_name=Bash"), "waiting question", "held back");
    assert_eq!(task.say(61, ClientStatus::Busy), "running");
    assert_eq!(task.say(70, ClientStatus::Dialog), "waiting question", "a dialog within a turn");
}

#[test]
fn a_newer_hook_counts_after_a_while_and_then_at_once() {
    let mut task = asked();
    assert_eq!(task.hook(100, "PostToolUse tool_use_id=a tool_name=Bash"), "waiting permission");
    assert_eq!(task.look(100 + HELD_FOR - 1), "waiting permission");
    assert_eq!(task.look(100 + HELD_FOR), "running");
    // The word is contradicted, so the next hooks are not held back.
    assert_eq!(task.hook(6_000, "Stop"), "waiting finished");
    assert_eq!(task.look(7_000), "waiting finished");
    assert_eq!(task.hook(8_000, "UserPromptSubmit prompt=on"), "running");
    assert_eq!(task.hook(8_100, ASKED), "waiting permission");
    assert!(!task.agent().is_certain(), "the old word of the client is of another request");
    // The next word counts again.
    assert_eq!(task.say(9_000, ClientStatus::Idle), "waiting interrupted");
}

#[test]
fn the_hooks_themselves_end_a_long_hold() {
    let mut task = asked();
    task.say(40, ClientStatus::Idle);
    task.hook(100, "UserPromptSubmit prompt=on");
    assert_eq!(task.hook(100 + HELD_FOR - 1, CALL), "waiting interrupted");
    assert_eq!(task.hook(100 + HELD_FOR, "PreToolUse tool_use_id=c tool_name=Read"), "running");
}

#[test]
fn without_a_word_the_hooks_count_as_before() {
    let mut task = asked();
    task.hook(100, "PostToolUse tool_use_id=a tool_name=Bash");
    task.said = None;
    assert_eq!(task.look(110), "running", "the file is gone");
    assert_eq!(task.hook(120, CALL), "running");
    assert_eq!(task.hook(130, ASKED), "waiting permission");
    assert!(!task.agent().is_certain());
    assert_eq!(task.hook(140, "Stop"), "waiting finished");
    assert!(task.agent().is_certain());
}

#[test]
fn a_session_that_ends_or_begins_again_has_no_word() {
    let mut task = asked();
    assert_eq!(task.hook(40, "SessionEnd reason=exit"), "completed");
    assert_eq!(task.look(50), "completed");
    let mut task = asked();
    assert_eq!(task.hook(40, "SessionStart source=resume"), "waiting ready");
    assert!(!task.agent().has_word());
}

#[test]
fn a_command_that_runs_shows_that_it_was_approved() {
    let mut task = Shown::default();
    task.hook(10, "UserPromptSubmit prompt=hi");
    task.hook(20, CALL);
    let asked = r#"PermissionRequest tool_name=Bash tool_input={"command":"echo\u0020'a'\u0020>b"}"#;
    task.hook(5_000, asked);
    assert!(!task.agent().is_certain());
    assert!(task.agent().waits_for_command());
    let shell = |text: &str| format!("/bin/sh\0-c\0source snapshot && eval '{text}' < /dev/null");
    let mut see = |began: i64, line: String| {
        let mut agent = task.agent.take().expect("an agent");
        let outcome = agent.see_commands(&[(began, line)]);
        task.note(agent, &outcome).to_owned()
    };
    assert_eq!(see(6_000, shell("ls")), "waiting permission");
    assert_eq!(see(6_000, shell("secho a b")), "waiting permission", "it is another word");
    let hook = "/bin/sh\0-c\0exec '/opt/echo/a b/requery' hook claude-code";
    assert_eq!(see(6_000, hook.to_owned()), "waiting permission", "a hook is no command of the agent");
    assert_eq!(see(3_000, shell(r#"echo '"'"'a'"'"' >b"#)), "waiting permission", "it ran before");
    assert_eq!(see(6_000, shell(r#"echo '"'"'a'"'"' >b"#)), "running");
}

/// A compaction runs no hook at its end in some versions, and no hook in any version if a person stops it.
#[test]
fn a_compaction_from_idle_ends_with_the_word_of_the_client() {
    let mut task = Shown::default();
    task.hook(10, "UserPromptSubmit prompt=hi");
    task.hook(20, "Stop");
    task.say(21, ClientStatus::Idle);
    task.hook(30, "PreCompact trigger=manual");
    assert_eq!(task.say(31, ClientStatus::Busy), "running");
    assert_eq!(task.say(40, ClientStatus::Idle), "waiting idle");
}

/// In the automatic mode the client approves a call itself.
#[test]
fn a_call_that_the_client_approves_itself_blocks_for_a_moment() {
    let mut task = Shown::default();
    task.hook(10, "UserPromptSubmit prompt=hi");
    task.say(11, ClientStatus::Busy);
    task.hook(20, CALL);
    assert_eq!(task.hook(30, ASKED), "running", "the client works, so the hook is held back");
    assert_eq!(task.say(31, ClientStatus::Busy), "running");
    assert_eq!(task.agent().status().1, None);
}
