//! No answer is older than its caller may expect: than the writes of the server, and than the notices of the streams.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use requery::protocol::Cursor;
use serde_json::json;

use super::{Cached, OVERVIEW};
use crate::app::on_sqlite_only;

const WRITERS: usize = 4;
const READERS: usize = 12;
const ROUNDS: u64 = 150;

/// Writers raise the number in the title of a task of their own. After each acknowledged write the number is set where
/// all readers see it, and no read that begins later may show a lower one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_contains_every_write_that_was_acknowledged_before() {
    let cached = Cached::start().await;
    let mut tasks = Vec::new();
    for _ in 0..WRITERS {
        tasks.push(cached.task("number 0", "p").await);
    }
    let (numbers, done) = ([const { AtomicU64::new(0) }; WRITERS], AtomicU64::new(0));
    let write = async |writer: usize| {
        for number in 1..=ROUNDS {
            let wrote = cached.rename(&tasks[writer], &format!("number {number}")).await;
            numbers[writer].store(number, Ordering::SeqCst);
            // The own write, without a demand.
            let got = cached.get(&format!("/api/v1/tasks/{}", tasks[writer]), &[]).await;
            assert_eq!(got.json()["task"]["title"], format!("number {number}"));
            assert!(got.cursor().covers(&wrote));
        }
        done.fetch_add(1, Ordering::SeqCst);
    };
    let number = |title: &serde_json::Value| title.as_str().unwrap()["number ".len()..].parse::<u64>().unwrap();
    let read = async |reader: usize| {
        let mut rounds = 0;
        while done.load(Ordering::SeqCst) < WRITERS as u64 {
            let expected: Vec<u64> = numbers.iter().map(|number| number.load(Ordering::SeqCst)).collect();
            match reader % 3 {
                0 => {
                    let page = cached.get("/api/v1/tasks", &[]).await.json();
                    for (task, expected) in tasks.iter().zip(expected) {
                        let rows = page["items"].as_array().unwrap();
                        let row = rows.iter().find(|row| row["task_id"] == task.as_str()).unwrap();
                        assert!(number(&row["title"]) >= expected, "{} < {expected}", row["title"]);
                    }
                }
                _ => {
                    let at = rounds % WRITERS;
                    let detail = cached.get(&format!("/api/v1/tasks/{}", tasks[at]), &[]).await.json();
                    assert!(number(&detail["task"]["title"]) >= expected[at], "{}", detail["task"]["title"]);
                }
            }
            rounds += 1;
        }
        rounds
    };
    let (_, rounds) = tokio::join!(join_all((0..WRITERS).map(write)), join_all((0..READERS).map(read)));
    let work = cached.work();
    assert!(rounds.iter().sum::<usize>() > 1_000, "{rounds:?}");
    assert!(work.memory > 100, "the readers share answers: {work:?}");
    cached.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_after_a_notice_contains_the_write_of_another_program() {
    let cached = Cached::start().await;
    let task = cached.task("number 0", "p").await;
    let path = format!("/api/v1/tasks/{task}");
    let mut ws = cached.ws().await;
    for number in 1..=100 {
        cached.get(&path, &[]).await;
        cached.get(OVERVIEW, &[]).await;
        cached.sql(&format!("update tasks set title = 'number {number}' where id = '{task}'")).await;
        let told: Cursor = loop {
            // On a busy machine a heartbeat comes in between.
            let frame = ws.frame().await;
            if frame["type"] == "task.updated" {
                break frame["cursor"].as_str().unwrap().parse().unwrap();
            }
        };
        let got = cached.get(&path, &[]).await;
        assert!(got.cursor().covers(&told));
        assert_eq!(got.json()["task"]["title"], format!("number {number}"));
    }
    cached.stop().await;
}

