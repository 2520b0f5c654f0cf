//! Corrects the schemas that the framework makes.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";

/// Corrects all schemas of an OpenAPI document, so that they match the wire.
pub(super) fn mend(document: &mut Value) {
    let (mut sent, mut changes) = (HashSet::new(), HashSet::new());
    super::for_each_operation(document, |_, method, operation| {
        if let Some(body) = operation.get("requestBody") {
            references(body, if method == "patch" { &mut changes } else { &mut sent });
        }
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(parameter) = parameter.as_object_mut() else { continue };
            parameter.remove("explode");
            if let Some(schema) = parameter.get_mut("schema") {
                fold(schema);
            }
        }
    });
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        mend_schemas(schemas, &Bodies { sent, changes });
    }
    tidy(document);
    if let Some(document) = document.as_object_mut() {
        document.retain(|_, value| *value != json!([]));
    }
}

/// The names of the schemas of bodies.
#[derive(Default)]
pub(super) struct Bodies {
    /// A field of these can be missing or `null`, which mean the same.
    sent: HashSet<String>,
    /// A field of these can be missing. It can be `null` only if `null` is a value of its own.
    changes: HashSet<String>,
}

/// Corrects schemas without their document. In a schema that is no body every field is present, and an optional one can
/// be `null`.
pub(super) fn mend_schemas(schemas: &mut Map<String, Value>, bodies: &Bodies) {
    for (name, schema) in schemas {
        let (is_sent, is_change) = (bodies.sent.contains(name), bodies.changes.contains(name));
        let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        for (field, property) in properties.iter_mut() {
            let is_nullable = property["nullable"] == json!(true);
            let comment = fold(property);
            if is_nullable || !(is_change || required.iter().any(|name| name == field)) {
                make_nullable(property, comment);
            }
        }
        let all: Vec<Value> = properties.keys().map(|field| json!(field)).collect();
        if !is_sent && !is_change {
            schema["required"] = json!(all);
        }
    }
}

/// Turns a schema of OpenAPI 3.0 into JSON Schema, which has no `nullable`.
pub fn json_schema(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.remove("nullable") == Some(json!(true)) {
                if let Some(kind) = map.get("type").cloned() {
                    map.insert("type".to_owned(), json!([kind, "null"]));
                } else if let Some(choices) = map.get_mut("oneOf").and_then(Value::as_array_mut) {
                    choices.push(json!({ "type": "null" }));
                }
            }
            map.values_mut().for_each(json_schema);
        }
        Value::Array(all) => all.iter_mut().for_each(json_schema),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The framework makes an `allOf` of a reference and its comment. Replaces the `allOf` by the reference and returns the
/// comment.
fn fold(schema: &mut Value) -> Option<Value> {
    let comment = schema.get("description").cloned();
    let reference = schema.get("allOf").and_then(|all| all.get(0)).filter(|first| first.get("$ref").is_some()).cloned();
    if let Some(reference) = reference {
        *schema = reference;
    }
    comment
}

/// Marks a value as nullable. A reference cannot be nullable, so it becomes the only choice of a nullable schema: a
/// client then has one type for the words of a set, wherever they stand.
fn make_nullable(schema: &mut Value, comment: Option<Value>) {
    if schema.get("$ref").is_some() {
        *schema = json!({ "oneOf": [schema.take()] });
    }
    schema["nullable"] = json!(true);
    if let Some(comment) = comment {
        schema["description"] = comment;
    }
}

/// Collects the names of all referenced schemas.
fn references(value: &Value, names: &mut HashSet<String>) {
    match value {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(SCHEMAS));
            names.extend(name.map(str::to_owned));
            map.values().for_each(|value| references(value, names));
        }
        Value::Array(all) => all.iter().for_each(|value| references(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Removes `"deprecated": false`, which is the default, writes bounds of whole numbers without a fraction, and counts
/// the items of a list instead of the characters of a text.
fn tidy(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|bound| bound.fract() == 0.0 && number.is_f64()) {
                *value = json!(whole as i64);
            }
        }
        Value::Object(map) => {
            if map.get("deprecated") == Some(&json!(false)) {
                map.remove("deprecated");
            }
            if map.get("type") == Some(&json!("array")) {
                for (characters, items) in [("minLength", "minItems"), ("maxLength", "maxItems")] {
                    if let Some(count) = map.remove(characters) {
                        map.insert(items.to_owned(), count);
                    }
                }
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(all) => all.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
