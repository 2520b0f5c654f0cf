//! A server with its database, two viewers with a proxy each, and the operations of a case.

use std::sync::Arc;
use std::time::Duration;

use requery::client::Status;
use requery::protocol::{ReadModel, TaskId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::app::{App, by_engine};
use crate::screens::Screens;
use crate::store::any_text;
use crate::viewer::SETTLE_LIMIT;

/// One operation. The numbers name one of a few tasks, viewers and read models, so that operations meet.
#[derive(Clone, Debug)]
pub enum Op {
    /// Concurrent requests to the API, while the next operations run.
    Writes(Vec<Write>),
    /// Statements run by another process, in one transaction or each in its own.
    Sql {
        at_once: bool,
        statements: Vec<Sql>,
    },
    Pause(u64),
    Watch {
        viewer: usize,
        model: u8,
    },
    Unwatch {
        viewer: usize,
        model: u8,
    },
    Cut(usize),
    /// The proxy holds back all bytes for a while: connections look alive, requests hang, and streams lag.
    Stall {
        viewer: usize,
        ms: u64,
    },
    Delay {
        viewer: usize,
        ms: u64,
    },
    Restart(End),
}

/// How a server ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Stopped,
    Crashed,
}

#[derive(Clone, Debug)]
pub enum Write {
    Start { task: u8, child: bool },
    Status { task: u8, status: usize },
    Title(u8),
    Log { task: u8, event: u8 },
    Update { task: u8, event: u8 },
    Drop { task: u8, event: u8 },
    Begin(u8),
    End(u8),
    Mark(u8),
    Unmark(u8),
    Delete(u8),
    Purge,
    Hook { session: u8, hook: usize },
}

#[derive(Clone, Debug)]
pub enum Sql {
    RenameAll,
    Insert(u8),
    Replace(u8),
    Delete(u8),
    Log { task: u8, events: u32 },
    DropEvents(u8),
    Move { task: u8, parent: u8 },
    Project(u8),
    Many(u32),
    RolledBack(u8),
    Prune,
    UnknownKind,
}

/// The hooks that an agent sends, in any order.
const HOOKS: [&str; World::HOOKS] =
    ["SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PermissionRequest", "Stop", "SessionEnd"];

pub struct World {
    app: Option<App>,
    screens: Screens,
    writing: JoinSet<()>,
    probes: u32,
}

impl World {
    pub const VIEWERS: usize = 2;
    pub const TASKS: u8 = 6;
    /// The overview, the bookmarks and each task.
    pub const MODELS: u8 = 2 + Self::TASKS;
    pub const HOOKS: usize = 7;

    pub async fn new() -> Self {
        let app = App::start_with(|_| ()).await;
        let tasks: String = (0..Self::TASKS - 2).map(|task| statement(&Sql::Insert(task))).collect();
        app.sql(&tasks);
        let screens = Screens::connect(app.address).await;
        for viewer in &screens.viewers {
            (0..Self::MODELS).for_each(|model| viewer.watch(read_model(model)));
        }
        Self { app: Some(app), screens, writing: JoinSet::new(), probes: 0 }
    }

