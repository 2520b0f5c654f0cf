//! Agents that send no more records: judged at exact times, and with a killed process.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use requery::agent::process::Process;
use requery::agent::runtime::AgentRuntime;
use requery::server::access::scope::Scope;
use requery::server::agents::{self, HookDelivery, HookTime, Judgement, JudgingServer, SilenceLimits};
use requery_entities::{StoredText, session, task};
use sea_orm::{ConnectionTrait, EntityTrait, TransactionTrait};
use serde_json::{Value, json};

use super::{START, Store, read};
use crate::app::{App, PATIENCE};
use crate::home::Home;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

impl Store {
    /// Judges the silent agents as a server does at the time `now_ms`. The server has received hooks since [`START`].
    pub(super) async fn judge(&self, now_ms: i64, is_alive: impl Fn(&str) -> Option<bool>) {
        let found = self.judgements(JudgingServer::Only, now_ms, is_alive).await;
        self.carry_out(&found, now_ms).await;
    }

    /// The judgements of one of the servers of a database.
    async fn judgements(
        &self,
        server: JudgingServer,
        now_ms: i64,
        is_alive: impl Fn(&str) -> Option<bool>,
    ) -> Vec<Judgement> {
        let limits = SilenceLimits::default();
        agents::judge_silences(&self.db, server, limits, START, now_ms, is_alive).await.expect("judged")
    }

    async fn carry_out(&self, found: &[Judgement], now_ms: i64) {
        let tx = self.db.begin().await.expect("a transaction");
        for judgement in found {
            agents::carry_out(&tx, judgement, now_ms).await.expect("carried out");
        }
        tx.commit().await.expect("committed");
    }

    /// The status, the status reason and the stale mark of each task, by the first eight characters of its session id.
    async fn standing(&self) -> BTreeMap<String, String> {
        let tasks = task::Entity::find().all(&self.db).await.expect("tasks");
        let word = |text: Option<StoredText>| text.map(|text| format!(" {text}")).unwrap_or_default();
        tasks
            .into_iter()
            .map(|task| {
                let stale = task.stale_since.map(|since| format!(" since {}", since - START)).unwrap_or_default();
                let standing = task.status.to_string() + &word(task.status_reason) + &word(task.stale_reason) + &stale;
                (task.external_id.expect("a session").chars().take(8).collect(), standing)
            })
            .collect()
    }

    async fn standing_of(&self, session: &str) -> String {
        self.standing().await.remove(session).expect("its task")
    }
}

fn record(hook: &str, more: &Value) -> Vec<u8> {
    let mut body = json!({"session_id": "agent", "hook_event_name": hook, "cwd": "/home/dev/shop"});
    body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    body.to_string().into_bytes()
}

/// 30 minutes after the last record exactly the killed agent is marked silent, and after 24 hours it is lost.
#[tokio::test]
async fn only_the_killed_agent_of_the_recording_becomes_silent_and_lost() {
    let store = Store::open().await;
    for line in read("claude-code-busy-day.jsonl").lines() {
        let line: Value = serde_json::from_str(line).expect("a line");
        let now = START + line["at_ms"].as_i64().expect("a time");
        store.take_at(AgentRuntime::ClaudeCode, line["body"].to_string().as_bytes(), now).await.expect("taken");
    }
    let mut standing = BTreeMap::from(
        [
            ("e88b7591", "completed"),
            ("780c4b16", "waiting scheduled"),
            ("bd8ec9a1", "completed"),
            ("e4039782", "running"),
            ("4ca67353", "errored billing_error"),
        ]
        .map(|(session, standing)| (session.to_owned(), standing.to_owned())),
    );
    let last_record = 1_328_631;
    for (at, missing) in [
        (last_record + 30 * MINUTE - 1, "running"),
        (last_record + 30 * MINUTE, "running silent since 3128631"),
        (last_record + 24 * HOUR - 1, "running silent since 3128631"),
        (last_record + 24 * HOUR, "errored lost"),
        (last_record + 1000 * HOUR, "errored lost"),
    ] {
        store.judge(START + at, |_| None).await;
        standing.insert("e4039782".to_owned(), missing.to_owned());
        assert_eq!(store.standing().await, standing, "{at}");
    }
    // The lost session ends at that time, and its running events are abandoned.
    let runs = session::Entity::find().all(&store.db).await.expect("runs");
    let lost: Vec<_> = runs.iter().filter(|run| run.status == "lost").collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].ended_at, Some(START + last_record + 24 * HOUR));
    let events = store.events().await;
    let open =
        events.iter().filter(|event| event.task_id == lost[0].task_id && event.state.as_deref() == Some("running"));
    assert_eq!(open.count(), 0);
    let abandoned = events.iter().filter(|event| event.state.as_deref() == Some("abandoned"));
    assert_eq!(abandoned.count(), 2 + 4, "three tool calls and a subagent, besides two of the recording");
}

