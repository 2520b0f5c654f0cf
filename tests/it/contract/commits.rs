//! A notice never precedes its commit, and a transaction that is rolled back sends none.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Wire;
use super::wire::expand;
use crate::app::{App, PATIENCE, by_engine, on_sqlite_only};
use crate::store::Store;

/// Long enough for a notice that is sent too early to arrive.
const EARLY_NOTICE_WAIT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn no_notice_precedes_its_commit() {
    let mut wire = Wire::start().await;
    let mut other = Shell::open(&wire.app);
    other.run("begin; insert into tasks (id, title) values ('{a}', 'a');");
    check_no_frame(&mut wire).await;
    other.run("insert into events (id, task_id, kind) values ('{e}', '{a}', 'log');");
    check_no_frame(&mut wire).await;
    // Reads do not see the row either.
    assert_eq!(reqwest::get(wire.app.url(&expand("/api/v1/tasks/{a}"))).await.unwrap().status(), 404);
    other.run("commit;");
    let expected =
        ["task.started task_id=a project= parent_task_id=null", "event.logged event_id=e task_id=a project="];
    assert_eq!(wire.frames().await, expected);
    other.end();
    wire.check_figures(&[]).await;
}

#[tokio::test]
async fn a_rollback_sends_no_notice() {
    let mut wire = Wire::start().await;
    wire.write("insert into tasks (id, title) values ('{a}', 'a')").await;
    wire.frames().await;
    let mut other = Shell::open(&wire.app);
    other.run("begin; insert into tasks (title) values ('x'); delete from tasks where id = '{a}'; rollback;");
    assert_eq!(wire.frames().await, [""; 0]);
    // The same for a savepoint. No reader waits for the change ids of its undone writes.
    other.run(
        "begin; update tasks set title = 'A' where id = '{a}'; savepoint s; insert into tasks (title) values ('y');
         rollback to s; insert into events (id, task_id, kind) values ('{e}', '{a}', 'log'); commit;",
    );
    let expected =
        ["task.updated task_id=a project= parent_task_id=null", "event.logged event_id=e task_id=a project="];
    assert_eq!(wire.frames().await, expected);
    // A statement that fails at its second row, and a writer that is killed before its commit.
    let half = "insert into tasks (title) values ('z'), ('')";
    wire.refuses(half, "title_is_1_to_500_characters").await;
    other.run("begin; insert into tasks (title) values ('w');");
    other.kill();
    assert_eq!(wire.frames().await, [""; 0]);
    wire.check_figures(&[]).await;
}

