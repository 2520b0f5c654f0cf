//! Each recording leads to the same rows and statuses at any speed, with records that come late, with repeated
//! deliveries, and with restarts of the server between any two records.

use std::collections::BTreeMap;

use proptest::prelude::*;
use requery::agent::runtime::AgentRuntime;
use requery::server::access::scope::Scope;
use requery::server::agents::{self, HookDelivery, HookTime};
use requery_entities::{event, session, task};
use sea_orm::{EntityTrait, QueryOrder, TransactionTrait};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{START, Store, read};
use crate::random_cases::cases;

/// Every recording, with the agent that it is of.
pub const RECORDINGS: [(&str, AgentRuntime); 6] = [
    ("claude-code-busy-day.jsonl", AgentRuntime::ClaudeCode),
    ("codex-two-sessions.jsonl", AgentRuntime::Codex),
    ("claude-code-2.1.332-interactive.jsonl", AgentRuntime::ClaudeCode),
    ("claude-code-2.1.332-print.jsonl", AgentRuntime::ClaudeCode),
    ("claude-code-2.1.332-background.jsonl", AgentRuntime::ClaudeCode),
    ("codex-0.169.0-tui.jsonl", AgentRuntime::Codex),
];

/// The records of a recording, each with its time in milliseconds.
pub fn records(file: &str) -> Vec<(i64, Value)> {
    let record = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("a line");
        (line["at_ms"].as_i64().expect("a time"), line["body"].take())
    };
    read(file).lines().map(record).collect()
}

/// The tasks, the runs and the rows of a store.
pub struct Stored {
    tasks: Vec<task::Model>,
    runs: Vec<session::Model>,
    rows: Vec<event::Model>,
}

impl Stored {
    pub async fn of(store: &Store) -> Self {
        store.count_events().await;
        Self {
            tasks: task::Entity::find().order_by_asc(task::Column::ExternalId).all(&store.db).await.expect("tasks"),
            runs: session::Entity::find().order_by_asc(session::Column::StartedAt).all(&store.db).await.expect("runs"),
            rows: store.events().await,
        }
    }

    /// Everything that a store has of a recording, in the order of the rows. `time` shows a time. The ids are numbers.
    pub fn in_order(&self, time: impl Fn(i64) -> i64) -> Value {
        let mut text = json!({ "tasks": self.tasks(&time), "rows": self.rows(&time) }).to_string();
        let ids = self.rows.iter().map(|row| &row.id).chain(self.runs.iter().map(|run| &run.id));
        for (number, id) in ids.enumerate() {
            text = text.replace(&**id, &format!("id {number}"));
        }
        serde_json::from_str(&text).expect("JSON")
    }

    /// The facts that no order of the records changes: of each task, its runs and its rows in the order of the
    /// alphabet.
    pub fn in_any_order(&self) -> Value {
        let tasks = self.tasks.iter().map(|task| {
            let runs = self.runs.iter().filter(|run| run.task_id == task.id);
            let rows = self.rows.iter().filter(|row| row.task_id == task.id);
            let mut rows: Vec<_> = rows.map(|row| self.row(row)).collect();
            rows.sort_by_key(Value::to_string);
            json!({ "task": outcome(task), "runs": runs.map(run).collect::<Vec<_>>(), "rows": rows })
        });
        tasks.collect()
    }

    fn tasks(&self, time: impl Fn(i64) -> i64) -> Vec<Value> {
        let run_at = |of: &session::Model| json!([run(of), time(of.started_at), of.ended_at.map(&time)]);
        let tasks = self.tasks.iter().map(|task| {
            let runs: Vec<_> = self.runs.iter().filter(|run| run.task_id == task.id).map(run_at).collect();
            let mut memory: Value = serde_json::from_str(task.ingest_state.as_deref().unwrap_or("{}")).expect("JSON");
            let told_at = memory["told_at"].take().as_i64().map(&time);
            let blocks = memory["blocks"].as_array_mut().into_iter().flatten();
            let since: Vec<_> = blocks.map(|block| block["since"].take().as_i64().map(&time)).collect();
            json!({
                "task": outcome(task), "runs": runs, "memory": memory, "told_at": told_at, "blocks_since": since,
                "created_at": time(task.created_at),
                "heard_at": task.heard_at.map(&time), "stale_since": task.stale_since.map(&time),
            })
        });
        tasks.collect()
    }

