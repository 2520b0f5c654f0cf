//! `/healthz` while the server is busy: many streams that watch many read models, bursts, a full queue of reads, and a
//! writer that holds the write lock.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::app::{App, PATIENCE};

/// How long a supervisor waits, at the least, before it counts the server as gone.
const LONGEST: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_answers_under_load() {
    let app = App::start().await;
    let models: Vec<String> = (0..256).map(|number| format!("task:0190b0a0-0000-7000-8000-{number:012}")).collect();
    let watch = json!({"type": "watch", "payload": {"read_models": models}}).to_string();
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut ws = app.ws("").await;
        ws.frame().await;
        streams.push(tokio::spawn({
            let watch = watch.clone();
            async move {
                for _ in 0..20 {
                    ws.send(Message::Text(watch.clone().into())).await;
                    ws.frame().await;
                }
                ws
            }
        }));
    }
    let reads: Vec<_> = (0..50).map(|_| tokio::spawn(reqwest::get(app.url("/api/v1/tasks?limit=200")))).collect();
    let store = app.store();
    let writes = tokio::task::spawn_blocking(move || {
        // One transaction with thousands of notices, which holds the write lock for its whole time.
        store.sql(
            "begin; with recursive n (i) as (select 1 union select i + 1 from n where i < 3000) \
             insert into tasks (title) select i from n; commit",
        )
    });
    let http = reqwest::Client::new();
    let mut slowest = Duration::ZERO;
    while !(writes.is_finished() && streams.iter().all(|stream| stream.is_finished())) {
        let began = Instant::now();
        let answer = http.get(app.url("/healthz")).timeout(PATIENCE).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(0)));
        slowest = slowest.max(began.elapsed());
    }
    for read in reads {
        assert!(read.await.unwrap().is_ok());
    }
    for stream in streams {
        drop(stream.await.unwrap());
    }
    assert!(slowest < LONGEST, "the slowest answer took {slowest:?}");
}

/// A long body is parsed beside the threads that answer requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_answers_while_long_bodies_are_parsed() {
    let app = App::start().await;
    let http = reqwest::Client::new();
    let list = vec![json!({"a": 1}); 200_000];
    let body = json!({"session_id": "s", "hook_event_name": "Stop", "list": list}).to_string();
    let long = (0..4).map(|_| {
        let post = http.post(app.url("/api/v1/hooks/claude-code")).body(body.clone()).send();
        tokio::spawn(post)
    });
    let long: Vec<_> = long.collect();
    let mut slowest = Duration::ZERO;
    while !long.iter().all(|post| post.is_finished()) {
        let began = Instant::now();
        assert_eq!(http.get(app.url("/healthz")).send().await.unwrap().status(), 200);
        slowest = slowest.max(began.elapsed());
    }
    for post in long {
        assert_eq!(post.await.unwrap().unwrap().status(), 204);
    }
    assert!(slowest < LONGEST, "the slowest answer took {slowest:?}");
}
