//! The coding agents as a read model: each change of the list sends a notice, and hooks alone send few of them.

use std::collections::BTreeSet;

use requery::agent::runtime::AgentRuntime;
use requery::server::access::scope::Scope;
use requery::server::agents::{self, HookDelivery, HookTime};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement, TransactionTrait};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{START, Store};
use crate::app::{App, PATIENCE, Ws, by_engine};
use crate::rest::Client;

const MINUTE: i64 = 60_000;

fn hook(session: &str, hook: &str, cwd: &str) -> Value {
    json!({"session_id": session, "hook_event_name": hook, "cwd": cwd, "prompt": "p", "tool_use_id": "t",
        "tool_name": "Bash", "tool_input": {"command": "make"}, "tool_response": "ok"})
}

async fn deliver(store: &Store, host: &str, body: &Value, time: HookTime) {
    let delivery = HookDelivery::read(AgentRuntime::Codex, None, body.to_string().as_bytes()).expect("a record");
    let tx = store.db.begin().await.expect("a transaction");
    agents::take_hook(&tx, &Scope::All, &delivery.on(Some(host)), time).await.expect("taken");
    tx.commit().await.expect("committed");
}

async fn texts(db: &DatabaseConnection, sql: &str) -> Vec<String> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.expect("rows");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a text")).collect()
}

async fn notices(store: &Store) -> Vec<String> {
    let told = "select kind || ' ' || object_id || ' ' || project from changes where kind glob 'agent.*' order by id";
    texts(&store.db, told).await
}

/// The rate of the notices has the minute as its bound, however many sessions and hooks an agent has.
#[tokio::test]
async fn the_hooks_of_a_minute_send_one_notice() {
    let store = Store::open().await;
    let begin = START - START % MINUTE;
    for at in (0..MINUTE).step_by(1_000) {
        for session in ["one", "two", "three"] {
            deliver(&store, "north", &hook(session, "PreToolUse", "/home/dev/shop"), HookTime::Now(begin + at)).await;
        }
    }
    assert_eq!(notices(&store).await, ["agent.registered codex shop"]);
    for at in (MINUTE..3 * MINUTE).step_by(1_000) {
        for session in ["one", "two", "three"] {
            deliver(&store, "north", &hook(session, "PostToolUse", "/home/dev/shop"), HookTime::Now(begin + at)).await;
        }
    }
    let changed = "agent.changed codex shop";
    assert_eq!(notices(&store).await, ["agent.registered codex shop", changed, changed]);
    let heard = "select source || ' ' || host || ' ' || project || ' ' || heard_at from agents";
    assert_eq!(texts(&store.db, heard).await, [format!("codex north shop {}", begin + 2 * MINUTE)]);
}

/// A late record tells of an earlier minute, which is no change.
#[tokio::test]
async fn a_late_record_does_not_move_the_minute_back() {
    let store = Store::open().await;
    let prompt = hook("one", "UserPromptSubmit", "/home/dev/shop");
    deliver(&store, "north", &prompt, HookTime::Now(START)).await;
    deliver(&store, "north", &prompt, HookTime::Late(START - 5 * MINUTE)).await;
    let other = hook("two", "UserPromptSubmit", "/home/dev/shop");
    deliver(&store, "north", &other, HookTime::Late(START - 5 * MINUTE)).await;
    assert_eq!(notices(&store).await, ["agent.registered codex shop"]);
    assert_eq!(
        texts(&store.db, "select cast(heard_at as text) from agents").await,
        [(START - START % MINUTE).to_string()]
    );
}

/// A machine, and a project, in which the agent was not heard before.
#[tokio::test]
async fn another_machine_and_another_project_register_the_agent_again() {
    let store = Store::open().await;
    for (session, host, folder) in
        [("one", "north", "shop"), ("two", "south", "shop"), ("three", "north", "site"), ("four", "", "site")]
    {
        let begun = hook(session, "UserPromptSubmit", &format!("/home/dev/{folder}"));
        deliver(&store, host, &begun, HookTime::Now(START)).await;
    }
    // The name of a machine is a hint: a name that is too long is left out.
    let begun = hook("five", "UserPromptSubmit", "/home/dev/site");
    deliver(&store, &"ö".repeat(65), &begun, HookTime::Now(START)).await;
    deliver(&store, &"ö".repeat(64), &begun, HookTime::Now(START + MINUTE)).await;
    let rows = texts(&store.db, "select host || ' ' || project from agents order by host, project").await;
    assert_eq!(rows, [" site", "north shop", "north site", "south shop", &format!("{} site", "ö".repeat(64))]);
    let registered: Vec<_> =
        notices(&store).await.into_iter().filter(|line| line.starts_with("agent.registered")).collect();
    assert_eq!(registered.len(), 5, "{registered:?}");
}

/// The kinds of the frames before a purge, which the test writes last.
async fn kinds_until_purge(ws: &mut Ws) -> BTreeSet<String> {
    let mut kinds = BTreeSet::new();
    let told = async {
        loop {
            let frame = ws.frame().await;
            match frame["type"].as_str() {
                Some("tasks.purged") => return,
                Some(kind) => kinds.insert(kind.to_owned()),
                None => panic!("{frame}"),
            };
        }
    };
    timeout(PATIENCE, told).await.expect("a notice in time");
    kinds
}

/// The list of all agents, and the list of one project.
async fn lists(client: &Client) -> (Value, Value) {
    let all = client.get("/api/v1/agents").await.at("/items");
    (all, client.get("/api/v1/agents?project=shop").await.at("/items"))
}