    pub async fn apply(&mut self, op: Op) {
        match op {
            Op::Writes(writes) => {
                for write in writes {
                    let rest = self.screens.rest.clone();
                    self.writing.spawn(async move {
                        let (method, path, body) = request(&write);
                        rest.write(method, &path, body).await;
                    });
                }
            }
            Op::Sql { at_once, statements } => {
                let sql: String = statements.iter().map(statement).collect();
                let begin = by_engine("begin immediate", "begin");
                let sql = if at_once { format!("{begin}; {sql} commit;") } else { sql };
                let store = self.app().store();
                tokio::task::spawn_blocking(move || store.sql(&sql)).await.unwrap();
            }
            Op::Pause(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Op::Watch { viewer, model } => self.screens.viewers[viewer].watch(read_model(model)),
            Op::Unwatch { viewer, model } => self.screens.viewers[viewer].unwatch(&read_model(model)),
            Op::Cut(viewer) => self.screens.proxies[viewer].cut(),
            Op::Stall { viewer, ms } => {
                let proxy = self.screens.proxies[viewer].clone();
                proxy.stall(true);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    proxy.stall(false);
                });
            }
            Op::Delay { viewer, ms } => self.screens.proxies[viewer].delay(Duration::from_millis(ms)),
            Op::Restart(end) => self.restart(end).await,
        }
    }

    /// Ends the server and starts it again with the same file and address.
    pub async fn restart(&mut self, end: End) {
        let app = self.app.take().unwrap();
        let address = app.address;
        let folder: Arc<TempDir> = match end {
            End::Stopped => app.stop().await,
            End::Crashed => app.crash().await,
        };
        self.app = Some(App::start_at(address, folder, |_| ()).await);
    }

    pub fn cut(&self) {
        self.screens.proxies.iter().for_each(|proxy| proxy.cut());
    }

    /// Ends all faults of the network, waits for all writes, and makes every viewer watch the bookmarks.
    pub async fn end_faults(&mut self) {
        for proxy in &self.screens.proxies {
            proxy.stall(false);
            proxy.delay(Duration::ZERO);
        }
        while let Some(written) = self.writing.join_next().await {
            written.unwrap();
        }
        self.screens.viewers.iter().for_each(|viewer| viewer.watch(ReadModel::Bookmarks));
        let (method, path, body) = request(&Write::Start { task: 0, child: false });
        assert!(self.screens.rest.write(method, &path, body).await.is_some());
    }

    pub async fn settle(&self) {
        self.screens.settle(&self.app().store()).await;
    }

    /// Saves a bookmark and waits until every viewer shows it. Then every viewer has received all earlier frames.
    pub async fn probe(&mut self) {
        self.probes += 1;
        let note = format!("probe {}", self.probes);
        let saved =
            self.screens.rest.write("PUT", "/api/v1/bookmarks", json!({ "task_id": task(0), "note": note })).await;
        assert!(matches!(saved, Some(200 | 201)), "{saved:?}");
        self.settle().await;
    }

    /// The number of requests of each viewer so far, and the number of streams that it opened.
    pub fn request_counts(&self) -> Vec<(usize, usize)> {
        self.screens.proxies.iter().map(|proxy| (proxy.requests().len(), proxy.streams())).collect()
    }

    pub fn requests_since(&self, before: &[(usize, usize)]) -> Vec<String> {
        self.screens
            .proxies
            .iter()
            .zip(before)
            .flat_map(|(proxy, (count, _))| proxy.requests().split_off(*count))
            .collect()
    }

    /// Waits until every viewer has a new stream.
    pub async fn reconnected(&self, before: &[(usize, usize)]) {
        for ((viewer, proxy), (_, streams)) in self.screens.viewers.iter().zip(&self.screens.proxies).zip(before) {
            let mut changes = viewer.client.changes();
            let connected = async {
                while proxy.streams() == *streams || viewer.client.status() != Status::Live {
                    assert!(changes.next().await);
                }
            };
            let connected = timeout(SETTLE_LIMIT, connected).await;
            assert!(connected.is_ok(), "{} is {:?}", viewer.name, viewer.client.status());
        }
    }

    pub async fn end(mut self) {
        drop(self.screens);
        self.app.take().unwrap().stop().await;
    }

    fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }
}

fn read_model(number: u8) -> ReadModel {
    match number {
        0 => ReadModel::Overview,
        1 => ReadModel::Bookmarks,
        task_number => ReadModel::Task(task(task_number - 2)),
    }
}

fn task(number: u8) -> TaskId {
    id(0, number).parse().unwrap()
}

pub fn id(kind: u16, number: u8) -> String {
    format!("0190b0a0-0000-7000-8000-{kind:04x}000000{number:02x}")
}

/// The id of an event contains the number of its task.
fn event(task: u8, event: u8) -> String {
    id(1, task * 16 + event)
}

