//! Corrects the schemas that the framework makes.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";

/// Corrects all schemas of an OpenAPI document, so that they match the wire.
pub(super) fn mend(document: &mut Value) {
    let mut sent = HashSet::new();
    super::for_each_operation(document, |_, _, operation| {
        if let Some(body) = operation.get("requestBody") {
            references(body, &mut sent);
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
        mend_schemas(schemas, &sent);
    }
    tidy(document);
    if let Some(document) = document.as_object_mut() {
        document.retain(|_, value| *value != json!([]));
    }
}

/// Corrects schemas without their document. In a body that is `sent` to the server, an optional field can be missing or
/// `null`. In any other schema every field is present, and an optional one can be `null`.
pub(super) fn mend_schemas(schemas: &mut Map<String, Value>, sent: &HashSet<String>) {
    let known = schemas.clone();
    for (name, schema) in schemas {
        let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        for (field, property) in properties.iter_mut() {
            let comment = fold(property);
            if !required.iter().any(|name| name == field) {
                make_nullable(property, comment, &known);
            }
        }
        let all: Vec<Value> = properties.keys().map(|field| json!(field)).collect();
        if !sent.contains(name) {
            schema["required"] = json!(all);
        }
    }
}

/// Turns a schema of OpenAPI 3.0 into JSON Schema, which has no `nullable`.
pub fn json_schema(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.remove("nullable") == Some(json!(true))
                && let Some(kind) = map.get("type").cloned()
            {
                map.insert("type".to_owned(), json!([kind, "null"]));
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

/// Marks a value as nullable. A reference cannot be nullable, so its target is copied in its place; here all such
/// targets are enums.
fn make_nullable(schema: &mut Value, comment: Option<Value>, known: &Map<String, Value>) {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(SCHEMAS));
    if let Some(written_out) = name.and_then(|name| known.get(name)).cloned() {
        *schema = written_out;
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
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

/// Removes `"deprecated": false`, which is the default, and writes bounds of whole numbers without a fraction.
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
            map.values_mut().for_each(tidy);
        }
        Value::Array(all) => all.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
