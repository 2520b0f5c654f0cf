//! What a record looks like in the timeline: title, body and metadata, all bounded.

use serde_json::{Map, Value};

use super::record::HookRecord;
use super::tool;
use crate::agent::hook_catalogue::{HookName, PairedRow, RowBody, RowEffect, RowTitle};
use crate::protocol::model::ToolFamily;
use crate::server::ingest::text::{self, MAX_EVENT_BODY_BYTES, MAX_EVENT_TITLE_CHARACTERS};

/// The longest tool input in bytes of JSON that is kept as it is; of a longer one only what is short.
const MAX_INPUT_BYTES: usize = 16 * 1024;

/// The longest text or list in bytes of JSON that metadata keeps; a longer text is cut, anything else left out.
const MAX_FIELD_BYTES: usize = 1024;

/// How many bytes of JSON metadata keeps of an object that is not ours. Twice this, and all is within 64 KiB.
const MAX_METADATA_BYTES: usize = 28 * 1024;

/// An entry of the timeline, but for its ids, its state and its time.
pub struct TimelineRow {
    /// Its kind.
    pub kind: &'static str,
    /// For a tool call, what it works on.
    pub family: Option<ToolFamily>,
    /// One line.
    pub title: String,
    /// The text.
    pub body: Option<String>,
    /// The size of the whole body, where it was cut.
    pub truncated: Option<u64>,
    /// What else is known.
    pub metadata: Map<String, Value>,
}

impl TimelineRow {
    /// The row of a record.
    pub fn of(record: &HookRecord) -> Self {
        let (kind, effect) = record.row();
        let tool = matches!(effect, RowEffect::Begin(PairedRow::Tool) | RowEffect::End(PairedRow::Tool, _));
        let family = record.text("tool_name").filter(|_| tool).and_then(tool::family);
        Self::new(kind, family, &title(record), body(record), metadata(record))
    }

    /// The second row of a call that was denied: that it was is an entry of its own.
    pub fn of_denial(record: &HookRecord) -> Self {
        let title = format!("Denied {}", tool::title(record));
        Self::new("permission.denied", None, &title, own(record, "reason"), bounded(tool::facts(record)))
    }

    fn new(
        kind: &'static str,
        family: Option<ToolFamily>,
        title: &str,
        body: Option<String>,
        metadata: Map<String, Value>,
    ) -> Self {
        let (body, truncated) = match body.as_deref().map(|body| text::cut(body, MAX_EVENT_BODY_BYTES)) {
            Some((_, None)) | None => (body, None),
            Some((start, whole)) => (Some(start.to_owned()), whole),
        };
        Self { kind, family, title: text::one_line(title, MAX_EVENT_TITLE_CHARACTERS), body, truncated, metadata }
    }
}

fn title(record: &HookRecord) -> String {
    let text = |field| record.text(field).unwrap_or_default();
    match record.hook.entry().title {
        _ if record.is_compacted() => "Session goes on after a compaction".into(),
        RowTitle::HookName => record.name().to_owned(),
        RowTitle::WithDetail(title, field) => match record.text(field) {
            Some(detail) => format!("{title} ({detail})"),
            None => title.to_owned(),
        },
        RowTitle::Prefixed(prefix, field) => format!("{prefix}{}", text(field)),
        RowTitle::Field(field, otherwise) => record.text(field).unwrap_or(otherwise).to_owned(),
        RowTitle::FirstLine(field, otherwise) => first_line(record, field).unwrap_or_else(|| otherwise.to_owned()),
        RowTitle::FirstLineOrField(field, second, otherwise) => {
            first_line(record, field).unwrap_or_else(|| record.text(second).unwrap_or(otherwise).to_owned())
        }
        RowTitle::ToolCall => tool::title(record),
        RowTitle::ToolCallPermission => format!("Permission for {}", tool::title(record)),
    }
}

fn first_line(record: &HookRecord, field: &str) -> Option<String> {
    record.text(field).map(|text| text::first_line(text, MAX_EVENT_TITLE_CHARACTERS))
}

fn body(record: &HookRecord) -> Option<String> {
    match record.hook.entry().body {
        RowBody::None => None,
        RowBody::Text(field) => own(record, field),
        RowBody::Texts(first, second) => joined(&[record.text(first), record.text(second)]),
        RowBody::Value(field) => record.value(field).map(readable),
        // What it was called with, where that is too long for the metadata; until the answer takes its place.
        RowBody::LongToolInput => {
            record.value("tool_input").filter(|input| size(input) > MAX_INPUT_BYTES).map(readable)
        }
        RowBody::ToolResponse => record.value("tool_response").and_then(response),
        RowBody::Record => Some(readable(&Value::Object(record.fields().clone()))),
    }
}

