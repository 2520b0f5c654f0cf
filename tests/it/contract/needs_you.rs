//! Each change of an entry in `needs_you` makes the overview and the task stale, whichever program writes it.

use std::collections::BTreeSet;

use requery::engine::invalidation::templates;
use requery::protocol::NoticeKind;
use serde_json::{Value, json};

use super::{Wire, id};

/// For each field of an entry the writes that change it. The field `task_id` stands for the entry itself.
const CHANGES: &[(&str, &str)] = &[
    ("title", "update tasks set title = 'another' where id = '{a}'"),
    ("title", r#"PATCH /api/v1/tasks/{a} {"title":"by request"}"#),
    ("project", "update tasks set project = 'q' where id = '{a}'"),
    ("source", "update tasks set source = 'mine' where id = '{a}'"),
    ("reason", "update tasks set status_reason = 'permission' where id = '{a}'"),
    ("detail", "update tasks set status_detail = 'Bash: make' where id = '{a}'"),
    ("status_certain", "update tasks set status_certain = 0 where id = '{a}'"),
    ("status_certain", r#"PATCH /api/v1/tasks/{a} {"status":"waiting"}"#),
    ("since", "update tasks set status_since = 1000 where id = '{a}'"),
    ("reason", "update tasks set stale_since = 2000, stale_reason = 'silent' where id = '{a}'"),
    ("since", "update tasks set stale_since = 3000 where id = '{a}'"),
    ("reason", "update tasks set stale_reason = 'gone' where id = '{a}'"),
    ("status", "update tasks set status = 'errored', status_reason = 'overloaded' where id = '{a}'"),
    ("detail", "update tasks set status_detail = 'the disk is full' where id = '{a}'"),
    ("since", "update tasks set status_since = 4000 where id = '{a}'"),
    // An errored task with a memory that was never heard is imported history.
    ("task_id", "update tasks set ingest_state = '{}' where id = '{a}'"),
    ("task_id", "update tasks set heard_at = 5000 where id = '{a}'"),
    ("task_id", "update tasks set heard_at = null where id = '{a}'"),
    ("task_id", "update tasks set ingest_state = null where id = '{a}'"),
    ("task_id", "update tasks set status = 'running' where id = '{a}'"),
    ("status", "update tasks set status = 'waiting' where id = '{a}'"),
    ("task_id", "update tasks set status_reason = 'ready' where id = '{a}'"),
    ("reason", "update tasks set status_reason = 'finished' where id = '{a}'"),
    ("task_id", "update tasks set status_reason = 'scheduled' where id = '{a}'"),
    ("reason", "update tasks set status_reason = 'interrupted' where id = '{a}'"),
    ("task_id", "delete from tasks where id = '{a}'"),
];

#[tokio::test]
async fn every_change_of_an_entry_makes_the_overview_stale() {
    let mut wire = Wire::start().await;
    let waits = "insert into tasks (id, title, status, status_reason) values ('{a}', 'a', 'waiting', 'question')";
    wire.write(waits).await;
    wire.frames().await;
    let url = wire.app.url("/api/v1/overview");
    let entry = async || {
        let answer = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let overview: Value = serde_json::from_str(&answer).unwrap();
        let entries = overview["needs_you"].as_array().unwrap().clone();
        entries.into_iter().find(|entry| entry["task_id"] == json!(id("a"))).unwrap_or_default()
    };
    let mut before = entry().await;
    let fields: BTreeSet<String> = before.as_object().unwrap().keys().cloned().collect();
    let changed: BTreeSet<String> = CHANGES.iter().map(|(field, _)| (*field).to_owned()).collect();
    assert_eq!(fields, changed, "each field has a write that changes it");
    for (field, write) in CHANGES {
        wire.write(write).await;
        let frames = wire.frames().await;
        let after = entry().await;
        assert_ne!(before[field], after[field], "{write} changes the field {field}");
        before = after;
        let is_told = |line: &String| {
            let (kind, rest) = line.split_once(' ').unwrap();
            let stale: Vec<_> = templates(NoticeKind::parse(kind).unwrap()).iter().map(ToString::to_string).collect();
            rest.contains("task_id=a")
                && ["overview", "task:{task_id}"].iter().all(|model| stale.iter().any(|one| one == model))
        };
        assert!(frames.iter().any(is_told), "{write} is told: {frames:?}");
    }
}
