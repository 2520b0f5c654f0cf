//! The writers: clients of the API, `sqlite3` as another program, and agents whose hooks are forwarded. Each writer has
//! a task of its own and numbers its writes.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use requery::protocol::Cursor;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::ledger::{Ledger, Mark, Word};
use super::server::Server;

pub const API_WRITERS: std::ops::Range<u8> = 0..3;
pub const SQL_WRITERS: std::ops::Range<u8> = 3..5;
const AGENTS: std::ops::Range<u8> = 5..7;

/// Longer than every wait of the server, so that no write commits after its writer has given it up.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Shorter than the time in which a hook has to read its input. On a busy machine a hook can miss that time, and then
/// it gives its record up, so that its agent does not wait.
const HOOK_TIME: Duration = Duration::from_millis(140);

/// The part of the world that the writers share.
pub struct Writing {
    pub url: String,
    pub database: PathBuf,
    /// The folder for the input of hooks.
    inputs: PathBuf,
    ledger: Mutex<Ledger>,
    /// Each write by the API or by a hook holds this lock for reading, so that a fault can stop them all.
    pub by_api: Arc<RwLock<()>>,
    /// The same for `sqlite3`.
    pub by_sql: Arc<RwLock<()>>,
}

impl Writing {
    pub fn new(server: &Server) -> Self {
        Self {
            url: server.url(),
            database: server.database.clone(),
            inputs: server.beside(""),
            ledger: Mutex::new(Ledger::new()),
            by_api: Arc::default(),
            by_sql: Arc::default(),
        }
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub fn start(self: &Arc<Self>, server: &Server, tasks: &mut JoinSet<()>) {
        for writer in API_WRITERS {
            tasks.spawn(write_by_api(Arc::clone(self), writer));
        }
        for writer in SQL_WRITERS {
            tasks.spawn(write_by_sql(Arc::clone(self), writer));
        }
        for agent in AGENTS {
            // A command is made anew for each hook, from this one.
            tasks.spawn(write_by_hooks(Arc::clone(self), agent, server.hook()));
        }
    }
}

pub fn task_of(writer: u8) -> String {
    format!("0190b0a0-0000-7000-8000-0000000000{writer:02x}")
}

/// The word of the write with this number: events are most frequent.
fn word(number: u64) -> Word {
    match number % 5 {
        0 => Word::Note,
        1 | 3 => Word::Title,
        _ => Word::Event,
    }
}

async fn write_by_api(writing: Arc<Writing>, writer: u8) {
    let http = reqwest::Client::builder().timeout(ANSWER_TIME).build().unwrap();
    let task = task_of(writer);
    for number in 1.. {
        let turn = writing.by_api.read().await;
        let ticket = writing.ledger().begin();
        let mut mark = Mark { word: word(number), writer, number };
        let (mut method, mut path, mut body) = match mark.word {
            Word::Title => ("PATCH", format!("/api/v1/tasks/{task}"), json!({ "title": mark.text() })),
            Word::Note => ("PUT", "/api/v1/bookmarks".to_owned(), json!({ "task_id": task, "note": mark.text() })),
            _ => {
                let body = json!({ "kind": "log", "title": mark.text(), "body": "x".repeat(1_000) });
                ("POST", format!("/api/v1/tasks/{task}/events"), body)
            }
        };
        loop {
            let request = http.request(method.parse().unwrap(), format!("{}{path}", writing.url));
            let Ok(answer) = request.header("content-type", "application/json").body(body.to_string()).send().await
            else {
                break;
            };
            let status = answer.status().as_u16();
            let cursor = answer.headers().get("requery-cursor").and_then(|cursor| cursor.to_str().ok()?.parse().ok());
            let text = answer.text().await.unwrap_or_default();
            match status {
                // The task exists already, so the title of this request was not stored.
                200 if path == "/api/v1/tasks" => {}
                200..300 => {
                    if cursor.is_none() {
                        writing.ledger().wrong.push(format!("{method} {path}: {status} without a cursor"));
                    }
                    writing.ledger().acknowledge(ticket, mark, cursor);
                    writing.ledger().acknowledged_by_api += 1;
                }
                503 => writing.ledger().refused += 1,
                // A restored copy can be older than the task.
                404 | 422 if path != "/api/v1/tasks" => {
                    mark.word = Word::Title;
                    (method, path) = ("POST", "/api/v1/tasks".to_owned());
                    body = json!({ "task_id": task, "title": mark.text(), "project": "p" });
                    continue;
                }
                _ => writing.ledger().wrong.push(format!("{method} {path}: {status} {text}")),
            }
            break;
        }
        writing.ledger().attempts += 1;
        drop(turn);
        sleep(Duration::from_millis(fastrand::u64(5..30))).await;
    }
}

async fn write_by_sql(writing: Arc<Writing>, writer: u8) {
    let task = task_of(writer);
    for number in 1.. {
        let turn = writing.by_sql.read().await;
        let ticket = writing.ledger().begin();
        let mark = Mark { word: word(number), writer, number };
        let text = mark.text();
        let write = match mark.word {
            Word::Title => format!("update tasks set title = '{text}' where id = '{task}';"),
            Word::Note => format!(
                "insert into bookmarks (task_id, note) values ('{task}', '{text}') \
                 on conflict (task_id) where event_id is null do update set note = excluded.note;"
            ),
            _ => format!("insert into events (task_id, kind, title) values ('{task}', 'log', '{text}');"),
        };
        // The transaction reads its own cursor: with one writer, its last change is the newest of the log.
        let sql = format!(
            "begin immediate; insert or ignore into tasks (id, title, project) values ('{task}', 'title {writer} at 0', 'p'); \
             {write} select (select token from runs order by id desc limit 1) || ':' || (seq + 1) || ':' || (seq + 1) || ':' \
             from sqlite_sequence where name = 'changes'; commit;"
        );
        // A missing file must not be made anew by this writer.
        let file = format!("file:{}?mode=rw", writing.database.display());
        let mut sqlite3 = Command::new("sqlite3");
        sqlite3.args(["-bail", "-cmd", ".timeout 5000", &file, &sql]).kill_on_drop(true);
        match timeout(ANSWER_TIME, sqlite3.output()).await.map(Result::unwrap) {
            Ok(output) if output.status.success() => {
                let cursor: Option<Cursor> = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
                writing.ledger().acknowledge(ticket, mark, cursor);
            }
            Ok(output) => {
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                if error.contains("malformed") || error.contains("not a database") {
                    writing.ledger().wrong.push(format!("sqlite3: {error}"));
                }
            }
            Err(_) => writing.ledger().wrong.push("sqlite3 did not end".to_owned()),
        }
        drop(turn);
        sleep(Duration::from_millis(fastrand::u64(20..60))).await;
    }
}

async fn write_by_hooks(writing: Arc<Writing>, agent: u8, like: Command) {
    for number in 1.. {
        let turn = writing.by_api.read().await;
        let ticket = writing.ledger().begin();
        let mark = Mark { word: Word::Prompt, writer: agent, number };
        let hook: Value = json!({
            "session_id": format!("session-{agent}"), "cwd": format!("/home/ada/{agent}"),
            "hook_event_name": "UserPromptSubmit", "prompt": mark.text(),
        });
        // The input is a file, so it is complete from the start: a late one would be given up.
        let input = writing.inputs.join(format!("prompt-{agent}"));
        // The folder of the world is gone when the world ends.
        if std::fs::write(&input, hook.to_string()).is_err() {
            return;
        }
        let began = Instant::now();
        let Ok(input) = File::open(&input) else { return };
        let Ok(child) = again(&like).stdin(input).spawn() else { return };
        let ended = timeout(ANSWER_TIME, child.wait_with_output()).await;
        match ended.map(Result::unwrap) {
            Ok(output) if output.status.success() && output.stdout.is_empty() && output.stderr.is_empty() => {
                if began.elapsed() < HOOK_TIME {
                    writing.ledger().acknowledge(ticket, mark, None);
                }
            }
            other => writing.ledger().wrong.push(format!("the hook of an agent ended with {other:?}")),
        }
        drop(turn);
        sleep(Duration::from_millis(fastrand::u64(80..250))).await;
    }
}

/// The same command once more.
fn again(like: &Command) -> Command {
    let like = like.as_std();
    let mut command = std::process::Command::new(like.get_program());
    command.args(like.get_args()).current_dir(like.get_current_dir().unwrap());
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    command
}