    fn rows(&self, time: impl Fn(i64) -> i64) -> Vec<Value> {
        let row = |row: &event::Model| json!([self.row(row), time(row.created_at)]);
        self.rows.iter().map(row).collect()
    }

    fn row(&self, row: &event::Model) -> Value {
        let run = self.runs.iter().filter(|run| run.task_id == row.task_id);
        let run = run.map(|run| &run.id).position(|run| Some(run) == row.session_id.as_ref());
        json!({
            "kind": *row.kind, "title": *row.title, "id": row.external_id.as_deref(), "state": row.state.as_deref(),
            "family": row.family.as_deref(), "lane": row.lane.as_deref(), "run": run, "truncated": row.truncated,
            "metadata": with_sorted_keys(super::metadata(row)), "body": row.body.as_deref(),
        })
    }
}

/// Two records of one call add their facts in the order in which they come, and no reader sees that order.
fn with_sorted_keys(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> =
                fields.into_iter().map(|(key, value)| (key, with_sorted_keys(value))).collect();
            sorted.into_iter().collect()
        }
        Value::Array(values) => values.into_iter().map(with_sorted_keys).collect(),
        other => other,
    }
}

fn outcome(task: &task::Model) -> Value {
    let todos: Value = task.todos.as_deref().map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"));
    json!([
        [task.external_id.as_deref(), Some(&*task.title), Some(&*task.project), task.workspace.as_deref()],
        [Some(&*task.status), task.status_reason.as_deref(), task.status_detail.as_deref()],
        [task.model.as_deref(), task.branch.as_deref(), task.last_commit.as_deref(), task.pull_request.as_deref()],
        task.event_count,
        todos,
    ])
}

fn run(run: &session::Model) -> Value {
    json!([&*run.status, run.summary.as_deref(), run.model.as_deref(), run.runtime_session_id.as_deref()])
}

/// The delivery id of the record at this place in the recording.
pub fn delivery(at: usize) -> String {
    uuid::Uuid::from_u128(at as u128 + 1).to_string()
}

/// The plain replay of a recording, in its order. It is made once.
pub async fn plain(number: usize) -> &'static Stored {
    static PLAIN: [OnceCell<Stored>; RECORDINGS.len()] = [const { OnceCell::const_new() }; RECORDINGS.len()];
    let (file, source) = RECORDINGS[number];
    PLAIN[number]
        .get_or_init(|| async {
            let store = Store::open().await;
            for (at, body) in records(file) {
                store.take_at(source, body.to_string().as_bytes(), START + at).await.expect("taken");
            }
            Stored::of(&store).await
        })
        .await
}

/// The time that a record of the recording has in a replay whose times are multiplied by a number of thousandths.
fn scaled(at: i64, thousandths: i64) -> i64 {
    START + (at - START) * thousandths / 1_000
}

/// Compares two values, and names the rows that only one of them has.
#[track_caller]
pub fn assert_same(actual: &Value, expected: &Value, about: &str) {
    fn rows(value: &Value, depth: usize, into: &mut Vec<String>) {
        match value {
            Value::Array(parts) if depth < 3 => parts.iter().for_each(|part| rows(part, depth + 1, into)),
            Value::Object(parts) if depth < 3 => parts.values().for_each(|part| rows(part, depth + 1, into)),
            row => into.push(row.to_string()),
        }
    }
    let only_in = |one: &Value, other: &Value| {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        rows(one, 0, &mut left);
        rows(other, 0, &mut right);
        left.retain(|row| right.iter().position(|same| same == row).map(|at| right.swap_remove(at)).is_none());
        left.iter().take(8).map(|row| row.chars().take(400).collect::<String>()).collect::<Vec<_>>().join("\n")
    };
    if actual != expected {
        panic!("{about}\nmissing:\n{}\nwrong:\n{}", only_in(expected, actual), only_in(actual, expected));
    }
}