/// The cursor of one answer shows the caller a change. No later answer of the server may lack the change, whichever
/// read model it is of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_contains_every_change_of_an_earlier_answer() {
    let cached = Cached::start().await;
    let task = cached.task("number 0", "p").await;
    let path = format!("/api/v1/tasks/{task}");
    for number in 1..=100 {
        cached.get(&path, &[]).await;
        cached.sql(&format!("update tasks set title = 'number {number}' where id = '{task}'")).await;
        // A read that finds no answer in memory sees the write of the other program, with or without its notice.
        let seen = cached.get(&format!("/api/v1/tasks?limit={number}"), &[]).await;
        assert_eq!(seen.json()["items"][0]["title"], format!("number {number}"));
        let got = cached.get(&path, &[]).await;
        assert!(got.cursor().covers(&seen.cursor()));
        assert_eq!(got.json()["task"]["title"], format!("number {number}"));
    }
    cached.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_covers_the_cursor_that_the_request_demands() {
    if on_sqlite_only("its cursors are numbers of the log") {
        return;
    }
    let cached = Cached::start().await;
    cached.task("a", "p").await;
    let got = cached.get(OVERVIEW, &[]).await;
    // A change that is not there yet: the database is asked, and the answer says how far it is.
    let (epoch, next) = (got.cursor().epoch().to_owned(), got.cursor().snapshot().xmax());
    let before = cached.work();
    for demand in [format!("{epoch}:{0}:{0}:", next + 1), format!("{epoch}:{next}:{0}:{next}", next + 2)] {
        assert_eq!(cached.get(OVERVIEW, &[("requery-at-least", &demand)]).await.cursor(), got.cursor());
    }
    assert_eq!(cached.work().since(before).queries, 2);
    // A demand that the memory meets, and one of another run.
    for demand in [got.cursor().to_string(), "another:99:99:".to_owned()] {
        let before = cached.work();
        assert_eq!(cached.get(OVERVIEW, &[("requery-at-least", &demand)]).await.cursor(), got.cursor());
        assert_eq!(cached.work().since(before).memory, 1, "{demand}");
    }
    cached.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_never_gets_the_answer_of_another() {
    let cached = Cached::start().await;
    let mut ids = Vec::new();
    for project in ["a", "b", ""] {
        let id = cached.task(&format!("of {project}"), project).await;
        cached.write("PUT", "/api/v1/bookmarks", json!({"task_id": id, "title": format!("of {project}")})).await;
        ids.push((project, id));
    }
    for round in 0..3 {
        for (project, own) in &ids {
            let of = |path: &str| format!("{path}?project={project}");
            let stats = cached.get(&of(OVERVIEW), &[]).await.json();
            assert_eq!(stats["stats"]["total_tasks"], 1, "{project} {round}");
            for path in ["/api/v1/tasks", "/api/v1/bookmarks"] {
                let page = cached.get(&of(path), &[]).await.json();
                assert_eq!(page["items"].as_array().unwrap().len(), 1, "{path} {project}");
                assert_eq!(page["items"][0]["title"], format!("of {project}"), "{path}");
            }
            for (other, id) in &ids {
                let status = if own == id { 200 } else { 404 };
                for path in [format!("/api/v1/tasks/{id}"), format!("/api/v1/tasks/{id}/timeline")] {
                    assert_eq!(cached.get(&of(&path), &[]).await.status, status, "{other} in {project}");
                    assert_eq!(cached.get(&path, &[]).await.status, 200, "{path}");
                }
            }
        }
        assert_eq!(cached.get(OVERVIEW, &[]).await.json()["stats"]["total_tasks"], 3);
        assert_eq!(cached.get("/api/v1/bookmarks", &[]).await.json()["items"].as_array().unwrap().len(), 3);
    }
    cached.stop().await;
}

/// The notice of a purge names no task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_makes_the_answers_of_all_tasks_stale() {
    let cached = Cached::start().await;
    let mut ws = cached.ws().await;
    let (done, open) = (cached.task("done", "p").await, cached.task("open", "q").await);
    cached.write("PATCH", &format!("/api/v1/tasks/{done}"), json!({"status": "completed"})).await;
    let path = |task: &str| format!("/api/v1/tasks/{task}?project=p");
    assert_eq!(cached.get(&path(&done), &[]).await.status, 200);
    cached.write("POST", "/api/v1/tasks/purge", json!({})).await;
    cached.until_told(&mut ws).await;
    assert_eq!(cached.get(&path(&done), &[]).await.status, 404);
    assert_eq!(cached.get(&format!("/api/v1/tasks/{open}"), &[]).await.status, 200);
    cached.stop().await;
}

/// The cursors of an earlier run may belong to another history, so no answer of it is given any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_opened_again_begins_with_an_empty_cache() {
    if on_sqlite_only("its cause is a doubt about the file") {
        return;
    }
    let cached = Cached::start().await;
    cached.task("a", "p").await;
    let first = cached.get(OVERVIEW, &[]).await;
    assert_eq!(cached.get(OVERVIEW, &[]).await.cursor(), first.cursor());
    assert!(cached.database.metrics().cache_bytes.get() > 0);
    let mut ws = cached.ws().await;
    // The server opens the file again if rows of the log are deleted before they are counted.
    cached
        .sql("insert into tasks (title) values ('b'); delete from changes where id = (select max(id) from changes)")
        .await;
    loop {
        let frame = ws.frame().await;
        if !frame["cursor"].as_str().unwrap().starts_with(first.cursor().epoch()) {
            break;
        }
    }
    assert_eq!(cached.database.metrics().cache_bytes.get(), 0);
    let before = cached.work();
    let second = cached.get(OVERVIEW, &[]).await;
    assert_ne!(second.cursor().epoch(), first.cursor().epoch());
    assert_eq!((cached.work().since(before).queries, &second.json()["stats"]["total_tasks"]), (1, &json!(2)));
    cached.stop().await;
}

/// A row of a later version names no read model that this version knows, so any answer can be old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_an_unknown_kind_makes_every_answer_stale() {
    let cached = Cached::start().await;
    let task = cached.task("number 0", "p").await;
    let mut ws = cached.ws().await;
    for number in 1..=20 {
        assert_eq!(cached.get(OVERVIEW, &[]).await.json()["stats"]["total_tasks"], 1);
        // The hours of the overview have no trigger, so that only the row of the log tells of this change.
        let hour = 490_000 + number;
        let sql = "begin; insert into activity values ('p', {hour}, 1);
            insert into changes (kind, project, task_id) values ('of.tomorrow', 'p', '{task}'); commit";
        cached.sql(&sql.replace("{hour}", &hour.to_string()).replace("{task}", &task)).await;
        let told: Cursor = ws.frame().await["cursor"].as_str().unwrap().parse().unwrap();
        let got = cached.get(OVERVIEW, &[]).await;
        assert!(got.cursor().covers(&told));
        assert_eq!(got.json()["activity"].as_array().unwrap().len(), usize::try_from(number).unwrap());
    }
    cached.stop().await;
}