/// Each write that changes a list sends a notice that makes `agents` stale, also in the stream of the project.
#[tokio::test]
async fn each_change_of_the_list_of_agents_sends_a_notice() {
    let app = App::start().await;
    let client = Client::of(&app);
    let invalidation: Value =
        serde_json::from_str(include_str!("../../../openapi/invalidation.json")).expect("invalidation.json");
    let stale = |kinds: &BTreeSet<String>| {
        kinds.iter().any(|kind| invalidation["notices"][kind].as_array().expect("a kind").contains(&json!("agents")))
    };
    let (mut ws, mut of_project) = (app.ws("").await, app.ws("?project=shop").await);
    for ws in [&mut ws, &mut of_project] {
        assert_eq!(ws.frame().await["type"], "snapshot");
    }
    let host = [("requery-host", "north".to_owned())];
    let begun = hook("one", "UserPromptSubmit", "/home/dev/shop").to_string();
    let elsewhere = hook("two", "UserPromptSubmit", "/home/dev/site").to_string();
    let ended = hook("one", "SessionEnd", "/home/dev/shop").to_string();
    let installed =
        |version: &str| json!({"source": "codex", "host": "north", "version": version, "hooks": 9}).to_string();
    let task = "(select id from tasks where project = 'shop' limit 1)";
    let running = "(select task_id from sessions where status = 'running')";
    let sql = |sql: String| ("SQL", sql, String::new());
    let mut before = lists(&client).await;
    for (method, path, body) in [
        ("PUT", "/api/v1/agents".to_owned(), installed("0.169.0")),
        ("POST", "/api/v1/hooks/codex".to_owned(), begun),
        ("POST", "/api/v1/hooks/codex".to_owned(), elsewhere),
        ("PUT", "/api/v1/agents".to_owned(), installed("0.170.0")),
        sql(format!("update sessions set status = 'lost' where task_id = {task}")),
        sql(format!("update sessions set status = 'running', ended_at = null where task_id = {task}")),
        sql("update tasks set project = 'shop' where project = 'site'".to_owned()),
        sql("update agents set heard_at = heard_at + 60000 where project = 'shop'".to_owned()),
        ("POST", "/api/v1/hooks/codex".to_owned(), ended),
        sql(format!("update tasks set project = 'site' where id = {running}")),
        // The `sqlite3` program enforces no foreign keys, so the sessions of a replaced task stay.
        sql(by_engine(
            format!("replace into tasks (id, title, project) select id, title, 'shop' from tasks where id = {running}"),
            format!("update tasks set project = 'shop' where id = {running}"),
        )),
        sql("delete from sessions where status = 'running'".to_owned()),
        sql(format!("insert into sessions (task_id, source, host) values ({task}, 'codex', 'north')")),
        sql(format!("delete from tasks where id = {task}")),
        sql("delete from agents where project = 'shop'".to_owned()),
    ] {
        let write = format!("{method} {path} {body}");
        match method {
            "SQL" => drop(app.sql_seen(&path)),
            _ => assert_eq!(client.send(method, &path, Some(body), &host).await.status, 204, "{write}"),
        }
        let after = lists(&client).await;
        app.sql_seen("insert into purges (project, count) values ('shop', 7)");
        let (all, one) = (kinds_until_purge(&mut ws).await, kinds_until_purge(&mut of_project).await);
        if after.0 != before.0 {
            assert!(stale(&all), "{write}: {all:?}");
        }
        if after.1 != before.1 {
            assert!(stale(&one), "{write}: {one:?}");
        }
        assert_ne!(after, before, "{write} changes a list");
        before = after;
    }
}

#[tokio::test]
async fn the_list_says_which_agents_work_where() {
    let app = App::start().await;
    let client = Client::of(&app);
    let put = async |body: Value| client.put("/api/v1/agents", body).await.status;
    assert_eq!(put(json!({"source": "claude-code", "host": "north", "version": "2.1.332", "hooks": 26})).await, 204);
    assert_eq!(client.get("/api/v1/agents?project=shop").await.at("/items"), json!([]));
    for (session, folder, host) in [("one", "shop", "north"), ("two", "shop", "north"), ("three", "site", "south")] {
        let body = hook(session, "UserPromptSubmit", &format!("/home/dev/{folder}")).to_string();
        let header = [("requery-host", host.to_owned())];
        assert_eq!(client.send("POST", "/api/v1/hooks/claude-code", Some(body), &header).await.status, 204);
    }
    let list = |path: String| {
        let client = &client;
        async move {
            let items = client.get(&path).await.at("/items");
            let items = items.as_array().expect("a list").iter().map(|item| {
                assert_eq!(item["heard_at"].as_str().expect("a time").get(17..), Some("00.000Z"), "{item}");
                format!("{} {} {} {}", item["host"], item["version"], item["hooks"], item["running"])
            });
            let mut lines: Vec<String> = items.collect();
            lines.sort();
            lines
        }
    };
    let north = r#""north" "2.1.332" 26 2"#;
    assert_eq!(list("/api/v1/agents".to_owned()).await, [north, r#""south" null null 1"#]);
    assert_eq!(list("/api/v1/agents?project=shop".to_owned()).await, [north]);
    assert_eq!(list("/api/v1/agents?project=site".to_owned()).await, [r#""south" null null 1"#]);
    // The older list of the hooks has the same minutes.
    let heard = client.get("/api/v1/hooks").await.at("/agents/0");
    let newest = client.get("/api/v1/agents").await.at("/items/0/heard_at");
    assert_eq!(heard, json!({"agent": "claude-code", "heard_at": newest}));
}

#[tokio::test]
async fn an_agent_with_an_odd_name_is_refused() {
    let app = App::start().await;
    let client = Client::of(&app);
    for source in ["", "\0x", "Claude", "a b", &"x".repeat(65)] {
        let answer = client.put("/api/v1/agents", json!({"source": source, "host": "north"})).await;
        assert_eq!(answer.problem(), "422 source", "{source:?}");
    }
}
