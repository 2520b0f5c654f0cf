//! Hook records become tasks, sessions and events.
//!
//! The tests store recordings of agents record by record. `figures.json` has the expected rows, and the records
//! after which the status of a task changed. `hostile.jsonl` has bodies that no client sends on purpose: each is stored
//! whole or leaves no row.

mod agents;
mod bodies;
mod client_words;
mod details;
mod hostile;
mod moments;
mod orders;
mod other_agents;
mod pictures;
mod replays;
mod sentences;
mod siblings;
mod silence;
mod statements;
mod truth;
mod words;
mod work;

use std::collections::BTreeMap;
use std::path::Path;

use requery::agent::hook_catalogue::{HookName, PairedRow, Registration, RowEffect, StatusEffect};
use requery::agent::runtime::AgentRuntime;
use requery::server::access::scope::Scope;
use requery::server::agents::{HookDelivery, HookError, HookTime, take_hook};
use requery_entities::{event, session, task};
use sea_orm::{
    ColumnTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, TransactionTrait,
};
use serde_json::{Value, json};

use crate::app::by_engine;
use crate::store;

/// The page with the table of hooks.
const MANUAL: &str = "docs/hooks.md";

/// 2026-01-31T09:30:00Z.
const START: i64 = 1_769_851_800_000;

/// Stores each recording twice. The second pass adds no row whose id comes from the agent.
#[tokio::test]
async fn the_recordings_give_their_figures() {
    let expected: Vec<Value> = serde_json::from_str(&read("figures.json")).expect("figures");
    assert_eq!(expected.len(), replays::RECORDINGS.len());
    for ((file, source), expected) in replays::RECORDINGS.into_iter().zip(expected) {
        let store = Store::open().await;
        let mut status_moves: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let records = replays::records(file);
        for (at, (at_ms, body)) in records.iter().enumerate() {
            store.take_at(source, body.to_string().as_bytes(), START + at_ms).await.expect("taken");
            let session_id = body["session_id"].as_str().expect("a session").to_owned();
            let task = store.task(&session_id).await.expect("its task");
            let before = status_moves.entry(session_id).or_default();
            if before.last().is_none_or(|last| last[2] != *task.status) {
                before.push(json!([at + 1, body["hook_event_name"], *task.status]));
                assert_eq!(task.status_since, START + at_ms, "{file} line {}", at + 1);
            }
        }
        let figures = figures(&store, file, &records, &status_moves).await;
        replays::assert_same(&figures, &expected, file);

        let once = store.counts_of_own_ids().await;
        for (_, body) in &records {
            store.take(source, body.to_string().as_bytes()).await.expect("taken again");
        }
        assert_eq!(store.counts_of_own_ids().await, once, "{file}: a second pass added rows");
    }
}

/// The figures of a recording: of the whole, and of each task.
async fn figures(
    store: &Store,
    file: &str,
    records: &[(i64, Value)],
    status_moves: &BTreeMap<String, Vec<Value>>,
) -> Value {
    store.count_events().await;
    let tasks = task::Entity::find().all(&store.db).await.expect("tasks");
    let rows = store.events().await;
    let runs = session::Entity::find().order_by_asc(session::Column::StartedAt).all(&store.db).await.expect("runs");
    let tools: Vec<_> = rows.iter().filter(|row| row.kind == "tool").collect();
    let text = |body: &Value, field: &str| body[field].as_str().expect("a text").to_owned();
    let mut sessions: Vec<String> = Vec::new();
    for (_, body) in records {
        let session = text(body, "session_id");
        if !sessions.contains(&session) {
            sessions.push(session);
        }
    }
    let of_tasks = sessions.iter().map(|id| {
        let task = tasks.iter().find(|task| task.external_id.as_deref() == Some(id)).expect("its task");
        let runs: Vec<_> = runs.iter().filter(|run| run.task_id == task.id).collect();
        let rows: Vec<_> = rows.iter().filter(|row| row.task_id == task.id).collect();
        assert_eq!(task.event_count, rows.len() as i64, "{file} {id}");
        let mut figures = figures_of_task(task, &runs, &rows);
        figures["records"] = json!(records.iter().filter(|(_, body)| body["session_id"] == **id).count());
        figures["status_moves"] = json!(status_moves[id]);
        figures
    });
    json!({
        "file": file,
        "records": records.len(),
        "records_per_hook": count(records.iter().map(|(_, body)| text(body, "hook_event_name"))),
        "tasks_total": tasks.len(),
        "tasks_per_status": count(tasks.iter().map(|task| task.status.to_string())),
        "runs_total": runs.len(),
        "rows_total": rows.len(),
        "rows_per_kind": count(rows.iter().map(|row| row.kind.to_string())),
        "tool_rows_per_state": count(tools.iter().filter_map(|row| row.state.as_deref().map(str::to_owned))),
        "tool_rows_per_family": count(tools.iter().filter_map(|row| row.family.as_deref().map(str::to_owned))),
        "tool_rows_per_name": count(tools.iter().filter_map(|row| Some(metadata(row)["tool"].as_str()?.to_owned()))),
        "tasks": of_tasks.collect::<Vec<_>>(),
    })
}

