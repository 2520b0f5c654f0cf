//! The frames that are no notices, each caused on purpose and held against both documents.

use std::collections::BTreeSet;
use std::time::Duration;

use requery::protocol::{Cursor, Frame, FrameKind, Incoming, Notice};
use serde_json::Value;

use super::wire::{Schemas, expand};
use crate::app::{App, Ws};

/// Every kind there is, and its payload's fields in their order.
const FIELDS: &[(&str, &str)] = &[
    ("snapshot", "stats tasks server_time heartbeat_ms version"),
    ("resumed", "server_time heartbeat_ms version stale"),
    ("heartbeat", "server_time"),
    ("watching", "read_models"),
    ("stale", "read_models"),
    ("resync", "reason"),
    ("closing", "retry_ms"),
];

/// Inserts so many tasks in one statement.
fn tasks(count: usize) -> String {
    format!(
        "with recursive n (i) as (select 1 union select i + 1 from n where i < {count})
         insert into tasks (title) select i from n"
    )
}

#[tokio::test]
async fn every_frame_other_than_notices_fits_the_documents() {
    let app = App::start_with(|config| config.heartbeat = Duration::from_millis(500)).await;
    app.sql(&expand("insert into tasks (id, title, parent_task_id) values ('{a}', 'a', '{b}')"));
    let mut seen = Vec::new();
    let mut ws = app.ws("").await;
    seen.push(ws.frame().await);
    let cursor = seen[0]["cursor"].as_str().unwrap().to_owned();
    app.sql(&expand("update tasks set status = 'waiting', status_reason = 'why'"));
    seen.push(app.ws(&format!("?since={cursor}")).await.frame().await);
    seen.push(until(&mut ws, "heartbeat").await);
    let models = expand(r#"["overview","bookmarks","task:{a}","task:*"]"#);
    let watch = format!(r#"{{"type":"watch","payload":{{"read_models":{models}}}}}"#);
    ws.send(tokio_tungstenite::tungstenite::Message::Text(watch.into())).await;
    let watching = until(&mut ws, "watching").await;
    assert_eq!(watching["payload"]["read_models"].to_string(), models);
    seen.push(watching);
    app.sql(&tasks(100));
    seen.push(until(&mut ws, "stale").await);
    app.sql(&tasks(1_000));
    seen.push(until(&mut ws, "resync").await);
    app.begin_stop();
    seen.push(until(&mut ws, "closing").await);

    let schemas = Schemas::read();
    let mut kinds = BTreeSet::new();
    for frame in &seen {
        schemas.check(frame);
        let kind = frame["type"].as_str().unwrap();
        let fields: Vec<_> = frame["payload"].as_object().unwrap().keys().map(String::as_str).collect();
        assert!(FIELDS.contains(&(kind, &fields.join(" "))), "{frame}");
        assert_eq!(frame.as_object().unwrap().keys().collect::<Vec<_>>(), ["type", "payload", "cursor"], "{frame}");
        kinds.insert(kind);
    }
    assert_eq!(kinds, FrameKind::KINDS.iter().copied().collect());
}

/// Each kind of notice, as the catalogue has it, is in both documents and reads back as itself.
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

async fn until(ws: &mut Ws, kind: &str) -> Value {
    loop {
        let frame = ws.frame().await;
        if frame["type"] == kind {
            return frame;
        }
    }
}
