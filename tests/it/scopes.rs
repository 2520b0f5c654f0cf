//! A caller with a scope of one project: the answer to an id is the same, whether a row of another project has it or no
//! row has it.

use requery::agent::runtime::AgentRuntime;
use requery::protocol::TaskId;
use requery::server::access::scope::Scope;
use requery::server::agents::{self, HookDelivery, HookTime, TranscriptStretch};
use requery::server::database::{Answer, Database, ReadKey, ReadTransaction, WriteTransaction};
use requery::server::error::ApiError;
use requery::server::ingest::task::{PurgeConditions, PurgeStep};
use requery::server::ingest::{self, Saved};
use requery::server::read;
use requery::server::read::{PageWindow, TimelineKey};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::store;

const NOW: i64 = 1_700_000_000_000;
const UNKNOWN: &str = "0190b0a0-0000-7000-8000-0000000000ff";

/// The ids of a task, and of a session, an event and a bookmark of it.
const OWN: [&str; 4] = [
    "0190b0a0-0000-7000-8000-0000000000a1",
    "0190b0a0-0000-7000-8000-0000000000a2",
    "0190b0a0-0000-7000-8000-0000000000a3",
    "0190b0a0-0000-7000-8000-0000000000a4",
];
/// The same in another project.
const FOREIGN: [&str; 4] = [
    "0190b0a0-0000-7000-8000-0000000000b1",
    "0190b0a0-0000-7000-8000-0000000000b2",
    "0190b0a0-0000-7000-8000-0000000000b3",
    "0190b0a0-0000-7000-8000-0000000000b4",
];
const ROWS: &str = "select id, title, project, parent_task_id, status, source, external_id from tasks order by id;
    select id, status from sessions order by id; select id, title from events order by id; select id, title from bookmarks";

struct Store {
    folder: TempDir,
    database: Database,
}

impl Store {
    async fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let database = Database::open(store::Store::of(folder.path()).location()).await.unwrap();
        let store = Self { folder, database };
        for ([task, session, event, bookmark], project) in [(OWN, "own"), (FOREIGN, "secret")] {
            store.sql(&format!(
                "insert into tasks (id, title, project) values ('{task}', '{project} task', '{project}');
                 insert into sessions (id, task_id) values ('{session}', '{task}');
                 insert into events (id, task_id, kind, title) values ('{event}', '{task}', 'log', '{project} event');
                 insert into bookmarks (id, task_id, title) values ('{bookmark}', '{task}', '{project} bookmark')"
            ));
        }
        store
    }

    fn sql(&self, sql: &str) -> String {
        store::Store::of(self.folder.path()).sql(sql)
    }

    async fn write<T>(
        &self,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, ApiError> + Clone,
    ) -> Result<T, ApiError> {
        let written = self.database.write(scope(), verbs).await?;
        Ok(written.into_parts().0)
    }

    async fn read(&self, queries: impl AsyncFnOnce(&ReadTransaction) -> Result<Value, ApiError>) -> Value {
        let queries = async |tx: &ReadTransaction| queries(tx).await.map(Some);
        let key = ReadKey::not_kept("test");
        let answer: Result<Answer, ApiError> = self.database.read(scope(), None, key, queries).await;
        serde_json::from_slice(answer.unwrap().json().unwrap()).unwrap()
    }

    /// The answer to a verb: "done", or the error without the id.
    async fn told(&self, verb: &str, id: &str) -> String {
        match self.write(async |tx| run(tx, verb, id).await).await {
            Ok(()) => "done".to_owned(),
            Err(error) => format!("{error:?}").replace(id, "ID"),
        }
    }
}

fn scope() -> Scope {
    Scope::Of("own".to_owned())
}

fn body<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// Every verb that names an existing row, with the place of its id in [`OWN`].
const NAMING: [(&str, usize); 13] = [
    ("update a task", 0),
    ("start a task below", 0),
    ("start a session", 0),
    ("log an event", 0),
    ("log events", 0),
    ("bookmark a task", 0),
    ("update a session", 1),
    ("update an event", 2),
    ("bookmark an event", 2),
    ("bookmark an event of a task", 0),
    ("delete an event", 2),
    ("delete a bookmark", 3),
    ("delete a task", 0),
];

/// Every verb that gives an id to a new row, with the place of that id.
const CREATING: [(&str, usize); 5] = [
    ("start this task", 0),
    ("start this session", 1),
    ("log this event", 2),
    ("log this event in a batch", 2),
    ("save this bookmark", 3),
];