/// Replays a recording with other times, with records that come late, with repeated deliveries and with restarts.
async fn check(number: usize, thousandths: i64, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (file, source) = RECORDINGS[number];
    let records = records(file);
    let mut store = Store::open().await;
    let take = async |store: &Store, place: usize, time: HookTime| {
        let body = records[place].1.to_string();
        let delivery = HookDelivery::read(source, Some(&delivery(place)), body.as_bytes()).expect("read");
        let tx = store.db.begin().await.expect("a transaction");
        agents::take_hook(&tx, &Scope::All, &delivery, time).await.expect("taken");
        tx.commit().await.expect("committed");
    };
    for (place, (at, _)) in records.iter().enumerate() {
        let now = scaled(START + at, thousandths);
        // The server was away, and the record waited in the spool.
        let late = random.u8(..3) == 0;
        let time = if late { HookTime::late(now, now + random.i64(0..600_000)) } else { HookTime::Now(now) };
        take(&store, place, time).await;
        if random.u8(..8) == 0 {
            take(&store, random.usize(place.saturating_sub(20)..=place), HookTime::Now(now)).await;
        }
        if random.u8(..40) == 0 {
            store = store.reopen().await;
        }
    }
    let (actual, expected) = (Stored::of(&store).await, plain(number).await);
    let about = format!("{file} at {thousandths} thousandths, seed {seed}");
    assert_same(&actual.in_order(|at| at), &expected.in_order(|at| scaled(at, thousandths)), &about);
    for (actual, expected) in actual.tasks.iter().zip(&expected.tasks) {
        // Of two statuses of one millisecond, the second has the next millisecond.
        let late = actual.status_since - scaled(expected.status_since, thousandths);
        assert!((0..=1).contains(&late), "{about}: {late}");
    }
}

/// As recorded, ten times faster, and all at once.
#[tokio::test]
async fn a_recording_is_the_same_at_each_speed() {
    for number in 0..RECORDINGS.len() {
        for thousandths in [1_000, 100, 0] {
            check(number, thousandths, 7).await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(6).min(1_000),
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_recording_is_the_same_at_any_speed(number in 0..RECORDINGS.len(), thousandths in 0_i64..20_000, seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(check(number, thousandths, seed));
    }
}

/// An agent with the hooks in two files sends each record twice, and each with another delivery.
#[tokio::test]
async fn a_record_that_comes_twice_makes_no_second_row_where_the_agent_names_its_row() {
    for (number, (file, source)) in RECORDINGS.into_iter().enumerate() {
        let store = Store::open().await;
        for (at, body) in records(file) {
            for _ in 0..2 {
                store.take_at(source, body.to_string().as_bytes(), START + at).await.expect("taken");
            }
        }
        let (actual, expected) = (Stored::of(&store).await, plain(number).await);
        assert_same(&actual.of_own_ids(), &expected.of_own_ids(), file);
        let statuses =
            |stored: &Stored| -> Value { stored.tasks.iter().map(|task| outcome(task)[1].clone()).collect() };
        assert_same(&statuses(&actual), &statuses(expected), file);
    }
}

impl Stored {
    /// The rows whose ids come from the agent.
    fn of_own_ids(&self) -> Value {
        let of_task = |task: &task::Model| {
            let rows = self.rows.iter().filter(|row| row.task_id == task.id && row.external_id.is_some());
            let mut rows: Vec<_> = rows.map(|row| self.row(row)).collect();
            // A second `SessionStart` begins a second run: the agent names no run.
            rows.iter_mut().for_each(|row| drop(row["run"].take()));
            rows.sort_by_key(Value::to_string);
            json!([task.external_id.as_deref(), rows])
        };
        self.tasks.iter().map(of_task).collect()
    }
}
