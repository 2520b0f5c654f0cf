//! What each notice makes stale, as a table that clients in other languages read.

use serde_json::{Map, Value, json};

use super::text;
use crate::engine::invalidation::places;
use crate::protocol::{Notice, VERSION};

/// The table, as it is checked in: for each kind of notice the places it makes stale. `task` is the task it names,
/// `parent` the one in its `parent_task_id`, `task:*` every task.
pub fn invalidation() -> String {
    let id = "00000000-0000-7000-8000-000000000000";
    // One payload that has the fields of every kind: unknown fields are ignored.
    let payload = json!({
        "task_id": id, "session_id": id, "event_id": id, "bookmark_id": id, "project": "", "parent_task_id": id,
        "status": "completed", "count": 1,
    });
    let stale = |kind: &&str| {
        let notice: Notice = serde_json::from_value(json!({ "type": kind, "payload": payload })).ok()?;
        let places: Vec<Value> = places(&notice).iter().map(|place| json!(place.as_str())).collect();
        Some(((*kind).to_owned(), Value::Array(places)))
    };
    let notices: Map<String, Value> = Notice::KINDS.iter().filter_map(stale).collect();
    text(&json!({ "version": VERSION, "notices": notices, "anything_else": ["everything watched"] }))
}

#[cfg(test)]
mod tests {
    use super::{Notice, Value, invalidation};

    #[test]
    fn every_kind_is_in_the_table() {
        let table: Value = serde_json::from_str(&invalidation()).expect("JSON");
        for kind in Notice::KINDS {
            assert!(table["notices"][kind].as_array().is_some_and(|places| !places.is_empty()), "{kind}");
        }
    }
}
