//! Under any writes, an answer from the server equals the same query in a snapshot of the same state, whether it comes
//! from memory or not. `REQUERY_CASES` sets the number of cases; the test prints its seed.

use proptest::prelude::*;
use requery::protocol::model::TaskStatus;
use requery::protocol::{Cursor, TaskId};
use requery::server::access::scope::Scope;
use requery::server::change_log::{fold, gone};
use requery::server::database::ReadTransaction;
use requery::server::read::task::TaskFilter;
use requery::server::read::{self, PageWindow};
use serde_json::{Value, json};

use super::Cached;
use crate::app::{Engine, Ws, engine};
use crate::random_cases::with_real_server;

const TASKS: u8 = 6;
const PROJECTS: [&str; 2] = ["p", "q"];
/// The rows of a page: so few that rows move from one page to the next.
const ROWS: u64 = 3;

#[derive(Clone, Debug)]
enum Op {
    /// A request to the API: its number, a task and a detail.
    Api(usize, u8, u8),
    /// A statement of another program: its number, a task and a detail.
    Sql(usize, u8, u8),
    /// The figures and the hours take in the log. No answer changes.
    Fold,
    /// The cache notes all changes so far.
    Told,
}

/// A read: the scope, the kind and the task that it names.
#[derive(Clone, Copy, Debug)]
struct Read {
    project: Option<&'static str>,
    kind: usize,
    task: u8,
}

fn op() -> impl Strategy<Value = Op> {
    let of = |kinds| (0..kinds, 0..TASKS, any::<u8>());
    prop_oneof![
        6 => of(API).prop_map(|(kind, task, detail)| Op::Api(kind, task, detail)),
        6 => of(SQL).prop_map(|(kind, task, detail)| Op::Sql(kind, task, detail)),
        1 => Just(Op::Fold),
        4 => Just(Op::Told),
    ]
}

fn one_read() -> impl Strategy<Value = Read> {
    let project = prop_oneof![Just(None), Just(Some("p")), Just(Some("q"))];
    (project, 0..READS, 0..TASKS).prop_map(|(project, kind, task)| Read { project, kind, task })
}

fn task(number: u8) -> String {
    format!("0190b0a0-0000-7000-8000-0000000000{number:02x}")
}

fn event(task: u8, number: u8) -> String {
    format!("0190b0a0-0000-7000-8000-00010000{task:02x}{:02x}", number % 4)
}

const API: usize = 15;

fn request(kind: usize, number: u8, detail: u8) -> (&'static str, String, Value) {
    let of = |rest: &str| format!("/api/v1/tasks/{}{rest}", task(number));
    let text = format!("text {detail}");
    let parent = (detail.is_multiple_of(3) && number > 0).then(|| task(number / 2));
    let project = parent.is_none().then_some(PROJECTS[usize::from(detail % 2)]);
    match kind {
        0 | 1 => {
            let body = json!({"task_id": task(number), "title": text, "parent_task_id": parent, "project": project});
            ("POST", "/api/v1/tasks".to_owned(), body)
        }
        2 => ("PATCH", of(""), json!({ "title": text })),
        3 => {
            let status = ["running", "waiting", "completed", "errored"][usize::from(detail % 4)];
            ("PATCH", of(""), json!({ "status": status }))
        }
        4 | 5 => ("POST", of("/events"), json!({"event_id": event(number, detail), "kind": "tool", "title": text})),
        6 => ("PATCH", format!("/api/v1/events/{}", event(number, detail)), json!({"title": text, "state": "running"})),
        7 => ("DELETE", format!("/api/v1/events/{}", event(number, detail)), Value::Null),
        8 => ("POST", of("/sessions"), json!({"source": "codex", "session_id": event(number + 100, detail)})),
        9 => ("PATCH", format!("/api/v1/sessions/{}", event(number + 100, detail)), json!({"status": "completed"})),
        10 => ("PUT", "/api/v1/bookmarks".to_owned(), json!({"task_id": task(number), "note": text})),
        11 => ("DELETE", of(""), Value::Null),
        12 => ("POST", "/api/v1/tasks/purge".to_owned(), json!({})),
        13 => ("PUT", "/api/v1/agents".to_owned(), json!({"source": "codex", "version": text, "hooks": detail})),
        _ => {
            let name = ["SessionStart", "UserPromptSubmit", "Stop", "PermissionRequest", "SessionEnd"];
            let body = json!({
                "session_id": format!("session {}", number % 2), "cwd": format!("/home/dev/{}", PROJECTS[usize::from(number % 2)]),
                "hook_event_name": name[usize::from(detail) % name.len()], "prompt": text, "tool_name": "Bash",
                "tool_input": {"command": "ls"},
            });
            ("POST", "/api/v1/hooks/claude-code".to_owned(), body)
        }
    }
}