/// A session that no person used, and whose process has ended, is given up without a failure.
#[tokio::test]
async fn a_session_that_was_never_used_ends_as_completed() {
    let store = Store::open().await;
    let began = record("SessionStart", &json!({"source": "startup"}));
    store.take_at(AgentRuntime::ClaudeCode, &began, START).await.expect("taken");
    let process = |_: &str| Some(false);
    let update = "update tasks set process = '1:2:linux:x:y'";
    store.db.execute_unprepared(update).await.expect("updated");
    store.judge(START + MINUTE, process).await;
    assert_eq!(store.standing_of("agent").await, format!("waiting ready gone since {MINUTE}"));
    store.judge(START + 25 * HOUR, process).await;
    assert_eq!(store.standing_of("agent").await, "completed");
    let run = session::Entity::find().all(&store.db).await.expect("runs").remove(0);
    assert_eq!((run.status.as_str(), run.ended_at), ("completed", Some(START + 25 * HOUR)));
    let resumed = record("SessionStart", &json!({"source": "resume"}));
    store.take_at(AgentRuntime::ClaudeCode, &resumed, START + 26 * HOUR).await.expect("taken");
    assert_eq!(store.standing_of("agent").await, "waiting ready");
}

/// A new record clears the mark of a silent task, and even sets a lost task running again.
#[tokio::test]
async fn a_new_record_revives_a_silent_or_lost_task() {
    let store = Store::open().await;
    let take = async |hook: &str, more: Value, at: i64| {
        store.take_at(AgentRuntime::ClaudeCode, &record(hook, &more), START + at).await.expect("taken");
        store.standing_of("agent").await
    };
    let call = json!({"tool_name": "Bash", "tool_use_id": "a", "tool_input": {"command": "make"}});
    let late = async |hook: &str, at: i64, now: i64| {
        let delivery =
            HookDelivery::read(AgentRuntime::ClaudeCode, None, &record(hook, &json!({"message": "m"}))).expect("read");
        let tx = store.db.begin().await.expect("a transaction");
        agents::take_hook(&tx, &Scope::All, &delivery, HookTime::late(START + at, START + now)).await.expect("taken");
        tx.commit().await.expect("committed");
        store.standing_of("agent").await
    };
    assert_eq!(take("UserPromptSubmit", json!({"prompt": "hi"}), 0).await, "running");
    assert_eq!(take("PreToolUse", call.clone(), 10).await, "running");
    let judge = async |at: i64| {
        store.judge(START + at, |_| None).await;
        store.standing_of("agent").await
    };
    assert_eq!(judge(30 * MINUTE + 10).await, format!("running silent since {}", 30 * MINUTE + 10));
    // A record that makes no row is a sign of life too.
    assert_eq!(take("PostToolBatch", json!({}), 31 * MINUTE).await, "running");
    assert_eq!(judge(61 * MINUTE - 1).await, "running");
    assert_eq!(judge(62 * MINUTE).await, format!("running silent since {}", 61 * MINUTE));
    assert_eq!(judge(31 * MINUTE + 24 * HOUR).await, "errored lost");
    // A late record from before the last record is no sign of life.
    assert_eq!(late("Notification", 30 * MINUTE, 25 * HOUR).await, "errored lost");
    let runs = async || session::Entity::find().all(&store.db).await.expect("runs");
    assert_eq!(runs().await[0].status, "lost");
    assert_eq!(take("PostToolUse", call, 26 * HOUR).await, "running");
    let run = runs().await.remove(0);
    assert_eq!((run.status.as_str(), run.ended_at), ("running", None), "the session continues");
    let calls = store.events().await.into_iter().filter(|event| event.kind == "tool");
    assert_eq!(calls.map(|call| call.state).collect::<Vec<_>>(), [Some("ok".into())]);
    assert_eq!(take("Stop", json!({}), 27 * HOUR).await, "waiting finished");
    assert_eq!(judge(1000 * HOUR).await, "waiting finished", "a task that waits for a person is never silent");
    // A late record counts as a sign of life at its own time, not at the time of its arrival.
    assert_eq!(take("UserPromptSubmit", json!({"prompt": "on"}), 1001 * HOUR).await, "running");
    assert_eq!(late("Notification", 1000 * HOUR, 1001 * HOUR + 1).await, "running");
    assert_eq!(judge(1001 * HOUR + 30 * MINUTE - 1).await, "running");
    let flagged = format!("running silent since {}", 1001 * HOUR + 30 * MINUTE);
    assert_eq!(judge(1001 * HOUR + 30 * MINUTE).await, flagged);
}

