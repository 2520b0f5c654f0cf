//! The AsyncAPI document of the streams, generated from the types in `protocol`.

use poem_openapi::registry::Registry;
use poem_openapi::types::Type;
use serde_json::{Map, Value, json};

use super::{TITLE, schema, text};
use crate::protocol::{Cursor, Frame, VERSION, Watch};

const ABOUT: &str = "The streams of requery. Each message is one JSON object, a frame; the frames and their order are \
    the same on both channels. The first frame of a stream is `resumed` if the stream continues from `since`, or else \
    `snapshot`. A notice says that a change happened and where, and never has the new value: a client requests it over \
    REST. A frame of an unknown type makes every watched read model stale.";

/// The document, as it is checked in.
pub fn asyncapi() -> String {
    let mut schemas = schemas();
    let frames = frames(&mut schemas);
    let references = |channel: &str| -> Vec<Value> {
        frames.keys().map(|kind| json!({ "$ref": format!("#/channels/{channel}/messages/{kind}") })).collect()
    };
    let messages = || -> Map<String, Value> {
        let reference = |kind: &String| json!({ "$ref": format!("#/components/messages/{kind}") });
        frames.keys().map(|kind| (kind.clone(), reference(kind))).collect()
    };
    let mut on_websocket = messages();
    on_websocket.insert("watch".to_owned(), json!({ "$ref": "#/components/messages/watch" }));
    let mut components = frames.clone();
    components.insert("watch".to_owned(), watch());
    let query = json!({
        "type": "object",
        "properties": {
            "project": {
                "type": "string",
                "description": "Only changes of this project. Default: all projects.",
            },
            "since": { "type": "string", "description": "The cursor of the last frame that the client has." },
        },
    });
    text(&json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": format!("{TITLE} streams"),
            "version": VERSION,
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": {
            "websocket": {
                "address": "/ws",
                "title": "WebSocket",
                "description": "Text messages. `watch` is the only message that a client sends.",
                "messages": on_websocket,
                "bindings": { "ws": { "method": "GET", "query": query } },
            },
            "events": {
                "address": "/api/v1/stream",
                "title": "Server-sent events",
                "description": "`data:` is the frame, `id:` its cursor, left out if `more` is true. No `event:` is \
                    sent. `Last-Event-ID` wins over `since`.",
                "messages": messages(),
            },
        },
        "operations": {
            "sendFrames": {
                "action": "send",
                "channel": { "$ref": "#/channels/websocket" },
                "summary": "The frames of the stream",
                "messages": references("websocket"),
            },
            "receiveWatch": {
                "action": "receive",
                "channel": { "$ref": "#/channels/websocket" },
                "summary": "The read models that the client watches now; the answer is `watching`",
                "messages": [{ "$ref": "#/channels/websocket/messages/watch" }],
            },
            "sendEvents": {
                "action": "send",
                "channel": { "$ref": "#/channels/events" },
                "summary": "The frames of the stream",
                "messages": references("events"),
                "bindings": { "http": { "method": "GET", "query": query } },
            },
        },
        "components": { "messages": components, "schemas": schemas },
    }))
}

fn schemas() -> Map<String, Value> {
    let mut registry = Registry::new();
    Cursor::register(&mut registry);
    Frame::register(&mut registry);
    Watch::register(&mut registry);
    let mut schemas = match serde_json::to_value(&registry.schemas) {
        Ok(Value::Object(schemas)) => schemas,
        Ok(_) | Err(_) => Map::new(),
    };
    schema::mend_schemas(&mut schemas, &schema::Bodies::default());
    schemas.values_mut().for_each(schema::json_schema);
    schemas
}

/// The messages of the document: one for each kind of frame. Removes the schema of `Frame` from `schemas` and splits it
/// by kind.
fn frames(schemas: &mut Map<String, Value>) -> Map<String, Value> {
    let all = schemas.remove(Frame::name().as_ref()).unwrap_or_default();
    let kinds = all["oneOf"].as_array().cloned().unwrap_or_default();
    let message = |frame: Value| {
        let kind = frame["properties"]["type"]["enum"][0].as_str()?.to_owned();
        let payload = frame["properties"]["payload"]["$ref"].as_str()?.rsplit('/').next()?.to_owned();
        let summary = schemas.get(&payload)?["description"].clone();
        Some((kind.clone(), json!({ "name": kind, "summary": summary, "payload": frame })))
    };
    kinds.into_iter().filter_map(message).collect()
}

fn watch() -> Value {
    json!({
        "name": "watch",
        "summary": "Narrows the stream to these read models. A later `watch` replaces this one.",
        "payload": {
            "type": "object",
            "required": ["type", "payload"],
            "properties": {
                "type": { "type": "string", "enum": ["watch"] },
                "payload": { "$ref": "#/components/schemas/Watch" },
            },
        },
    })
}
