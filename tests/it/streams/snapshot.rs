//! The snapshot frame has the whole read model `overview`.

use requery::protocol::{Frame, FrameKind};
use serde_json::{Value, json};

use super::kind;
use crate::app::{App, by_engine};
use crate::rest::Client;
use crate::store::assert_same_cursor;

/// Sixty tasks in two projects, with every part of an overview: tasks that wait and tasks that are flagged, events of
/// several hours, several sources, usage with and without costs.
const ROWS: &str = "
    with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 60)
    insert into tasks (title, project, source, status, status_reason)
        select 'task ' || n, case n % 12 when 0 then 'q' else 'p' end, case n % 3 when 0 then 'codex' else 'sql' end,
            case n % 2 when 0 then 'waiting' else 'running' end, case n % 2 when 0 then 'question' end from numbers;
    update tasks set stale_since = 1000, stale_reason = 'silent' where title in ('task 1', 'task 3');
    insert into events (task_id, kind, created_at) select id, 'log', 3600000 * (length(title) - 3) from tasks;
    insert into usage (task_id, answer_id, model, input_tokens, output_tokens, cost_usd_micros)
        select id, id, 'm', 5, 7, case title when 'task 2' then 11 end from tasks where title in ('task 2', 'task 12');";

/// The parts of the frame that are the answers of the two requests.
fn parts(payload: &Value) -> (Value, Value) {
    let part = |name: &str| payload[name].clone();
    let overview = ["stats", "needs_you", "activity", "sources", "usage"].map(|name| (name.to_owned(), part(name)));
    let page = json!({ "items": part("tasks"), "next": part("next"), "previous": null });
    (Value::Object(overview.into_iter().collect()), page)
}

#[tokio::test]
async fn a_snapshot_is_the_answer_of_both_requests_of_the_overview() {
    let app = App::start().await;
    let rest = Client::of(&app);
    for rows in ["", ROWS] {
        app.sql(rows);
        app.know_writes().await;
        for query in ["", "?project=p", "?project=q", "?project=of%20nobody"] {
            let frame = app.ws(query).await.frame().await;
            assert_eq!(kind(&frame), "snapshot");
            assert_eq!(frame["payload"].as_object().unwrap().len(), 11, "{frame:#}");
            let read = async |path: &str| {
                let answer = rest.get(&format!("/api/v1/{path}{query}")).await;
                let cursor = frame["cursor"].as_str().unwrap();
                assert_same_cursor(answer.header("requery-cursor"), cursor, &format!("{path}{query}"));
                answer.json()
            };
            let (overview, page) = parts(&frame["payload"]);
            assert_eq!(overview, read("overview").await, "{query}");
            assert_eq!(page, read("tasks").await, "{query}");

            // The form that a client of the crate gets.
            let Ok(Frame { kind: FrameKind::Snapshot(snapshot), .. }) = serde_json::from_value(frame) else { panic!() };
            let (first, second) = snapshot.first_screen().expect("every part is there");
            assert_eq!([json!(first), json!(second)], [overview, page]);
        }
    }
    let frame = app.ws("?project=p").await.frame().await;
    let next = frame["payload"]["next"].as_str().expect("a second page");
    let rest_of_tasks = rest.get(&format!("/api/v1/tasks?project=p&before={next}")).await.json();
    assert_eq!(rest_of_tasks["items"].as_array().unwrap().len(), 5);
}

/// Any program can write long texts. A frame that a client refuses for its size would keep the client away for ever.
#[tokio::test]
async fn a_snapshot_that_would_be_too_large_has_the_figures_alone() {
    let app = App::start().await;
    let mut sizes = Vec::new();
    for (characters, is_whole) in [(12_000, true), (20_000, false), (5_000_000, false)] {
        app.sql("delete from tasks");
        let half = characters / 2;
        let summary = by_engine(
            format!("replace(hex(zeroblob({half})), '00', 'x' || char(10))"),
            format!("repeat('x' || chr(10), {half})"),
        );
        app.sql(&format!(
            "with recursive numbers (n) as (select 1 union select n + 1 from numbers where n < 50)
             insert into tasks (title, summary) select n, case when {characters} < 100000 or n < 5
                 then {summary} end from numbers"
        ));
        app.know_writes().await;
        let text = app.ws("").await.next().await.into_text().unwrap();
        sizes.push(text.len());
        let Ok(Frame { kind: FrameKind::Snapshot(snapshot), .. }) = serde_json::from_str(&text) else { panic!() };
        assert_eq!(snapshot.first_screen().is_some(), is_whole, "{characters}: {sizes:?}");
        assert_eq!((snapshot.stats.total_tasks, snapshot.tasks.is_empty()), (50, !is_whole), "{sizes:?}");
    }
    assert!(sizes.iter().all(|bytes| *bytes <= 1024 * 1024), "{sizes:?}");
}

/// A server of an earlier version sends the figures and the tasks alone.
#[test]
fn a_snapshot_without_the_overview_parses() {
    let stats = json!({"total_tasks": 0, "running_tasks": 0, "waiting_tasks": 0, "completed_tasks": 0,
        "errored_tasks": 0, "total_events": 0});
    let payload = json!({"stats": stats, "tasks": [], "server_time": "2026-01-01T00:00:00.000Z",
        "heartbeat_ms": 25000, "version": "1.0"});
    let frame = json!({"type": "snapshot", "payload": payload, "cursor": "e:1:1:"});
    let Ok(Frame { kind: FrameKind::Snapshot(snapshot), .. }) = serde_json::from_value(frame) else { panic!() };
    assert_eq!(snapshot.first_screen(), None);
}