pub fn request(write: &Write) -> (&'static str, String, Value) {
    let of = |task: u8, rest: &str| format!("/api/v1/tasks/{}{rest}", id(0, task));
    let text = || format!("at {}", fastrand::u32(..));
    let no_body = Value::Null;
    match write {
        Write::Start { task, child } => {
            // The parent of a task has a smaller number, so that no task becomes its own ancestor.
            let parent = (*child && *task > 0).then(|| id(0, task / 2));
            // A task below another one has the project of that one.
            let project = parent.is_none().then_some("p");
            let body =
                json!({ "task_id": id(0, *task), "title": text(), "project": project, "parent_task_id": parent });
            ("POST", "/api/v1/tasks".to_owned(), body)
        }
        Write::Status { task, status } => {
            let status = ["running", "waiting", "completed", "errored"][*status];
            ("PATCH", of(*task, ""), json!({ "status": status }))
        }
        Write::Title(task) => ("PATCH", of(*task, ""), json!({ "title": text() })),
        Write::Log { task, event: number } => {
            let body = json!({ "event_id": event(*task, *number), "kind": "log", "title": text() });
            ("POST", of(*task, "/events"), body)
        }
        Write::Update { task, event: number } => {
            ("PATCH", format!("/api/v1/events/{}", event(*task, *number)), json!({ "title": text() }))
        }
        Write::Drop { task, event: number } => ("DELETE", format!("/api/v1/events/{}", event(*task, *number)), no_body),
        Write::Begin(task) => ("POST", of(*task, "/sessions"), json!({ "session_id": id(2, *task) })),
        Write::End(task) => ("PATCH", format!("/api/v1/sessions/{}", id(2, *task)), json!({ "status": "completed" })),
        Write::Mark(task) => {
            let body = json!({ "bookmark_id": id(3, *task), "task_id": id(0, *task), "note": text() });
            ("PUT", "/api/v1/bookmarks".to_owned(), body)
        }
        Write::Unmark(task) => ("DELETE", format!("/api/v1/bookmarks/{}", id(3, *task)), no_body),
        Write::Delete(task) => ("DELETE", of(*task, ""), no_body),
        Write::Purge => ("POST", "/api/v1/tasks/purge".to_owned(), json!({})),
        Write::Hook { session, hook } => {
            let body = json!({
                "session_id": id(4, *session), "cwd": "/home/dev/app", "hook_event_name": HOOKS[*hook],
                "prompt": text(), "tool_name": "Bash", "tool_input": { "command": "ls" }, "tool_use_id": "toolu_1",
            });
            ("POST", "/api/v1/hooks/claude-code".to_owned(), body)
        }
    }
}

pub fn statement(sql: &Sql) -> String {
    let rows =
        |most: u32| format!("with recursive n (n) as (select 1 union all select n + 1 from n where n < {most}) ");
    match sql {
        Sql::RenameAll => format!("update tasks set title = 'renamed ' || {};", any_text()),
        Sql::Insert(task) => {
            format!("insert into tasks (id, title) values ('{}', 'by sql') on conflict do nothing;", id(0, *task))
        }
        Sql::Replace(task) => {
            let task = id(0, *task);
            let delete = by_engine("", "delete from tasks where id = 'ID';").replace("ID", &task);
            let insert = by_engine("insert or replace", "insert");
            format!("{delete} {insert} into tasks (id, title, project) values ('{task}', 'replaced', 'q');")
        }
        Sql::Delete(task) => format!("delete from tasks where id = '{}';", id(0, *task)),
        Sql::Log { task, events } => format!(
            "{}insert into events (task_id, kind, title) select id, 'log', 'entry ' || n from tasks, n where id = '{}';",
            rows(*events),
            id(0, *task)
        ),
        Sql::DropEvents(task) => format!("delete from events where task_id = '{}' and position % 2 = 1;", id(0, *task)),
        Sql::Move { task, parent } => {
            let (above, below) = (task.min(parent), task.max(parent));
            format!(
                "update tasks set parent_task_id = above.id, project = above.project
                 from tasks above where above.id = '{}' and tasks.id = '{}' and {};",
                id(0, *above),
                id(0, *below),
                above < below
            )
        }
        Sql::Project(task) => {
            let task = id(0, *task);
            format!(
                "update tasks set project = case project when 'p' then 'q' else 'p' end where id = '{task}' and parent_task_id is null;"
            )
        }
        Sql::Many(tasks) => format!("{}insert into tasks (title) select 'one of many ' || n from n;", rows(*tasks)),
        // A savepoint of Postgres stands in a transaction alone.
        Sql::RolledBack(task) => by_engine(
            "savepoint undone; delete from tasks where id = 'ID'; rollback to undone; release undone;",
            "do $$ begin delete from tasks where id = 'ID'; raise exception 'undone';
                 exception when raise_exception then null; end $$;",
        )
        .replace("ID", &id(0, *task)),
        // No program but the server prunes the log of Postgres.
        Sql::Prune => by_engine(
            "delete from changes where id < (select next from folded) and id < (select max(id) from changes);",
            "",
        )
        .to_owned(),
        Sql::UnknownKind => "insert into changes (kind, project) values ('of.tomorrow', '');".to_owned(),
    }
}
