//! Answers with changes alone, applied to the held answers. The rules are in `docs/protocol.md`, "Changes since a
//! cursor".

use std::collections::HashSet;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The parts of a task detail that a change replaces as a whole.
const WHOLE: [&str; 7] = ["task", "figures", "usage", "models", "todos", "open_calls", "files"];

/// The changes of a list.
#[derive(Deserialize)]
struct ListChanges {
    changed: Vec<PlacedRow>,
    removed: HashSet<String>,
    length: usize,
    next: Value,
    previous: Value,
}

#[derive(Deserialize)]
struct PlacedRow {
    at: usize,
    item: Value,
}

/// Applies the changes of a page whose rows have their id in the field `id`.
pub(super) fn apply_to_page(held: &[u8], changes: &[u8], id: &str) -> Option<Bytes> {
    let mut page: Map<String, Value> = serde_json::from_slice(held).ok()?;
    let changes: ListChanges = serde_json::from_slice(changes).ok()?;
    apply(page.get_mut("items")?, changes.changed, &changes.removed, changes.length, id)?;
    page.insert("next".to_owned(), changes.next);
    page.insert("previous".to_owned(), changes.previous);
    serde_json::to_vec(&page).ok().map(Bytes::from)
}

/// Applies the changes of a task detail. A part that is `null` did not change.
pub(super) fn apply_to_detail(held: &[u8], changes: &[u8]) -> Option<Bytes> {
    let mut detail: Map<String, Value> = serde_json::from_slice(held).ok()?;
    let mut changes: Map<String, Value> = serde_json::from_slice(changes).ok()?;
    let mut take = |part: &str| changes.remove(part).filter(|change| !change.is_null());
    for part in WHOLE {
        if let Some(change) = take(part) {
            detail.insert(part.to_owned(), change);
        }
    }
    for (part, id) in [("sessions", "session_id"), ("children", "task_id")] {
        if let Some(change) = take(part) {
            let change: ListChanges = serde_json::from_value(change).ok()?;
            apply(detail.get_mut(part)?, change.changed, &change.removed, change.length, id)?;
        }
    }
    if let Some(change) = take("timeline") {
        let change: ListChanges = serde_json::from_value(change).ok()?;
        let timeline = detail.get_mut("timeline")?.as_object_mut()?;
        apply(timeline.get_mut("items")?, change.changed, &change.removed, change.length, "event_id")?;
        timeline.insert("next".to_owned(), change.next);
    }
    serde_json::to_vec(&detail).ok().map(Bytes::from)
}

/// Makes the list of now. None: the held list is not the one whose changes these are.
fn apply(list: &mut Value, changed: Vec<PlacedRow>, removed: &HashSet<String>, length: usize, id: &str) -> Option<()> {
    let rows = list.as_array_mut()?;
    let moved: HashSet<&str> = changed.iter().filter_map(|row| row.item.get(id)?.as_str()).collect();
    let stays = |row: &Value| {
        let id = row.get(id).and_then(Value::as_str).unwrap_or_default();
        !removed.contains(id) && !moved.contains(id)
    };
    rows.retain(stays);
    for PlacedRow { at, item } in changed {
        if at > rows.len() {
            return None;
        }
        rows.insert(at, item);
    }
    rows.truncate(length);
    (rows.len() == length).then_some(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{apply_to_detail, apply_to_page};

    fn page(ids: &str, next: Option<&str>) -> Value {
        let items: Vec<Value> = ids.chars().map(|id| json!({ "id": id.to_string(), "v": 1 })).collect();
        json!({ "items": items, "next": next, "previous": null })
    }

    fn changes(changed: &[(usize, &str)], removed: &[&str], length: usize) -> Value {
        let changed: Vec<Value> =
            changed.iter().map(|(at, id)| json!({ "at": at, "item": { "id": id, "v": 2 } })).collect();
        json!({ "full": false, "changed": changed, "removed": removed, "length": length, "next": "n", "previous": null })
    }

    fn ids(held: &Value, changes: &Value) -> Option<String> {
        let bytes = |value: &Value| serde_json::to_vec(value).expect("JSON");
        let made = apply_to_page(&bytes(held), &bytes(changes), "id")?;
        let made: Value = serde_json::from_slice(&made).expect("JSON");
        assert_eq!(made["next"], "n");
        let word = |row: &Value| format!("{}{}", row["id"].as_str().unwrap_or("?"), row["v"]);
        Some(made["items"].as_array()?.iter().map(word).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_changed_rows_come_to_their_places() {
        let held = page("abc", Some("m"));
        let check = |changed: &[(usize, &str)], removed: &[&str], length, expected: Option<&str>| {
            assert_eq!(ids(&held, &changes(changed, removed, length)).as_deref(), expected, "{changed:?} {removed:?}");
        };
        check(&[], &[], 3, Some("a1 b1 c1"));
        check(&[(0, "c")], &[], 3, Some("c2 a1 b1"));
        check(&[(0, "x"), (1, "y")], &[], 3, Some("x2 y2 a1"));
        check(&[(2, "z")], &["b"], 3, Some("a1 c1 z2"));
        check(&[], &["a", "b"], 1, Some("c1"));
        check(&[], &["a", "b", "c"], 0, Some(""));
        // The held list is another one.
        check(&[], &["a"], 3, None);
        check(&[(5, "x")], &[], 4, None);
    }

    #[test]
    fn a_part_of_a_detail_that_is_null_stays() {
        let held = json!({ "task": { "v": 1 }, "sessions": [{ "session_id": "s", "v": 1 }], "children": [], "figures": 1,
            "timeline": { "items": [{ "event_id": "e" }], "next": "m" }, "later": 7 });
        let row = |id: &str, name: &str| json!([{ "at": 0, "item": { name: id, "v": 2 } }]);
        let list = |changed: Value, length: usize| {
            json!({ "changed": changed, "removed": [], "length": length,
            "next": null, "previous": null })
        };
        let change = json!({ "full": false, "task": { "v": 2 }, "sessions": null, "children": list(row("c", "task_id"), 1),
            "figures": null, "timeline": list(row("f", "event_id"), 2) });
        let bytes = |value: &Value| serde_json::to_vec(value).expect("JSON");
        let made = apply_to_detail(&bytes(&held), &bytes(&change)).expect("a detail");
        let made: Value = serde_json::from_slice(&made).expect("JSON");
        assert_eq!(made["task"], json!({ "v": 2 }));
        assert_eq!((&made["sessions"], &made["figures"], &made["later"]), (&held["sessions"], &json!(1), &json!(7)));
        assert_eq!(made["children"], json!([{ "task_id": "c", "v": 2 }]));
        assert_eq!(
            made["timeline"],
            json!({ "items": [{ "event_id": "f", "v": 2 }, { "event_id": "e" }], "next": null })
        );
        // A list that does not fit spoils the whole detail.
        let change = json!({ "full": false, "sessions": list(json!([]), 9) });
        assert!(apply_to_detail(&bytes(&held), &bytes(&change)).is_none());
    }
}