/// The facts of a tool call; of anything else its own fields, but for those that every record has and the body.
fn metadata(record: &HookRecord) -> Map<String, Value> {
    const EVERYWHERE: &[&str] = &[
        "session_id",
        "transcript_path",
        "agent_transcript_path",
        "cwd",
        "hook_event_name",
        "permission_mode",
        "prompt_id",
        "turn_id",
        "effort",
        "stop_hook_active",
        "session_crons",
    ];
    const IN_THE_BODY: &[&str] = &[
        "prompt",
        "last_assistant_message",
        "compact_summary",
        "custom_instructions",
        "task_description",
        "error_details",
        "tool_name",
        "tool_input",
        "tool_response",
        "tool_use_id",
    ];
    if record.hook == HookName::Unknown {
        return Map::new();
    }
    let own = |(key, value): &(&String, &Value)| {
        !value.is_null() && !EVERYWHERE.contains(&key.as_str()) && !IN_THE_BODY.contains(&key.as_str())
    };
    let mut metadata = if record.hook.is_about_tool_call() {
        tool::facts(record)
    } else {
        record.fields().iter().filter(own).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    for field in ["agent_id", "agent_type"] {
        if let Some(value) = record.id(field) {
            metadata.insert(field.into(), value.into());
        }
    }
    let mut metadata = bounded(metadata);
    match record.value("tool_input") {
        Some(input) if size(input) <= MAX_INPUT_BYTES => drop(metadata.insert("input".into(), input.clone())),
        Some(Value::Object(input)) => drop(metadata.insert("input".into(), bounded(input.clone()).into())),
        Some(_) | None => {}
    }
    metadata
}

/// What is short of an object, and the beginning of its long texts.
fn bounded(fields: Map<String, Value>) -> Map<String, Value> {
    let mut left = MAX_METADATA_BYTES;
    let short = |(key, value): (String, Value)| {
        let value = match value {
            Value::String(text) if text.len() > MAX_FIELD_BYTES => {
                format!("{}…", text::cut(&text, MAX_FIELD_BYTES).0).into()
            }
            other if size(&other) > MAX_FIELD_BYTES + 2 => return None,
            other => other,
        };
        // What goes around a key is counted generously.
        left = left.checked_sub(6 * key.len() + 4 + size(&value))?;
        Some((key, value))
    };
    fields.into_iter().filter_map(short).collect()
}

/// What a tool answered, as a person would read it: the text alone where there is one.
fn response(response: &Value) -> Option<String> {
    let text = |at: &Value, field: &str| at.get(field)?.as_str().map(str::to_owned);
    if response.get("stdout").is_some() {
        return joined(&[
            response.get("stdout").and_then(Value::as_str),
            response.get("stderr").and_then(Value::as_str),
        ]);
    }
    let parts = response.as_array().or_else(|| response.get("content")?.as_array());
    if let Some(parts) = parts.filter(|parts| !parts.is_empty()) {
        let texts: Option<Vec<_>> = parts.iter().map(|part| part.get("text")?.as_str()).collect();
        if let Some(texts) = texts {
            return Some(texts.join("\n"));
        }
    }
    text(response, "output")
        .or_else(|| text(response, "result"))
        .or_else(|| text(response.get("file")?, "content"))
        .or_else(|| Some(readable(response)))
}

/// A text as it is, anything else as JSON with an indent; what is no text for people (images) only by its size.
fn readable(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(&without_binary(other)).unwrap_or_default(),
    }
}

fn without_binary(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) if matches!(key.as_str(), "base64" | "data") && text.len() > MAX_FIELD_BYTES => {
                    (key.clone(), format!("({} characters)", text.len()).into())
                }
                other => (key.clone(), without_binary(other)),
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(without_binary).collect(),
        other => other.clone(),
    }
}

fn own(record: &HookRecord, field: &str) -> Option<String> {
    record.text(field).map(str::to_owned)
}

fn joined(texts: &[Option<&str>]) -> Option<String> {
    let texts: Vec<_> = texts.iter().flatten().copied().filter(|text| !text.is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// How long a value is as JSON.
fn size(value: &Value) -> usize {
    struct ByteCounter(usize);
    impl std::io::Write for ByteCounter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = ByteCounter(0);
    // Counting never fails.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}