const SQL: usize = 18;

fn statement(kind: usize, number: u8, detail: u8) -> String {
    let (id, other) = (task(number), task(detail % TASKS));
    let hour = i64::from(detail) * 3_600_000;
    if let (Engine::Postgres, Some(sql)) = (engine(), without_conflict_clause(kind, &id, detail)) {
        return sql;
    }
    match kind {
        0 => format!("update tasks set title = 'by sql {detail}' where id = '{id}'"),
        1 => format!("insert into tasks (id, title, project) values ('{id}', 'by sql', 'p') on conflict do nothing"),
        2 => format!("insert or replace into tasks (id, title, project) values ('{id}', 'replaced', 'q')"),
        3 => format!("delete from tasks where id = '{id}'"),
        4 => format!(
            "update or ignore tasks set project = iif(project = 'p', 'q', 'p') where id = '{id}' and parent_task_id is null"
        ),
        5 => format!(
            "update tasks set parent_task_id = above.id, project = above.project from tasks above
             where above.id = '{other}' and tasks.id = '{id}' and above.id < tasks.id"
        ),
        // Hours pass between the events.
        6 => format!(
            "insert into events (task_id, kind, created_at) select id, 'log', 1700000000000 + {hour} from tasks where id = '{id}'"
        ),
        7 => format!("delete from events where task_id = '{id}' and position % 2 = 1"),
        8 => format!(
            "update events set kind = 'tool', family = 'file', state = 'ok', metadata = '{{\"file_path\": \"f{detail}\"}}'
             where task_id = '{id}' and position % 2 = {}",
            detail % 2
        ),
        9 => format!("insert into sessions (task_id, source, host) select id, 'codex', '' from tasks where id = '{id}'"),
        10 => format!("update sessions set status = case status when 'lost' then 'running' else 'lost' end where task_id = '{id}'"),
        11 => format!("delete from sessions where task_id = '{id}'"),
        12 => format!(
            "insert or replace into usage (task_id, answer_id, model, input_tokens) select id, 'a{}', 'm', {detail}
             from tasks where id = '{id}'",
            detail % 3
        ),
        13 => format!("delete from usage where task_id = '{id}'"),
        14 => format!(
            "insert or replace into bookmarks (task_id, title) select id, 'mark {detail}' from tasks where id = '{id}'"
        ),
        15 => format!(
            "insert into agents (source, project, heard_at, version) values ('codex', '{}', {}, 'v{detail}')
             on conflict (source, host, project) do update set heard_at = excluded.heard_at, version = excluded.version",
            PROJECTS[usize::from(detail % 2)],
            60_000 * i64::from(detail)
        ),
        // The server does this in the background: a task gets its place in the indexes of the lists. No answer changes.
        16 => "update tasks set listed_at = changed_at where listed_at is null".to_owned(),
        _ => format!("delete from agents where project = '{}'", PROJECTS[usize::from(detail % 2)]),
    }
}

/// The statements with `or ignore` and `or replace` as Postgres takes them.
fn without_conflict_clause(kind: usize, id: &str, detail: u8) -> Option<String> {
    let sql = match kind {
        2 => format!(
            "delete from tasks where id = '{id}';
             insert into tasks (id, title, project) values ('{id}', 'replaced', 'q')"
        ),
        4 => format!(
            "do $$ begin
                 update tasks set project = case project when 'p' then 'q' else 'p' end
                 where id = '{id}' and parent_task_id is null;
             exception when unique_violation or check_violation then null; end $$"
        ),
        12 => format!(
            "insert into usage (task_id, answer_id, model, input_tokens) select id, 'a{}', 'm', {detail}
             from tasks where id = '{id}'
             on conflict (task_id, answer_id) do update set input_tokens = excluded.input_tokens",
            detail % 3
        ),
        14 => format!(
            "insert into bookmarks (task_id, title) select id, 'mark {detail}' from tasks where id = '{id}'
             on conflict (task_id) where event_id is null do update set title = excluded.title"
        ),
        _ => return None,
    };
    Some(sql)
}

const READS: usize = 10;

impl Read {
    fn path(self) -> String {
        let of_task = format!("/api/v1/tasks/{}", task(self.task));
        let path = match self.kind {
            0 => "/api/v1/overview?".to_owned(),
            1 => format!("/api/v1/tasks?limit={ROWS}&"),
            2 => format!("/api/v1/tasks?limit={ROWS}&status=running&"),
            3 => format!("/api/v1/tasks?limit={ROWS}&parent={}&", task(self.task)),
            4 => format!("/api/v1/projects?limit={ROWS}&"),
            5 => format!("{of_task}?"),
            6 => format!("{of_task}/timeline?limit={ROWS}&"),
            7 => format!("/api/v1/bookmarks?limit={ROWS}&"),
            8 => format!("/api/v1/bookmarks?limit={ROWS}&task_id={}&", task(self.task)),
            _ => "/api/v1/agents?".to_owned(),
        };
        path + &self.project.map_or_else(String::new, |project| format!("project={project}"))
    }

