//! The bounds of texts, as the verbs of `ingest` check them.
//!
//! The framework takes bounds as literals only. Here they are the constants that the checks use, and a test sends a
//! text of each longest length to a server, and a longer one. JSON Schema counts characters: of a bound in bytes the
//! document states that no longer text can fit.

use serde_json::{Value, json};

use crate::protocol::limits;

const TITLE: (usize, usize) = (1, limits::LINE_CHARACTERS);
const LINE: (usize, usize) = (0, limits::LINE_CHARACTERS);
const DETAIL: (usize, usize) = (0, limits::STATUS_DETAIL_CHARACTERS);
const PROJECT: (usize, usize) = (0, limits::PROJECT_CHARACTERS);
const SOURCE: (usize, usize) = (1, limits::SOURCE_CHARACTERS);
const WORKSPACE: (usize, usize) = (0, limits::WORKSPACE_CHARACTERS);
const TEXT: (usize, usize) = (0, limits::TEXT_BYTES);
const HOST: (usize, usize) = (0, limits::HOST_CHARACTERS);
const VERSION: (usize, usize) = (0, limits::AGENT_VERSION_CHARACTERS);
const KIND: (usize, usize) = (1, limits::EVENT_KIND_CHARACTERS);

/// The fields of bodies with their shortest and longest lengths.
const BOUNDS: &[(&str, &str, (usize, usize))] = &[
    ("NewTask", "title", TITLE),
    ("NewTask", "project", PROJECT),
    ("NewTask", "workspace", WORKSPACE),
    ("NewTask", "source", SOURCE),
    ("NewTask", "status_reason", LINE),
    ("NewTask", "status_detail", DETAIL),
    ("NewTask", "summary", TEXT),
    ("TaskPatch", "title", TITLE),
    ("TaskPatch", "project", PROJECT),
    ("TaskPatch", "workspace", WORKSPACE),
    ("TaskPatch", "status_reason", LINE),
    ("TaskPatch", "status_detail", DETAIL),
    ("TaskPatch", "summary", TEXT),
    ("NewSession", "source", SOURCE),
    ("NewSession", "runtime_session_id", LINE),
    ("SessionPatch", "summary", TEXT),
    ("NewEvent", "kind", KIND),
    ("NewEvent", "title", LINE),
    ("EventPatch", "title", LINE),
    ("SaveBookmark", "title", LINE),
    ("SaveBookmark", "note", TEXT),
    ("RegisterAgent", "source", SOURCE),
    ("RegisterAgent", "host", HOST),
    ("RegisterAgent", "version", VERSION),
];

/// Adds the bounds to the schemas of bodies and to the parameters.
pub(super) fn add(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    for (schema, field, (least, most)) in BOUNDS {
        let property = &mut schemas[schema]["properties"][field];
        if *least > 0 {
            property["minLength"] = json!(least);
        }
        property["maxLength"] = json!(most);
    }
    schemas["NewEvent"]["properties"]["kind"]["pattern"] = json!("^[a-z0-9._]+$");
    super::for_each_operation(document, |_, _, operation| {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let most = match parameter["name"].as_str() {
                Some("q") => limits::QUERY_CHARACTERS,
                Some("Requery-At-Least") => limits::CURSOR_BYTES,
                _ => continue,
            };
            parameter["schema"]["maxLength"] = json!(most);
        }
    });
}
