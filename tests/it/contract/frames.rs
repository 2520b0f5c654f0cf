//! The frames that are no notices: the test causes each kind and checks it against both documents.

use std::collections::BTreeSet;
use std::time::Duration;

use requery::protocol::{Cursor, Frame, FrameKind, Incoming, Notice};
use serde_json::Value;

use super::wire::{Schemas, expand};
use crate::app::{App, Ws};

/// Every kind, and the fields of its payload in their order.
const FIELDS: &[(&str, &str)] = &[
    ("snapshot", "stats tasks next needs_you activity sources usage server_time heartbeat_ms version known"),
    ("resumed", "server_time heartbeat_ms version known stale"),
    ("heartbeat", "server_time"),
    ("watching", "read_models"),
    ("stale", "read_models"),
    ("resync", "reason"),
    ("closing", "retry_ms"),
];

/// A statement that inserts `count` tasks.
fn tasks(count: usize) -> String {
    format!(
        "with recursive n (i) as (select 1 union select i + 1 from n where i < {count})
         insert into tasks (title) select i from n"
    )
}

#[tokio::test]
async fn every_frame_except_notices_matches_its_schema() {
    let app = App::start_with(|config| config.heartbeat = Duration::from_millis(500)).await;
    app.sql(&expand("insert into tasks (id, title, parent_task_id) values ('{b}', 'b', null), ('{a}', 'a', '{b}')"));
    let mut frames = Vec::new();
    let mut ws = app.ws("").await;
    frames.push(ws.frame().await);
    let cursor = frames[0]["cursor"].as_str().unwrap().to_owned();
    app.sql(&expand("update tasks set status = 'waiting', status_reason = 'why'"));
    frames.push(app.ws(&format!("?since={cursor}")).await.frame().await);
    frames.push(frame_of_kind(&mut ws, "heartbeat").await);
    let models = expand(r#"["overview","bookmarks","task:{a}","task:*"]"#);
    let watch = format!(r#"{{"type":"watch","payload":{{"read_models":{models}}}}}"#);
    ws.send(tokio_tungstenite::tungstenite::Message::Text(watch.into())).await;
    let watching = frame_of_kind(&mut ws, "watching").await;
    assert_eq!(watching["payload"]["read_models"].to_string(), models);
    frames.push(watching);
    app.sql(&tasks(100));
    frames.push(frame_of_kind(&mut ws, "stale").await);
    app.sql(&tasks(1_000));
    frames.push(frame_of_kind(&mut ws, "resync").await);
    app.begin_stop();
    frames.push(frame_of_kind(&mut ws, "closing").await);

    let schemas = Schemas::read();
    let mut kinds = BTreeSet::new();
    for frame in &frames {
        schemas.check(frame);
        let kind = frame["type"].as_str().unwrap();
        let fields: Vec<_> = frame["payload"].as_object().unwrap().keys().map(String::as_str).collect();
        assert!(FIELDS.contains(&(kind, &fields.join(" "))), "{frame}");
        assert_eq!(frame.as_object().unwrap().keys().collect::<Vec<_>>(), ["type", "payload", "cursor"], "{frame}");
        kinds.insert(kind);
    }
    assert_eq!(kinds, FrameKind::KINDS.iter().copied().collect());
}

/// The tail reads a large commit in several batches. A stream gets the commit whole, under the cursor that contains it.
#[tokio::test]
async fn a_commit_larger_than_a_batch_makes_one_frame() {
    let app = App::start_with(|config| config.window = Duration::ZERO).await;
    app.sql(&expand("insert into tasks (id, title) values ('{a}', 'a')"));
    let mut ws = app.ws("").await;
    assert_eq!(ws.frame().await["type"], "snapshot");
    app.sql(&expand(
        "with recursive n (i) as (select 1 union select i + 1 from n where i < 2500)
         insert into events (task_id, kind) select '{a}', 'log' from n",
    ));
    assert_eq!(frame_of_kind(&mut ws, "event.logged").await["count"], 2500);
}

/// The sample of each kind of notice fits both documents, and its JSON parses to the same notice.
#[test]
fn samples_of_notices_fit_the_documents() {
    let schemas = Schemas::read();
    for sample in Notice::samples() {
        let frame = Frame::new(FrameKind::Notice(sample), Cursor::counter("e", 5));
        let sent = serde_json::to_value(&frame).unwrap();
        schemas.check(&sent);
        assert_eq!(serde_json::from_value::<Incoming>(sent).unwrap(), Incoming::Frame(frame));
    }
}

async fn frame_of_kind(ws: &mut Ws, kind: &str) -> Value {
    loop {
        let frame = ws.frame().await;
        if frame["type"] == kind {
            return frame;
        }
    }
}