/// A request that waits for the write lock sends its notice after the notice of the writer that held the lock.
#[tokio::test]
async fn notices_follow_the_order_of_the_commits() {
    if on_sqlite_only("the writers of Postgres do not wait for each other") {
        return;
    }
    let mut wire = Wire::start().await;
    let mut other = Shell::open(&wire.app);
    other.run("begin; insert into tasks (id, title) values ('{a}', 'a');");
    let body = expand(r#"{"task_id":"{b}","title":"b"}"#);
    let request = reqwest::Client::new()
        .post(wire.app.url("/api/v1/tasks"))
        .header("content-type", "application/json")
        .body(body)
        .send();
    let request = tokio::spawn(request);
    check_no_frame(&mut wire).await;
    other.run("commit;");
    assert_eq!(timeout(PATIENCE, request).await.unwrap().unwrap().unwrap().status(), 201);
    let expected =
        ["task.started task_id=a project= parent_task_id=null", "task.started task_id=b project= parent_task_id=null"];
    assert_eq!(wire.frames().await, expected);
    other.end();
    wire.check_figures(&[]).await;
}

/// Two processes and the server write at the same time: each change sends its notice exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_lose_no_notice() {
    const EACH: usize = 100;
    let mut wire = Wire::start().await;
    wire.write("insert into tasks (id, title) values ('{a}', 'a'), ('{b}', 'b'), ('{c}', 'c')").await;
    wire.frames().await;
    let writers = ["{a}", "{b}"].map(|task| {
        let store = wire.app.store();
        let sql = expand(&format!("insert into events (task_id, kind) values ('{task}', 'log');")).repeat(EACH);
        tokio::task::spawn_blocking(move || store.sql(&sql))
    });
    for at in 0..EACH {
        wire.write(&format!(r#"POST /api/v1/tasks/{{c}}/events {{"kind":"log","title":"{at}"}}"#)).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for line in wire.frames().await {
        let task = line.strip_prefix("event.logged event_id=? task_id=").unwrap();
        let (task, rest) = task.split_once(' ').unwrap();
        let count = rest.split_once(" x").map_or(1, |(_, count)| count.parse().unwrap());
        *counts.entry(task.to_owned()).or_default() += count;
    }
    assert_eq!(counts, ["a", "b", "c"].map(|task| (task.to_owned(), EACH)).into());
    wire.check_figures(&[]).await;
}

/// Each event is a `data:` line and, after the last frame of a flush, an `id:` line. No other line is sent.
#[tokio::test]
async fn server_sent_events_have_exactly_these_bytes() {
    let app = App::start().await;
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    // An answer to HTTP/1.0 is not chunked, so the socket carries the bytes of the events alone.
    let request = format!("GET /api/v1/stream HTTP/1.0\r\nHost: {}\r\n\r\n", app.address);
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut read = String::new();
    // The cursor of an event is its `id:` line, which ends it.
    let mut until_cursor = async |from: usize| -> String {
        while !(read[from..].contains("\nid: ") && read.ends_with("\n\n")) {
            let mut some = [0; 4096];
            let count = timeout(PATIENCE, socket.read(&mut some)).await.expect("no bytes in time").unwrap();
            assert!(count > 0, "{read}");
            read.push_str(std::str::from_utf8(&some[..count]).unwrap());
        }
        read[from..].to_owned()
    };
    let first = until_cursor(0).await;
    let (head, snapshot) = first.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(snapshot.starts_with(r#"data: {"type":"snapshot","payload":{"stats":{"#), "{snapshot}");
    let epoch = snapshot.rsplit_once("\nid: ").unwrap().1.split(':').next().unwrap();
    app.sql(&expand(
        "begin; insert into tasks (id, title, project) values ('{a}', 'a', 'p \"é\"'); \
         insert into events (id, task_id, kind) values ('{e}', '{a}', 'log'), ('{f}', '{a}', 'log'); commit",
    ));
    let second = until_cursor(first.len()).await;
    let cursor = second.trim_end().rsplit_once("\nid: ").unwrap().1;
    assert!(cursor.starts_with(&format!("{epoch}:")), "{cursor}");
    assert!(cursor.ends_with(by_engine(":4:4:", "")), "{cursor}");
    let expected = expand(
        r#"data: {"type":"task.started","payload":{"task_id":"{a}","project":"p \"é\"","parent_task_id":null},"cursor":"CURSOR","more":true}

data: {"type":"event.logged","payload":{"event_id":"{f}","task_id":"{a}","project":"p \"é\"","kinds":["log"],"lanes":["system"]},"cursor":"CURSOR","count":2}
id: CURSOR

"#,
    )
    .replace("CURSOR", cursor);
    assert_eq!(second, expected);
}

async fn check_no_frame(wire: &mut Wire) {
    let frame = timeout(EARLY_NOTICE_WAIT, wire.ws.frame()).await;
    assert!(frame.is_err(), "{frame:?}");
}

/// A running `sqlite3` or `psql` program, which can hold a transaction open.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn open(app: &App) -> Self {
        let mut command = match app.store() {
            Store::File(path) => {
                let mut command = Command::new("sqlite3");
                command.args(["-bail", "-cmd", ".timeout 5000"]).arg(path);
                command
            }
            Store::Postgres(database) => {
                let mut command = database.command();
                command.args(["-f", "-"]);
                command
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Runs statements to their end.
    fn run(&mut self, sql: &str) {
        writeln!(self.input, "{}\n{}", expand(sql), by_engine(".print done", "\\! echo done")).unwrap();
        let mut line = String::new();
        while line.trim() != "done" {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the program failed: {sql}");
        }
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