/// A status written by SQL stands, and a task without hooks is never judged.
#[tokio::test]
async fn only_tasks_with_hooks_are_judged_and_an_sql_status_stands() {
    let store = Store::open().await;
    store.take(AgentRuntime::ClaudeCode, &record("UserPromptSubmit", &json!({"prompt": "hi"}))).await.expect("taken");
    let sql = async |sql: &str| store.db.execute_unprepared(sql).await.expect("written");
    sql("update tasks set status = 'completed'; insert into tasks (title, external_id) values ('by hand', 'byhand')")
        .await;
    store.judge(START + 1000 * HOUR, |_| Some(false)).await;
    let standing = store.standing().await;
    assert_eq!((&*standing["agent"], &*standing["byhand"]), ("completed", "running"));
    // After an SQL write sets a task to running, its silence counts from that write, so it is not marked at once.
    sql("update tasks set status = 'running' where external_id = 'agent'").await;
    let now = chrono::Utc::now().timestamp_millis();
    store.judge(now + 29 * MINUTE, |_| None).await;
    assert_eq!(store.standing_of("agent").await, "running");
    for after in [31 * MINUTE, 23 * HOUR] {
        store.judge(now + after, |_| None).await;
        assert!(store.standing_of("agent").await.starts_with("running silent since "), "{after}");
    }
    sql("update tasks set status = 'waiting' where external_id = 'agent'").await;
    assert_eq!(store.standing_of("agent").await, "waiting");
}

/// A process belongs to one run. The next run is not judged by it, even if its records name no process.
#[tokio::test]
async fn a_new_run_is_not_judged_by_the_process_of_the_previous_run() {
    let store = Store::open().await;
    let take = async |hook: &str, process: Option<&str>| {
        let process = process.map(|text| text.parse::<Process>().expect("a process"));
        let delivery =
            HookDelivery::read(AgentRuntime::ClaudeCode, None, &record(hook, &json!({"prompt": "p"}))).expect("read");
        agents::take_hook(&store.db, &Scope::All, &delivery.of(process.as_ref()), HookTime::Now(START))
            .await
            .expect("taken");
    };
    let judge = async |gone: &str| {
        store.judge(START + 1, |process| Some(!process.ends_with(gone))).await;
        store.standing_of("agent").await
    };
    let process = |id: u32| format!("-:0f7a31f6-6b0e-4f7e-9d3a-0a9d1f8f5c11:1:1:{id}:1");
    take("SessionStart", Some(&process(7))).await;
    take("UserPromptSubmit", None).await;
    assert_eq!(judge(":7:1").await, "running gone since 1", "a record without a process keeps the known one");
    take("Stop", Some(&process(8))).await;
    assert_eq!(judge(":7:1").await, "waiting finished");
    assert_eq!(judge(":8:1").await, "waiting finished gone since 1");
    take("Stop", None).await;
    assert_eq!(judge(":8:1").await, "waiting finished", "a record after the end of the process forgets that process");
    take("Stop", Some(&process(9))).await;
    take("SessionStart", None).await;
    assert_eq!(judge(":9:1").await, "waiting ready");
}

