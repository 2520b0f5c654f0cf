//! The answer to each error of the database: the real cause, and a request over HTTP.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use requery::server::database::DatabaseError;
use serde_json::json;

use super::{Answer, Client};
use crate::app::{App, PATIENCE, on_sqlite_only, overwrite_first_page, sqlite3};
use crate::search::titles;

/// The status, the end of the type, `Retry-After` and the beginning of the detail. An error without an arm does not
/// compile, and each arm needs a cause below.
fn expected(error: &DatabaseError) -> (u16, &'static str, &'static str, &'static str) {
    match error {
        DatabaseError::Closed(_) => (503, "unavailable", "5", "the database is away: "),
        DatabaseError::Away(_) => (503, "unavailable", "5", "the database is away; the log of the server"),
        DatabaseError::Storage(_) => (503, "unavailable", "5", "the database is away; the log of the server"),
        DatabaseError::Damaged(_) => (503, "unavailable", "5", "the database is damaged; the log of the server"),
        DatabaseError::Index(_) => (503, "unavailable", "1", "the search index is damaged and will be rebuilt soon"),
        DatabaseError::Busy => (503, "unavailable", "1", "the database is busy"),
        DatabaseError::Db(_) => (500, "internal", "", "the server failed"),
    }
}

#[track_caller]
fn check(answer: &Answer, error: &DatabaseError) {
    let (status, kind, retry_after, detail) = expected(error);
    assert_eq!(answer.problem(), status.to_string(), "{error:?}");
    assert_eq!(answer.header("retry-after"), retry_after, "{error:?}");
    assert_eq!(answer.text_at("/type"), format!("/problems/{kind}"), "{error:?}");
    assert!(answer.text_at("/detail").starts_with(detail), "{error:?}: {}", answer.text);
}

#[tokio::test]
async fn each_error_of_the_database_has_its_status_its_type_and_its_retry_after() {
    if on_sqlite_only("the causes are those of a file") {
        return;
    }
    tokio::join!(closed(), away(), storage(), damaged(), index(), busy(), db());
}

async fn closed() {
    let app = App::start().await;
    let client = Client::of(&app);
    std::fs::rename(app.path(), app.folder.path().join("elsewhere.db")).unwrap();
    let began = Instant::now();
    let mut refused = client.get("/api/v1/tasks").await;
    while refused.status == 200 {
        assert!(began.elapsed() < PATIENCE, "the server does not see the move");
        refused = client.get("/api/v1/tasks").await;
    }
    let error = DatabaseError::Closed(String::new());
    check(&refused, &error);
    check(&client.post("/api/v1/tasks", json!({"title": "t"})).await, &error);
    check(&client.get("/readyz").await, &error);
}

/// Another program removes the row of the run. The tail of the log opens the file again within milliseconds.
async fn away() {
    let app = App::start().await;
    let client = Client::of(&app);
    let (began, error) = (Instant::now(), DatabaseError::Away(String::new()));
    loop {
        app.sql("delete from runs");
        let answer = client.get("/api/v1/tasks").await;
        if answer.status == 503 && answer.text_at("/detail").starts_with(expected(&error).3) {
            return check(&answer, &error);
        }
        while client.get("/readyz").await.status != 204 {
            assert!(began.elapsed() < PATIENCE, "the file is not opened again");
        }
        assert!(began.elapsed() < PATIENCE, "no request came before the tail: {}", answer.text);
    }
}

/// A limit of the file size is a disk that fails.
#[cfg(target_os = "linux")]
async fn storage() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let folder = tempfile::tempdir().unwrap();
    let server = crate::process::ServerProcess::start(&folder.path().join("requery.db"), folder.path(), |_| ());
    let process = Pid::from_raw(i32::try_from(server.id()).unwrap());
    prlimit(process, Resource::Fsize, Rlimit { current: Some(20_000), maximum: None }).unwrap();
    let body = json!({"title": "t", "summary": "s".repeat(60_000)});
    let answer = server.send(reqwest::Method::POST, "/api/v1/tasks", Some(&body)).await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let answer = Answer { status, headers, text: answer.text().await.unwrap() };
    check(&answer, &DatabaseError::Storage(String::new()));
}

#[cfg(not(target_os = "linux"))]
async fn storage() {
    println!("skipped: only Linux limits the file size of another process");
}

/// A file of this size is not checked as a whole, so that the request is the first to meet the damage.
async fn damaged() {
    let folder = App::start().await.stop().await;
    let path = folder.path().join("requery.db");
    sqlite3(
        &path,
        "create table ballast (x); insert into ballast values (zeroblob(70000000));
        insert into tasks (title) values ('t'); insert into bookmarks (task_id) select id from tasks",
    );
    overwrite_first_page(&path, "bookmarks");
    let app = App::start_in(folder, |_| ()).await;
    check(&Client::of(&app).get("/api/v1/bookmarks").await, &DatabaseError::Damaged(String::new()));
}

async fn index() {
    let app = App::start().await;
    let client = Client::of(&app);
    client.task("alpha", json!({})).await;
    assert_eq!(titles(&client, "q=alpha").await, ["task alpha"]);
    app.sql("delete from search_index_data where id = 10");
    check(&client.get("/api/v1/search?q=alpha").await, &DatabaseError::Index(String::new()));
}

/// Another process holds the write lock for longer than a request waits for it.
async fn busy() {
    let app = App::start().await;
    let client = Client::of(&app);
    let mut other = lock(&app);
    check(&client.post("/api/v1/tasks", json!({"title": "t"})).await, &DatabaseError::Busy);
    assert_eq!(client.get("/api/v1/overview").await.status, 200);
    drop(other.stdin.take());
    other.wait().unwrap();
    assert_eq!(client.post("/api/v1/tasks", json!({"title": "t"})).await.status, 201);
}

/// A `sqlite3` process that holds the write lock until its input ends.
fn lock(app: &App) -> Child {
    let mut other = Command::new("sqlite3");
    other.args(["-cmd", ".timeout 30000"]).arg(app.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut other = other.spawn().unwrap();
    other.stdin.as_mut().unwrap().write_all(b"begin immediate; select 'locked';\n").unwrap();
    let mut line = String::new();
    BufReader::new(other.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    other
}

/// A trigger of another program refuses the row.
async fn db() {
    let app = App::start().await;
    app.sql("create trigger mine before insert on bookmarks begin select raise(abort, 'no'); end");
    let client = Client::of(&app);
    let task = client.task("t", json!({})).await;
    let error = DatabaseError::Db(sea_orm::DbErr::Custom(String::new()));
    check(&client.put("/api/v1/bookmarks", json!({ "task_id": task })).await, &error);
}