fn figures_of_task(task: &task::Model, runs: &[&session::Model], rows: &[&event::Model]) -> Value {
    let of = |kind: &'static str| rows.iter().filter(move |row| row.kind == kind);
    let part =
        |row: &&&event::Model| row.external_id.as_deref().unwrap_or_default().split_once(':').map(|p| p.1.to_owned());
    let runs = runs.iter().map(|run| {
        let started = of("session.started").any(|row| row.session_id.as_deref() == Some(&run.id));
        let ended = if run.status == "lost" { Some("lost") } else { run.summary.as_deref() };
        assert_eq!(run.ended_at.is_some(), run.status != "running");
        json!([if started { "SessionStart" } else { "implied" }, ended])
    });
    let unfinished = of("tool").filter(|row| !matches!(row.state.as_deref(), Some("ok" | "failed")));
    let word = |row: &event::Model, done: &str, open: &str| match row.state.as_deref() {
        Some("ok") => done.to_owned(),
        Some("running") => open.to_owned(),
        other => other.unwrap_or_default().to_owned(),
    };
    json!({
        "session_id": task.external_id.as_deref(),
        "title": *task.title,
        "project": *task.project,
        "workspace": task.workspace.as_deref(),
        "status": *task.status,
        "status_reason": task.status_reason.as_deref(),
        "runs": runs.collect::<Vec<_>>(),
        "rows_per_kind": count(rows.iter().map(|row| row.kind.to_string())),
        "tool_states": count(of("tool").filter_map(|row| row.state.as_deref().map(str::to_owned))),
        "tools_not_finished": sorted(unfinished.map(|row| json!([part(&row), metadata(row)["tool"], row.state.as_deref()]))),
        "subagents": sorted(of("subagent")
            .map(|row| json!([part(&row), metadata(row)["agent_type"].as_str().unwrap_or(""), word(row, "finished", "running")]))),
        "todos": sorted(of("todo").map(|row| json!([part(&row), word(row, "completed", "open")]))),
    })
}

fn metadata(row: &event::Model) -> Value {
    row.metadata.as_deref().map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"))
}

fn count(words: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    words.fold(BTreeMap::new(), |mut counts, word| {
        *counts.entry(word).or_default() += 1;
        counts
    })
}

fn sorted(rows: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(Value::to_string);
    rows
}