/// A prompt of a session whose agent is a process.
async fn prompt_of_process(store: &Store, session: &str, process: Option<&str>) {
    let process = process.map(|text| text.parse::<Process>().expect("a process"));
    let body = record("UserPromptSubmit", &json!({"prompt": "hi", "session_id": session}));
    let delivery = HookDelivery::read(AgentRuntime::ClaudeCode, None, &body).expect("read").of(process.as_ref());
    agents::take_hook(&store.db, &Scope::All, &delivery, HookTime::Now(START)).await.expect("taken");
}

/// A process on the machine with this number.
fn process_on(machine: u32) -> String {
    format!("{machine:032}:0f7a31f6-6b0e-4f7e-9d3a-0a9d1f8f5c11:1:1:7:1")
}

/// Only a server on the machine of a process gives its agent up. The server with the lease judges the agents without a
/// known process.
#[tokio::test]
async fn an_agent_is_judged_by_the_server_that_knows_its_process() {
    let store = Store::open().await;
    prompt_of_process(&store, "here", Some(&process_on(0))).await;
    prompt_of_process(&store, "there", Some(&process_on(1))).await;
    prompt_of_process(&store, "nowhere", None).await;
    let silent = format!("running silent since {}", 30 * MINUTE);
    let gone = format!("running gone since {}", 30 * MINUTE);
    let (silent, gone, here) = (silent.as_str(), gone.as_str(), process_on(0));
    for (server, at, is_alive, expected) in [
        (JudgingServer::WithoutLease, 31 * MINUTE, true, [silent, "running", "running"]),
        (JudgingServer::WithLease, 31 * MINUTE, true, [silent; 3]),
        (JudgingServer::WithoutLease, 25 * HOUR, true, [silent; 3]),
        (JudgingServer::WithoutLease, 25 * HOUR, false, [gone, silent, silent]),
        (JudgingServer::WithoutLease, 25 * HOUR, false, ["errored lost", silent, silent]),
        (JudgingServer::WithLease, 25 * HOUR, false, ["errored lost", silent, "errored lost"]),
        (JudgingServer::WithLease, 1_000 * HOUR, false, ["errored lost", silent, "errored lost"]),
        // No other server will judge it.
        (JudgingServer::Only, 1_000 * HOUR, false, ["errored lost"; 3]),
    ] {
        let now_ms = START + at;
        let found = store.judgements(server, now_ms, |process| (process == here).then_some(is_alive)).await;
        store.carry_out(&found, now_ms).await;
        let standing = store.standing().await;
        let standing = ["here", "there", "nowhere"].map(|session| standing[session].as_str());
        assert_eq!(standing, expected, "{server:?} at {at}");
    }
}

/// Servers judge from snapshots of their own. The one that writes later leaves the flag of the other one.
#[tokio::test]
async fn two_servers_that_judge_at_once_write_one_flag() {
    let store = Store::open().await;
    prompt_of_process(&store, "agent", Some(&process_on(0))).await;
    let now_ms = START + 31 * MINUTE;
    let of_machine = store.judgements(JudgingServer::WithoutLease, now_ms, |_| Some(false)).await;
    let of_lease = store.judgements(JudgingServer::WithLease, now_ms, |_| None).await;
    let again = store.judgements(JudgingServer::WithoutLease, now_ms + 1, |_| Some(false)).await;
    assert_eq!([of_machine.len(), of_lease.len(), again.len()], [1; 3]);
    store.carry_out(&of_machine, now_ms).await;
    let gone = format!("running gone since {}", 31 * MINUTE);
    assert_eq!(store.standing_of("agent").await, gone);
    for found in [&of_lease, &again, &of_machine] {
        store.carry_out(found, now_ms + 2).await;
        assert_eq!(store.standing_of("agent").await, gone);
    }
    // The same where two servers give an agent up.
    let later = now_ms + 24 * HOUR;
    let of_machine = store.judgements(JudgingServer::WithLease, later, |_| Some(false)).await;
    let again = store.judgements(JudgingServer::WithoutLease, later + 1, |_| Some(false)).await;
    for found in [&of_machine, &again] {
        assert_eq!(found.len(), 1);
        store.carry_out(found, later).await;
        assert_eq!(store.standing_of("agent").await, "errored lost");
    }
    let runs = session::Entity::find().all(&store.db).await.expect("runs");
    assert_eq!(runs.iter().map(|run| run.ended_at).collect::<Vec<_>>(), [Some(later)]);
}

