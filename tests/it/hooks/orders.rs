//! Agents report at the same time, and two processes send the start and the end of a tool call. So records arrive in
//! many orders. The figures are the same for each order, with repeated deliveries, other times and restarts of the
//! server.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;
use requery::agent::runtime::AgentRuntime;
use serde_json::Value;

use super::{START, Store, assert_figures, figures, read};
use crate::random_cases::cases;

/// The delivery id of the record at this place in the recording.
fn delivery(at: usize) -> String {
    uuid::Uuid::from_u128(at as u128 + 1).to_string()
}

/// The records in another order. The records of one agent keep their order, except for the start and the end of a tool
/// call.
fn another_order(file: &str, random: &fastrand::Rng) -> Vec<(usize, Value)> {
    let mut random = random.clone();
    let mut agents: Vec<VecDeque<(usize, Value)>> = Vec::new();
    let mut places = HashMap::new();
    for (at, line) in read(file).lines().enumerate() {
        let body = serde_json::from_str::<Value>(line).expect("a line")["body"].take();
        let id = body["session_id"].as_str().expect("a session").to_owned();
        let place = *places.entry(id).or_insert_with(|| {
            agents.push(VecDeque::new());
            agents.len() - 1
        });
        agents[place].push_back((at, body));
    }
    for agent in &mut agents {
        for at in 1..agent.len() {
            let (before, after) = (&agent[at - 1].1, &agent[at].1);
            let halves = before["hook_event_name"] == "PreToolUse" && before["tool_use_id"] == after["tool_use_id"];
            let ends = matches!(after["hook_event_name"].as_str(), Some("PostToolUse" | "PostToolUseFailure"));
            if halves && ends && random.u8(..4) == 0 {
                agent.swap(at - 1, at);
            }
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

async fn check(file: &str, source: AgentRuntime, seed: u64) {
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
    assert_figures(&store, &figures(file)).await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(6).min(1_000),
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_allowed_order_gives_the_same_figures(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            check("claude-code-busy-day.jsonl", AgentRuntime::ClaudeCode, seed).await;
            check("codex-two-sessions.jsonl", AgentRuntime::Codex, seed).await;
        });
    }
}
