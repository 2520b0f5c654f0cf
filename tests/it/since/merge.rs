//! The rule of the contract by which a client merges the changes of an answer into the answer that it holds.

use serde_json::{Value, json};

/// The answer of now, from the held one and an answer to a request with `since`.
pub fn merge(held: &Value, answer: &Value) -> Value {
    if answer["full"] != false {
        return answer.clone();
    }
    if held.get("items").is_some() {
        return page(held, answer);
    }
    let mut merged = held.clone();
    for (part, changed) in answer.as_object().unwrap().iter().filter(|(_, changed)| !changed.is_null()) {
        merged[part] = match part.as_str() {
            "full" => continue,
            "sessions" | "children" => json!(items(held[part].as_array().unwrap(), changed)),
            "timeline" => {
                let merged = page(&held[part], changed);
                json!({ "items": merged["items"], "next": merged["next"] })
            }
            _ => changed.clone(),
        };
    }
    merged
}

fn page(held: &Value, changes: &Value) -> Value {
    let items = items(held["items"].as_array().unwrap(), changes);
    json!({ "items": items, "next": changes["next"], "previous": changes["previous"] })
}

/// Takes out the removed and the changed rows, puts the changed rows in their places, and cuts the list at its length.
fn items(held: &[Value], changes: &Value) -> Vec<Value> {
    let changed = changes["changed"].as_array().unwrap();
    let removed = changes["removed"].as_array().unwrap();
    let is_replaced = |row: &&Value| changed.iter().any(|placed| id(&placed["item"]) == id(row));
    let mut items: Vec<Value> =
        held.iter().filter(|row| !removed.contains(id(row)) && !is_replaced(row)).cloned().collect();
    for placed in changed {
        items.insert(usize::try_from(placed["at"].as_u64().unwrap()).unwrap(), placed["item"].clone());
    }
    let length = usize::try_from(changes["length"].as_u64().unwrap()).unwrap();
    items.truncate(length);
    assert_eq!(items.len(), length, "a client with another length requests the whole list: {changes}");
    items
}

/// The id of a row. A bookmark and an event also name other rows.
fn id(row: &Value) -> &Value {
    let field = ["bookmark_id", "event_id", "session_id", "task_id"].into_iter().find(|field| row.get(field).is_some());
    &row[field.unwrap_or_else(|| panic!("no id: {row}"))]
}