/// A killed agent is reported gone at once, whether it waited or worked, and recovers when it is resumed.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_killed_agent_is_reported_gone_until_it_is_resumed() {
    let silence_limits = SilenceLimits { stale_after: Duration::from_secs(3), lost_after: Duration::from_secs(3600) };
    let app = App::start_with(|config| config.silence_limits = silence_limits).await;
    let home = Home::new();
    let url = format!("http://{}", app.address);
    let claude = format!("'{}' hook claude-code --server {url} < \"$1\"\nread -r _", env!("CARGO_BIN_EXE_requery"));
    home.install_program("claude", &claude);
    let run = |record: &[u8]| {
        let input = home.path("record.json");
        std::fs::write(&input, record).unwrap();
        let mut command = std::process::Command::new(home.path("bin/claude"));
        command.arg(&input).stdin(Stdio::piped()).stdout(Stdio::null());
        home.at_home(command).spawn().unwrap()
    };
    let until = async |wanted: Value| {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = reqwest::get(format!("{url}/api/v1/overview")).await.unwrap();
            let overview: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            let needs_you = overview["needs_you"].as_array().unwrap();
            let reasons: Vec<_> = needs_you.iter().map(|task| task["reason"].clone()).collect();
            if json!(reasons) == wanted {
                return overview;
            }
            assert!(tokio::time::Instant::now() < deadline, "{overview}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut agent = run(&record("Stop", &json!({})));
    until(json!(["finished"])).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    until(json!(["gone"])).await;
    let mut agent = run(&record("UserPromptSubmit", &json!({"prompt": "go on"})));
    until(json!([])).await;
    // A turn interrupted with Esc sends no record, and its process lives on.
    let overview = until(json!(["silent"])).await;
    assert_eq!(overview["stats"]["running_tasks"], 1);
    let detail = format!("{url}/api/v1/tasks/{}", overview["needs_you"][0]["task_id"].as_str().unwrap());
    let detail: Value = serde_json::from_str(&reqwest::get(detail).await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(detail["task"]["stale_reason"], "silent");
    assert_eq!(detail["task"]["stale_since"], overview["needs_you"][0]["since"]);
    agent.kill().unwrap();
    agent.wait().unwrap();
    until(json!(["gone"])).await;
    app.stop().await;
}

/// The background sessions of Claude Code run under another name of the program.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_of_an_agent_is_found_by_each_name_of_its_program() {
    let app = App::start().await;
    let home = Home::new();
    for (name, agent) in [("claude", "claude-code"), ("claude.exe", "claude-code"), ("codex", "codex")] {
        let script =
            format!("'{}' hook {agent} --server http://{} < \"$1\"", env!("CARGO_BIN_EXE_requery"), app.address);
        home.install_program(name, &script);
        let input = home.path(name);
        std::fs::write(&input, record("Stop", &json!({"session_id": name}))).unwrap();
        let mut command = std::process::Command::new(home.path(&format!("bin/{name}")));
        command.arg(&input).stdin(Stdio::null());
        assert!(home.at_home(command).status().unwrap().success());
        let deadline = std::time::Instant::now() + PATIENCE;
        let query = format!("select count(*) from tasks where external_id = '{name}' and process is not null");
        while app.sql_seen(&query) != "1" {
            assert!(
                std::time::Instant::now() < deadline,
                "{name}: {}",
                app.sql_seen("select external_id, process from tasks")
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    app.stop().await;
}
