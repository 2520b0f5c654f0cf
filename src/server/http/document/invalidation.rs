//! The read models that each notice makes stale, as a table that clients in other languages read.

use serde_json::{Map, Value, json};

use super::text;
use crate::engine::invalidation::templates;
use crate::protocol::{NoticeKind, VERSION};

/// The table, as it is checked in: for each kind of notice the templates of the read models it makes stale. `{field}`
/// stands for the field of that name in the payload; a template with a field that is `null` is left out. `task:*` is
/// every task.
pub fn invalidation() -> String {
    let templates_of = |kind: NoticeKind| -> Vec<String> { templates(kind).iter().map(ToString::to_string).collect() };
    let notices: Map<String, Value> =
        NoticeKind::ALL.iter().map(|kind| (kind.as_str().to_owned(), json!(templates_of(*kind)))).collect();
    text(&json!({ "version": VERSION, "notices": notices, "anything_else": ["everything watched"] }))
}