async fn run(tx: &WriteTransaction, verb: &str, id: &str) -> Result<(), ApiError> {
    let own = || OWN[0].parse::<TaskId>().unwrap();
    match verb {
        "update a task" => ingest::task::update(tx, &id.parse().unwrap(), body(json!({"title": "t"}))).await?,
        "start a task below" => {
            ingest::task::start(tx, body(json!({"title": "t", "parent_task_id": id})), NOW).await.map(drop)?;
        }
        "start a session" => {
            ingest::session::start(tx, &id.parse().unwrap(), body(json!({})), NOW).await.map(drop)?;
        }
        "log an event" => {
            ingest::event::log(tx, &id.parse().unwrap(), body(json!({"kind": "log"})), NOW).await.map(drop)?;
        }
        "log events" => {
            ingest::event::log_all(tx, &id.parse().unwrap(), body(json!([{"kind": "log"}])), NOW).await.map(drop)?;
        }
        "bookmark a task" => ingest::bookmark::save(tx, body(json!({"task_id": id})), NOW).await.map(drop)?,
        "update a session" => {
            ingest::session::update(tx, &id.parse().unwrap(), body(json!({"status": "completed"})), NOW).await?;
        }
        "update an event" => ingest::event::update(tx, &id.parse().unwrap(), body(json!({"title": "t"}))).await?,
        "bookmark an event" => ingest::bookmark::save(tx, body(json!({"event_id": id})), NOW).await.map(drop)?,
        "bookmark an event of a task" => {
            let named = json!({"event_id": OWN[2], "task_id": id});
            ingest::bookmark::save(tx, body(named), NOW).await.map(drop)?;
        }
        "delete an event" => ingest::event::delete(tx, &id.parse().unwrap()).await?,
        "delete a bookmark" => ingest::bookmark::delete(tx, &id.parse().unwrap()).await?,
        "delete a task" => ingest::task::delete(tx, &id.parse().unwrap()).await.map(drop)?,
        "start this task" => {
            ingest::task::start(tx, body(json!({"task_id": id, "title": "t"})), NOW).await.map(drop)?;
        }
        "start this session" => {
            ingest::session::start(tx, &own(), body(json!({"session_id": id})), NOW).await.map(drop)?;
        }
        "log this event" => {
            ingest::event::log(tx, &own(), body(json!({"event_id": id, "kind": "log"})), NOW).await.map(drop)?;
        }
        "log this event in a batch" => {
            let batch = json!([{"kind": "log"}, {"event_id": id, "kind": "log"}]);
            ingest::event::log_all(tx, &own(), body(batch), NOW).await.map(drop)?;
        }
        "save this bookmark" => {
            let marked = json!({"bookmark_id": id, "event_id": OWN[2]});
            ingest::bookmark::save(tx, body(marked), NOW).await.map(drop)?;
        }
        other => panic!("{other}"),
    }
    Ok(())
}

#[tokio::test]
async fn the_list_of_projects_ends_at_the_scope() {
    let store = Store::open().await;
    let page = store.read(async |tx| Ok(json!(read::project::page(tx, &PageWindow::Newest, 9).await?))).await;
    let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|one| one["project"].as_str().unwrap()).collect();
    assert_eq!((names, &page["next"]), (vec!["own"], &Value::Null));
}

#[tokio::test]
async fn a_row_of_another_project_is_answered_as_a_row_that_does_not_exist() {
    let store = Store::open().await;
    let before = store.sql(ROWS);
    for (verb, place) in NAMING {
        let (foreign, unknown) = (store.told(verb, FOREIGN[place]).await, store.told(verb, UNKNOWN).await);
        assert_eq!(foreign, unknown, "{verb}");
        assert_ne!(foreign, "done", "{verb}");
    }
    assert_eq!(store.sql(ROWS), before);
    for (verb, place) in NAMING {
        assert_eq!(store.told(verb, OWN[place]).await, "done", "{verb}");
    }
}

/// The id is taken, and the answer tells neither the row nor its project.
#[tokio::test]
async fn a_create_with_a_taken_id_gets_one_answer_wherever_the_row_is() {
    let store = Store::open().await;
    // The ids of another task of the same project, and of its rows.
    let other = OWN.map(|id| id.replace("00a", "00c"));
    store.sql(&format!(
        "insert into tasks (id, title, project, parent_task_id) values ('{}', 'x', 'own', '{}');
         insert into sessions (id, task_id) values ('{}', '{}'); insert into events (id, task_id, kind) values ('{}', '{}', 'log');
         insert into bookmarks (id, task_id) values ('{}', '{}')",
        other[0], OWN[0], other[1], other[0], other[2], other[0], other[3], other[0],
    ));
    let before = store.sql(ROWS);
    for (verb, place) in CREATING {
        let (foreign, own) = (store.told(verb, FOREIGN[place]).await, store.told(verb, &other[place]).await);
        assert_eq!(foreign, own, "{verb}");
        let what = verb.split(' ').nth(2).unwrap();
        assert_eq!(foreign, format!("Conflict(\"the id ID cannot be used for this {what}\")"), "{verb}");
    }
    assert_eq!(store.sql(ROWS), before);
    let again = store
        .write(async |tx| Ok(ingest::task::start(tx, body(json!({"task_id": OWN[0], "title": "t"})), NOW).await?.1));
    assert_eq!(again.await.unwrap(), Saved::There);
    for (verb, _) in CREATING {
        assert_eq!(store.told(verb, UNKNOWN).await, "done", "{verb}");
    }
}

