//! Adds to each operation the answers that report a failure. They follow from the path, the parameters and the body.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::server::error::PROBLEM;

/// Adds the failures of every operation.
pub(super) fn add(document: &mut Value) {
    super::for_each_operation(document, |path, method, operation| {
        let failures = failures(path, method, operation);
        let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
        let mut all: BTreeMap<String, Value> = std::mem::take(responses).into_iter().collect();
        all.extend(
            failures.into_iter().map(|(status, description)| (status.to_string(), problem(status, description))),
        );
        responses.extend(all);
    });
}

fn failures(path: &str, method: &str, operation: &Map<String, Value>) -> Vec<(u16, &'static str)> {
    let forbidden = (403, "The `Host` or the `Origin` is not allowed.");
    if path == "/healthz" {
        return vec![forbidden];
    }
    if path == "/api/v1/streams" {
        // The answer is in memory.
        return vec![forbidden, (500, "The server failed.")];
    }
    if path == "/readyz" {
        return vec![forbidden, (503, "The database is away.")];
    }
    let takes_body = operation.contains_key("requestBody");
    let is_json = takes_body && !path.contains("/transcripts/");
    let is_hook = path.contains("/hooks/");
    let is_paged = operation
        .get("parameters")
        .and_then(Value::as_array)
        .is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "before"));
    let makes_rows = operation["responses"].get("201").is_some();
    let all = [
        (true, forbidden.0, forbidden.1),
        (takes_body && !is_json, 400, "The body broke off."),
        (is_json, 400, "The body is not JSON, is not UTF-8, nests deeper than 64, or broke off."),
        (
            is_hook && is_json,
            400,
            "The body is not JSON, nests deeper than 64 or broke off, or `Requery-At` is no time.",
        ),
        (!takes_body && method == "get" && path != "/api/v1/stream", 400, "A header is malformed."),
        (is_paged, 400, "A header is malformed, or `before` or `after` is not a token of this list."),
        (path.contains('{'), 404, "The row that the path names does not exist."),
        (takes_body, 408, "The body did not arrive within 30 seconds."),
        (makes_rows, 409, "The id cannot be used."),
        (takes_body, 413, "The body is too long."),
        (is_json && !is_hook, 415, "The body is not `application/json`."),
        (true, 422, "A field or a parameter is invalid; `errors` names it."),
        (true, 500, "The server failed."),
        (true, 503, "The database is away or busy, or the server is shutting down. Try again after `Retry-After`."),
    ];
    all.into_iter().filter_map(|(fits, status, description)| fits.then_some((status, description))).collect()
}

fn problem(status: u16, description: &str) -> Value {
    let mut problem = json!({
        "description": description,
        "content": { PROBLEM: { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    if status == 503 {
        problem["headers"] = json!({
            "Retry-After": { "description": "The wait in seconds.", "required": true, "schema": { "type": "integer" } },
        });
    }
    problem
}