    /// The same read without the cache. None: 404.
    async fn direct(self, cached: &Cached) -> (Option<Value>, Cursor) {
        let scope = if self.kind == 4 { Scope::All } else { self.project.map(str::to_owned).into() };
        let tx = cached.database.snapshot(scope).await.unwrap();
        (self.value(&tx).await, tx.cursor().clone())
    }

    async fn value(self, tx: &ReadTransaction) -> Option<Value> {
        let id: TaskId = task(self.task).parse().unwrap();
        let tasks = async |status, parent| {
            let filter = TaskFilter { status, parent };
            Some(json!(read::task::page(tx, &filter, &PageWindow::Newest, ROWS).await.unwrap()))
        };
        let bookmarks = async |task: Option<&TaskId>| {
            Some(json!(read::bookmark::page(tx, task, &PageWindow::Newest, ROWS).await.unwrap()))
        };
        match self.kind {
            0 => Some(json!(read::overview::overview(tx).await.unwrap())),
            1 => tasks(None, None).await,
            2 => tasks(Some(TaskStatus::Running), None).await,
            3 => tasks(None, Some(id)).await,
            4 => Some(json!(read::project::page(tx, &PageWindow::Newest, ROWS).await.unwrap())),
            5 => read::task::detail(tx, &id).await.unwrap().map(|detail| json!(detail)),
            6 => read::timeline::page(tx, &id, &PageWindow::Newest, ROWS).await.unwrap().map(|page| json!(page)),
            7 => bookmarks(None).await,
            8 => bookmarks(Some(&id)).await,
            _ => Some(json!(read::agent::agents(tx).await.unwrap())),
        }
    }
}

/// A server, and a stream that says how far the cache has noted the log.
struct World {
    cached: Cached,
    ws: Ws,
    told: Cursor,
}

impl World {
    async fn new(read_cache: u64) -> Self {
        let cached = Cached::start_with(|config| config.read_cache = read_cache).await;
        let ws = cached.ws().await;
        let told = cached.database.snapshot(Scope::All).await.unwrap().cursor().clone();
        Self { cached, ws, told }
    }

    async fn apply(&mut self, op: &Op) {
        match *op {
            Op::Api(kind, task, detail) => {
                let (method, path, body) = request(kind, task, detail);
                let request =
                    self.cached.http.request(method.parse().unwrap(), format!("http://{}{path}", self.cached.address));
                let answer =
                    request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
                // The task can be absent, and a move can be refused.
                assert!(answer.status().as_u16() < 500, "{op:?}: {}", answer.status());
            }
            Op::Sql(kind, task, detail) => {
                self.cached.sql(&statement(kind, task, detail)).await;
            }
            Op::Fold => {
                let folded = fold::fold_all(&self.cached.database).await;
                // The job of the server can fold the same part first.
                assert!(folded.is_ok() || matches!(folded, Err(requery::server::database::DatabaseError::Busy)));
                gone::forget_gone_projects(&self.cached.database).await.unwrap();
            }
            Op::Told => {
                let now = self.cached.database.snapshot(Scope::All).await.unwrap().cursor().clone();
                while !self.told.covers(&now) {
                    self.told = self.ws.frame().await["cursor"].as_str().unwrap().parse().unwrap();
                }
            }
        }
    }

    async fn check(&self, read: Read) {
        let (direct, at) = read.direct(&self.cached).await;
        // The second answer is mostly one from memory.
        for _ in 0..2 {
            let got = self.cached.get(&read.path(), &[]).await;
            assert!(got.cursor().covers(&at), "{}: {} does not cover {at}", read.path(), got.cursor());
            let found = (got.status == 200).then(|| got.json());
            assert_eq!((got.status == 404 || found.is_some(), &found), (true, &direct), "{}", read.path());
        }
    }
}

proptest! {
    #![proptest_config(with_real_server(8, 40))]

    #[test]
    fn an_answer_of_the_server_equals_the_query_in_a_snapshot(
        read_cache in prop_oneof![Just(4_u64 << 10), Just(64 << 20)],
        steps in prop::collection::vec((op(), prop::collection::vec(one_read(), 4..16)), 10..40),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(read_cache).await;
            for (op, reads) in steps {
                world.apply(&op).await;
                for read in reads {
                    world.check(read).await;
                }
            }
            world.cached.stop().await;
        });
    }
}