#[tokio::test]
async fn a_read_finds_no_row_of_another_project() {
    let store = Store::open().await;
    for (id, found) in [(OWN[0], true), (FOREIGN[0], false), (UNKNOWN, false)] {
        let id: TaskId = id.parse().unwrap();
        let detail = store.read(async |tx| Ok(json!(read::task::detail(tx, &id).await?.is_some()))).await;
        let window = PageWindow::<TimelineKey>::Newest;
        let page = store.read(async |tx| Ok(json!(read::timeline::page(tx, &id, &window, 9).await?.is_some()))).await;
        assert_eq!((detail, page), (json!(found), json!(found)), "{id:?}");
    }
}

#[tokio::test]
async fn a_task_begins_and_stays_in_the_project_of_the_scope() {
    let store = Store::open().await;
    let start = async |new: Value| store.write(async |tx| Ok(ingest::task::start(tx, body(new), NOW).await?.0)).await;
    let id = start(json!({"title": "no project"})).await.unwrap();
    assert_eq!(store.sql(&format!("select project from tasks where id = '{}'", id.as_str())), "own");
    let refused = |result: Result<_, ApiError>| format!("{:?}", result.map(|_: ()| ()).unwrap_err());
    for project in ["secret", "none yet", ""] {
        let started = start(json!({"title": "t", "project": project})).await.map(drop);
        let patch = body(json!({"project": project}));
        let moved = store.write(async |tx| Ok(ingest::task::update(tx, &id, patch).await?)).await;
        for told in [refused(started), refused(moved)] {
            assert!(told.contains("project") && told.contains("the caller cannot write this project"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_purge_deletes_in_the_scope_alone() {
    let store = Store::open().await;
    store.sql("update tasks set status = 'completed'");
    let purge = async |conditions: Value| {
        let conditions = PurgeConditions::read(body(conditions)).unwrap();
        let all = PurgeStep::Trees(vec![OWN[0].to_owned(), FOREIGN[0].to_owned()]);
        let found = async |tx: &ReadTransaction| Ok(json!(conditions.next_roots(tx, "").await?));
        let roots = store.read(found).await;
        let count = store.write(async |tx| Ok(conditions.purge(tx, &all, NOW).await?)).await.unwrap();
        (roots, count)
    };
    assert_eq!(purge(json!({"project": "secret"})).await, (json!([]), 0));
    assert_eq!(purge(json!({})).await, (json!([OWN[0]]), 1));
    assert_eq!(store.sql("select project from tasks"), "secret");

    let foreign = vec![FOREIGN[0].to_owned()];
    let conditions = PurgeConditions::read(body(json!({}))).unwrap();
    let part = PurgeStep::Part { root: foreign[0].clone(), ids: foreign.clone() };
    assert_eq!(store.write(async |tx| Ok(conditions.purge(tx, &part, NOW).await?)).await.unwrap(), 0);
    assert_eq!(store.write(async |tx| Ok(ingest::task::delete_part(tx, &foreign).await?)).await.unwrap(), 0);
    assert_eq!(store.sql("select project from tasks"), "secret");
}

/// The folder of the agent names another project, which already has a task of this session.
#[tokio::test]
async fn hooks_and_transcripts_write_in_the_scope_alone() {
    let store = Store::open().await;
    let hook = async |scope: Scope| {
        let record = json!({"session_id": "s", "hook_event_name": "SessionStart", "cwd": "/home/ada/secret"});
        let delivery = HookDelivery::read(AgentRuntime::ClaudeCode, None, record.to_string().as_bytes()).unwrap();
        let take = async |tx: &WriteTransaction| {
            Ok::<_, ApiError>(agents::take_hook(tx, tx.scope(), &delivery, HookTime::Now(NOW)).await?)
        };
        store.database.write(scope, take).await.unwrap();
    };
    let import = async |scope: Scope| {
        let line = json!({
            "type": "assistant", "sessionId": "s", "uuid": "0190b0a0-0000-7000-8000-0000000000d1", "cwd": "/home/ada/secret",
            "timestamp": "2023-01-31T09:30:00.000Z", "requestId": "r",
            "message": {"id": "m", "role": "assistant", "model": "x", "content": [{"type": "text", "text": "Done."}],
                "usage": {"input_tokens": 3, "output_tokens": 2}},
        });
        let stretch = TranscriptStretch::read(line.to_string().as_bytes(), NOW).unwrap();
        let take =
            async |tx: &WriteTransaction| Ok::<_, ApiError>(agents::take_stretch(tx, tx.scope(), stretch, NOW).await?);
        store.database.write(scope, take).await.unwrap().into_parts().0.usage.answers
    };
    // The answer that the other project has is counted again: its count tells no caller of that project.
    hook(Scope::All).await;
    assert_eq!(import(Scope::All).await, 1);
    hook(scope()).await;
    assert_eq!(import(scope()).await, 1);
    assert_eq!(import(scope()).await, 0);
    let tasks = "select project, count(*) from tasks where external_id = 's' group by 1 order by 1";
    assert_eq!(store.sql(tasks), "own|1\nsecret|1");
}
