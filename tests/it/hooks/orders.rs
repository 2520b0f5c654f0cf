//! Agents report at the same time, and two processes send two hooks of the same moment. So records arrive in many
//! orders. The rows and the statuses are the same for each order, with repeated deliveries, other times and restarts of
//! the server.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;
use serde_json::Value;

use super::replays::{RECORDINGS, Stored, assert_same, delivery, plain, records};
use super::{START, Store};
use crate::random_cases::cases;

/// The hooks of a call.
const CALL: [&str; 4] = ["PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionDenied"];

/// Pairs of hooks that a client runs in the same moment, so that either can arrive first.
const SAME_MOMENT: [[&str; 2]; 10] = [
    ["SessionStart", "InstructionsLoaded"],
    ["SessionStart", "UserPromptSubmit"],
    ["InstructionsLoaded", "UserPromptSubmit"],
    ["UserPromptSubmit", "PreModelRequest"],
    ["PostModelRequest", "PreToolUse"],
    ["PostModelRequest", "Stop"],
    ["PostToolUse", "PreModelRequest"],
    ["TaskCompleted", "PostToolUse"],
    ["PreToolUse", "TaskCreated"],
    ["Stop", "SessionEnd"],
];

/// Whether two neighbours of one session can arrive in the other order.
fn may_change_places(first: &Value, second: &Value) -> bool {
    let hook = |body: &Value| body["hook_event_name"].as_str().unwrap_or_default().to_owned();
    let (before, after) = (hook(first), hook(second));
    let is_call = |name: &str| CALL.contains(&name);
    let is_end = |name: &str| is_call(name) && name != "PreToolUse";
    let is_batch = |name: &str| name == "PostToolBatch";
    let asks = |body: &Value| {
        matches!(body["tool_name"].as_str(), Some("AskUserQuestion" | "ExitPlanMode" | "request_user_input"))
    };
    // A resumed session has earlier records, so a prompt in front of its start belongs to the earlier run.
    let resumes =
        |body: &Value| hook(body) == "SessionStart" && !matches!(body["source"].as_str(), Some("startup" | "clear"));
    let is_same_thread = first["agent_id"] == second["agent_id"];
    let is_same_call = first["tool_use_id"] == second["tool_use_id"];
    let starts = |body: &Value| body["tool_name"] == "collaborationspawn_agent";
    match () {
        () if resumes(first) || resumes(second) => false,
        // Two halves of a call.
        () if is_call(&before) && is_call(&after) && is_same_call => is_end(&after) && before == "PreToolUse",
        // Calls at the same time, of one answer of the model or of two agents.
        () if is_call(&before) && is_call(&after) && !is_same_thread => true,
        () if is_call(&before) && is_call(&after) => is_end(&before) == is_end(&after) && !asks(first) && !asks(second),
        // The end of a call, and of all calls of the answer.
        () if is_end(&before) && is_batch(&after) => true,
        // Other agents begin and end while the main thread works. The call of Codex that started one does not name it.
        () if !is_same_thread && after == "SubagentStart" => is_end(&before) && !starts(first),
        () if !is_same_thread && before == "SubagentStart" => is_end(&after) && !starts(second),
        () if !is_same_thread && [&before, &after].iter().any(|name| *name == "SubagentStop") => {
            is_end(&before) || is_end(&after) || is_batch(&after)
        }
        () => SAME_MOMENT.iter().any(|pair| *pair == [&*before, &*after] || *pair == [&*after, &*before]),
    }
}

/// The records in another order.
fn another_order(file: &str, random: &fastrand::Rng) -> Vec<(usize, Value)> {
    let mut random = random.clone();
    let mut agents: Vec<VecDeque<(usize, Value)>> = Vec::new();
    let mut places = HashMap::new();
    for (at, (_, body)) in records(file).into_iter().enumerate() {
        let id = body["session_id"].as_str().expect("a session").to_owned();
        let place = *places.entry(id).or_insert_with(|| {
            agents.push(VecDeque::new());
            agents.len() - 1
        });
        agents[place].push_back((at, body));
    }
    for agent in &mut agents {
        let mut at = 1;
        while at < agent.len() {
            if may_change_places(&agent[at - 1].1, &agent[at].1) && random.u8(..3) == 0 {
                agent.swap(at - 1, at);
                at += 1;
            }
            at += 1;
        }
    }
    let mut order = Vec::new();
    while !agents.is_empty() {
        let one = random.usize(..agents.len());
        // Sometimes one agent works alone for a while.
        for _ in 0..random.usize(1..20) {
            order.extend(agents[one].pop_front());
        }
        if agents[one].is_empty() {
            agents.swap_remove(one);
        }
    }
    order
}

async fn check(number: usize, seed: u64) {
    let (file, source) = RECORDINGS[number];
    let mut random = fastrand::Rng::with_seed(seed);
    let order = another_order(file, &random);
    let mut store = Store::open().await;
    let mut now = START;
    for (place, (at, body)) in order.iter().enumerate() {
        now += random.i64(0..3_000);
        store.deliver(source, Some(&delivery(*at)), body.to_string().as_bytes(), now).await.expect("taken");
        if random.u8(..8) == 0 {
            let (again, body) = &order[random.usize(place.saturating_sub(20)..=place)];
            store.deliver(source, Some(&delivery(*again)), body.to_string().as_bytes(), now).await.expect("taken");
        }
        if random.u8(..40) == 0 {
            store = store.reopen().await;
        }
        if random.u8(..40) == 0 {
            // A task that is judged silent here gets its old status back with the next record.
            store.judge(now + 40 * 60_000, |_| None).await;
        }
    }
    store.judge(now, |_| None).await;
    let (actual, expected) = (Stored::of(&store).await, plain(number).await);
    assert_same(&actual.in_any_order(), &expected.in_any_order(), &format!("{file}, seed {seed}"));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(3).min(300),
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_allowed_order_gives_the_same_rows(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            for number in 0..RECORDINGS.len() {
                check(number, seed).await;
            }
        });
    }
}