fn read(file: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let is_there = |folder: &&str| fixtures.join(folder).join(file).exists();
    let folder = ["hooks", "real"].into_iter().find(is_there).unwrap_or_else(|| panic!("{file} is in no folder"));
    let path = fixtures.join(folder).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A database in a folder of its own.
struct Store {
    db: DatabaseConnection,
    folder: tempfile::TempDir,
}

impl Store {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Self::connect(folder.path()).await;
        requery_migrations::migrate(&db).await.expect("a schema");
        Self { db, folder }
    }

    /// The same file on a new connection, as after a restart of the server.
    async fn reopen(self) -> Self {
        self.db.close().await.expect("closed");
        let db = Self::connect(self.folder.path()).await;
        Self { db, ..self }
    }

    async fn connect(folder: &Path) -> DatabaseConnection {
        let url = match store::Store::of(folder) {
            store::Store::File(path) => format!("sqlite://{}?mode=rwc", path.display()),
            store::Store::Postgres(database) => database.url,
        };
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false).set_schema_search_path("requery");
        options.map_sqlx_sqlite_opts(|options| options.pragma("synchronous", "off"));
        Database::connect(options).await.expect("a database")
    }

    async fn take(&self, source: AgentRuntime, body: &[u8]) -> Result<(), HookError> {
        self.take_at(source, body, START).await
    }

    async fn take_at(&self, source: AgentRuntime, body: &[u8], now_ms: i64) -> Result<(), HookError> {
        self.deliver(source, None, body, now_ms).await
    }

    async fn deliver(&self, source: AgentRuntime, id: Option<&str>, body: &[u8], now_ms: i64) -> Result<(), HookError> {
        let delivery = HookDelivery::read(source, id, body)?;
        let tx = self.db.begin().await.expect("a transaction");
        take_hook(&tx, &Scope::All, &delivery, HookTime::Now(now_ms)).await.expect("taken");
        tx.commit().await.expect("committed");
        Ok(())
    }

    async fn task(&self, session_id: &str) -> Option<task::Model> {
        task::Entity::find().filter(task::Column::ExternalId.eq(session_id)).one(&self.db).await.expect("a query")
    }

    /// Counts the events of each task into its row.
    async fn count_events(&self) {
        // On Postgres the server adds them up.
        let sql = by_engine(
            "update tasks set counted_to = counted_to",
            "update tasks set event_count = task_counts.event_count from task_counts where task_counts.id = tasks.id",
        );
        self.db.execute_unprepared(sql).await.expect("counted");
    }

    async fn events(&self) -> Vec<event::Model> {
        event::Entity::find().order_by_asc(event::Column::Position).all(&self.db).await.expect("events")
    }

    async fn counts(&self) -> (u64, u64, u64) {
        let tasks = task::Entity::find().count(&self.db).await.expect("a count");
        let events = event::Entity::find().count(&self.db).await.expect("a count");
        (tasks, session::Entity::find().count(&self.db).await.expect("a count"), events)
    }

    /// The number of tasks, and the numbers of rows of the kinds whose ids come from the agent.
    async fn counts_of_own_ids(&self) -> (u64, BTreeMap<String, u64>) {
        let rows = self.events().await.into_iter().map(|row| String::from(row.kind));
        (self.counts().await.0, count(rows.filter(|kind| matches!(kind.as_str(), "tool" | "subagent" | "todo"))))
    }
}

#[tokio::test]
async fn a_delivery_is_stored_once() {
    let store = Store::open().await;
    let prompt = br#"{"session_id":"s","hook_event_name":"UserPromptSubmit","cwd":"/home/dev/shop","prompt":"hello"}"#;
    let id = "0190b0a0-0000-7000-8000-00000000000f";
    for delivery in [id, id, "0190B0A0-0000-7000-8000-00000000000F"] {
        store.deliver(AgentRuntime::ClaudeCode, Some(delivery), prompt, START).await.expect("taken");
    }
    assert_eq!(store.counts().await, (1, 1, 1));
    store
        .deliver(AgentRuntime::ClaudeCode, Some("0190b0a0-0000-7000-8000-000000000010"), prompt, START)
        .await
        .expect("taken");
    assert_eq!(store.counts().await, (1, 1, 2));
    let refused = store.deliver(AgentRuntime::ClaudeCode, Some("again"), prompt, START).await.expect_err("refused");
    assert_eq!(refused.to_string(), "Requery-Delivery: is not a UUID");
    // A refused body leaves its delivery id unused.
    let fresh = Some("0190b0a0-0000-7000-8000-000000000011");
    store.deliver(AgentRuntime::ClaudeCode, fresh, b"{}", START).await.expect_err("refused");
    store.deliver(AgentRuntime::ClaudeCode, fresh, prompt, START).await.expect("taken");
    assert_eq!(store.counts().await, (1, 1, 3));
}

/// Every record repeats the title of the session. While that title is the same, an edited title stays. A new title of
/// the session replaces it.
#[tokio::test]
async fn an_edited_title_stays_until_the_session_is_renamed() {
    let store = Store::open().await;
    let named = async |hook: &str, title: &str| {
        let record = json!({"session_id": "s", "hook_event_name": hook, "session_title": title, "prompt": "p"});
        store.take(AgentRuntime::ClaudeCode, record.to_string().as_bytes()).await.expect("taken");
        store.task("s").await.expect("its task").title
    };
    assert_eq!(named("SessionStart", "first").await, "first");
    store.db.execute_unprepared("update tasks set title = 'mine'").await.expect("written");
    assert_eq!(named("UserPromptSubmit", "first").await, "mine");
    assert_eq!(named("Stop", "second").await, "second");
}

#[tokio::test]
async fn one_session_id_in_two_runtimes_makes_two_tasks() {
    let store = Store::open().await;
    let prompt = br#"{"session_id":"s","hook_event_name":"UserPromptSubmit","cwd":"/home/dev/shop","prompt":"hello"}"#;
    store.take(AgentRuntime::ClaudeCode, prompt).await.expect("taken");
    store.take(AgentRuntime::Codex, prompt).await.expect("taken");
    assert_eq!(store.counts().await, (2, 2, 2));
}

#[tokio::test]
async fn hostile_bodies_are_stored_whole_or_not_at_all() {
    let store = Store::open().await;
    for (at, line) in read("hostile.jsonl").lines().enumerate() {
        let line: Value = serde_json::from_str(line).expect("a line");
        let raw = line["raw"].as_str().expect("a body");
        let body = match line["encoding"].as_str() {
            Some("latin1") => raw.chars().map(|c| u8::try_from(u32::from(c)).expect("one byte")).collect(),
            _ => raw.as_bytes().to_vec(),
        };
        let expect = line["expect"].as_str().expect("an expectation");
        check_hostile(&store, at, &line["why"].to_string(), &body, expect).await;
    }
    let with = |fields: &str| format!(r#"{{"session_id":"big","cwd":"/home/dev/x",{fields}}}"#);
    let keys: Vec<_> = (0..5000).map(|at| format!(r#""k{at}":{at}"#)).collect();
    let huge = [
        (
            "a long prompt",
            with(&format!(r#""hook_event_name":"UserPromptSubmit","prompt":"{}""#, "A".repeat(1_000_000))),
        ),
        (
            "a long emoji prompt",
            with(&format!(r#""hook_event_name":"UserPromptSubmit","prompt":"{}""#, "🐦".repeat(100_000))),
        ),
        ("a long name", with(&format!(r#""hook_event_name":"{}""#, "E".repeat(65_536)))),
        ("many keys", with(&format!(r#""hook_event_name":"PreToolUse","tool_input":{{{}}}"#, keys.join(",")))),
        ("a long id", format!(r#"{{"session_id":"{}","hook_event_name":"Stop"}}"#, "s".repeat(100_000))),
        (
            "long everything",
            with(&format!(
                r#""hook_event_name":"PostToolUse","tool_use_id":"t","tool_name":"{0}","reason":"{0}","tool_input":{{"command":"{0}","file_path":"{0}","description":"{0}"}},"agent_type":"{0}","tool_response":"{0}""#,
                "x".repeat(300_000)
            )),
        ),
        ("deep objects", "{\"a\":".repeat(10_000)),
        ("deep arrays", with(&format!(r#""hook_event_name":"PostToolUse","tool_response":{}"#, "[".repeat(10_000)))),
    ];
    for (at, (why, body)) in huge.iter().enumerate() {
        check_hostile(&store, at, why, body.as_bytes(), "either").await;
    }
    for row in store.events().await {
        assert!(row.title.chars().count() <= 500, "{}", row.title);
        assert!(row.metadata.is_none_or(|metadata| metadata.len() <= 64 * 1024), "{}", row.title);
    }
}

async fn check_hostile(store: &Store, at: usize, why: &str, body: &[u8], expect: &str) {
    let before = store.counts().await;
    let taken = store.take(AgentRuntime::ClaudeCode, body).await;
    let after = store.counts().await;
    match (&taken, expect) {
        (Ok(()), "ingest") => assert_eq!((after.0, after.1), (before.0 + 1, before.1 + 1), "{why}"),
        (Ok(()), "either") => {}
        (Err(_), "either" | "no_rows") => assert_eq!(after, before, "{why}"),
        (_, _) => panic!("{why}: expected {expect}, was {taken:?}"),
    }
    let valid =
        json!({"session_id": format!("valid {at} {why}"), "hook_event_name": "UserPromptSubmit", "prompt": "p"});
    store.take(AgentRuntime::ClaudeCode, valid.to_string().as_bytes()).await.expect("a valid body is taken as usual");
    assert_eq!(store.counts().await, (after.0 + 1, after.1 + 1, after.2 + 1), "{why}");
}

/// A record without new content logs no change.
#[tokio::test]
async fn a_repeated_record_logs_no_change() {
    let store = Store::open().await;
    let record = |hook: &str| {
        json!({"session_id": "s", "hook_event_name": hook, "cwd": "/home/dev/shop", "tool_use_id": "t",
            "tool_name": "Bash", "tool_input": {"command": "cargo test"}, "tool_response": {"stdout": "ok"}})
        .to_string()
    };
    for hook in ["PreToolUse", "PostToolUse"] {
        store.take(AgentRuntime::ClaudeCode, record(hook).as_bytes()).await.expect("taken");
    }
    let changes = || async {
        use sea_orm::PaginatorTrait as _;
        requery_entities::change::Entity::find().count(&store.db).await.expect("a count")
    };
    let before = changes().await;
    for hook in ["PostToolUse", "PreToolUse", "PostToolUseFailure"] {
        store.take(AgentRuntime::ClaudeCode, record(hook).as_bytes()).await.expect("taken");
    }
    assert_eq!(changes().await, before);
    let row = store.events().await.remove(0);
    assert_eq!(
        (row.title.as_str(), row.state.as_deref(), row.body.as_deref()),
        ("Bash: cargo test", Some("ok"), Some("ok"))
    );
    assert_eq!(metadata(&row)["command_class"], "test");
}

/// The words of the manual for the registration of a hook.
fn registration(registration: Registration) -> String {
    let text = |[major, minor, patch]: [u32; 3]| format!("{major}.{minor}.{patch}");
    match registration {
        Registration::Since([0, 0, 0]) => "every version".to_owned(),
        Registration::Since(version) => format!("from {}", text(version)),
        Registration::Never(version, reason) => format!("never (known from {}): {reason}", text(version)),
        Registration::Absent => "no such hook".to_owned(),
    }
}

/// The tables of hooks in the manual name each hook of the catalogue with its registration, its row and the status of
/// the task after it, and name no other hook.
#[test]
fn the_manual_and_the_catalogue_agree() {
    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(MANUAL)).expect("the manual");
    let table: Vec<[&str; 3]> = manual
        .lines()
        .skip_while(|line| *line != "| hook | row | status |")
        .skip(2)
        .map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect::<Vec<_>>().try_into().ok())
        .collect();
    for hook in HookName::ALL {
        let entry = hook.entry();
        let name = format!("`{}`", hook.as_str());
        let rows: Vec<_> = table.iter().filter(|[hooks, ..]| hooks.contains(&name)).collect();
        let rows_say = |word: &str| rows.iter().any(|[_, row, _]| row.contains(word));
        let status_says = |word: &str| rows.iter().any(|[.., status]| status.contains(word));
        assert!(!rows.is_empty(), "{MANUAL} does not have {name}");
        let kind = match entry.row {
            RowEffect::None => "none".to_owned(),
            _ => format!("`{}`", entry.event_kind),
        };
        let is_same =
            matches!(entry.row, RowEffect::End(..)) && (rows_say("the same row") || rows_say("the tool's row"));
        assert!(rows_say(&kind) || is_same, "{name} writes {kind}: {rows:?}");
        let statuses: &[&str] = match entry.status {
            StatusEffect::Unchanged if matches!(entry.row, RowEffect::Begin(PairedRow::Subagent)) => &[],
            StatusEffect::Unchanged => &["as it was"],
            StatusEffect::SessionStarts => &["waiting: *ready*"],
            StatusEffect::SessionEnds => &["completed"],
            StatusEffect::TurnStarts => &["running"],
            StatusEffect::TurnEnds => &["waiting: *finished*", "running", "waiting: *scheduled*"],
            StatusEffect::TurnFails => &["errored"],
            StatusEffect::ToolCallStarts => &["running", "waiting: *question*"],
            StatusEffect::ToolCallEnds => &["answered"],
            StatusEffect::PermissionAsked => &["waiting: *permission*"],
            StatusEffect::QuestionAsked | StatusEffect::QuestionAnswered => {
                &["waiting: *question*", "until the result"]
            }
            StatusEffect::Notified => &["*permission*", "*question*", "*idle*"],
            StatusEffect::SubagentEnds => &["the requests of the subagent end"],
            StatusEffect::ToolCallsEnd => &["requests for these calls count as answered"],
            StatusEffect::Interrupted => &["waiting: *interrupted*"],
            StatusEffect::ModelRequestStarts => &["running", "answered"],
            StatusEffect::ModelRequestEnds => &["errored: *model_request_failed*"],
            StatusEffect::CompactionStarts | StatusEffect::CompactionEnds => &["running", "waiting: *idle*"],
        };
        for status in statuses {
            assert!(status_says(status), "{name} leads to {status}: {rows:?}");
        }
    }
    let registered: Vec<&str> = manual
        .lines()
        .skip_while(|line| *line != "| hook | Claude Code | Codex |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let row = |hook: &HookName| {
        let [claude_code, codex] = AgentRuntime::ALL.map(|runtime| registration(hook.registration(runtime)));
        format!("| `{}` | {claude_code} | {codex} |", hook.as_str())
    };
    assert_eq!(registered, HookName::ALL.iter().map(row).collect::<Vec<_>>());
    for name in table.iter().flat_map(|[hooks, ..]| hooks.split('`').skip(1).step_by(2)) {
        assert_ne!(HookName::of(name), HookName::Unknown, "{MANUAL} has {name}, the catalogue does not");
    }
}
