//! The timeline row of a record: title, body and metadata, each with a bound.

use serde_json::{Map, Value};

use super::record::HookRecord;
use super::{machine_words, tool, tool_body};
use crate::agent::hook_catalogue::{HookName, PairedRow, RowBody, RowEffect, RowTitle, StatusEffect};
use crate::protocol::limits;
use crate::protocol::model::ToolFamily;
use crate::server::text::{self, base64};

/// The longest tool input that metadata keeps whole, in bytes of JSON. Of a longer input only the short fields stay.
const MAX_INPUT_BYTES: usize = 16 * 1024;

/// The longest field that metadata keeps, in bytes of JSON. A longer text is cut, a longer field of another type is
/// left out.
const MAX_FIELD_BYTES: usize = 1024;

/// The bytes of JSON that metadata keeps of one object from the runtime. Metadata holds two such objects, the fields
/// and the input, and stays within 64 KiB.
const MAX_METADATA_BYTES: usize = 28 * 1024;

/// A row of the timeline without its ids, its state and its time.
#[derive(Clone)]
pub struct TimelineRow {
    /// The kind of the event.
    pub kind: &'static str,
    /// The family of a tool call.
    pub family: Option<ToolFamily>,
    /// The title, in one line.
    pub title: String,
    /// The body.
    pub body: Option<String>,
    /// The size of the whole body, if the body was cut.
    pub truncated: Option<u64>,
    /// Further facts.
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

    /// The second row of a denied tool call: the denial is an entry of its own.
    pub fn of_denial(record: &HookRecord) -> Self {
        let title = format!("Denied {}", tool::title(record));
        Self::new("permission.denied", None, &title, text_field(record, "reason"), short_fields(tool::facts(record)))
    }

    fn new(
        kind: &'static str,
        family: Option<ToolFamily>,
        title: &str,
        body: Option<String>,
        metadata: Map<String, Value>,
    ) -> Self {
        // A picture is of no use as text, whatever the name of its field.
        let body = body.map(|body| base64::told_by_size(&body).into_owned());
        let (body, truncated) = match body.as_deref().map(|body| text::cut(body, limits::TEXT_BYTES)) {
            Some((_, None)) | None => (body, None),
            Some((start, whole)) => (Some(start.to_owned()), whole),
        };
        Self {
            kind,
            family,
            title: text::one_line(&base64::told_by_size(title), limits::LINE_CHARACTERS),
            body,
            truncated,
            metadata,
        }
    }
}

/// The text of a record that makes a task wait or fail: the question, the call that needs permission, the last message
/// or the error.
pub fn status_detail(record: &HookRecord) -> Option<String> {
    let detail = match record.hook.entry().status {
        StatusEffect::PermissionAsked if record.is_about_question() => tool::questions(record),
        StatusEffect::PermissionAsked => Some(tool::title(record)),
        StatusEffect::ToolCallStarts => tool::questions(record),
        StatusEffect::QuestionAsked | StatusEffect::Notified => text_field(record, "message"),
        StatusEffect::TurnEnds => text_field(record, "last_assistant_message"),
        StatusEffect::TurnFails => {
            text_field(record, "error_details").or_else(|| text_field(record, "last_assistant_message"))
        }
        StatusEffect::ModelRequestEnds => text_field(record, "error"),
        StatusEffect::Unchanged
        | StatusEffect::SessionStarts
        | StatusEffect::SessionEnds
        | StatusEffect::TurnStarts
        | StatusEffect::ToolCallEnds
        | StatusEffect::ToolCallsEnd
        | StatusEffect::Interrupted
        | StatusEffect::ModelRequestStarts
        | StatusEffect::CompactionStarts
        | StatusEffect::CompactionEnds
        | StatusEffect::QuestionAnswered
        | StatusEffect::SubagentEnds => None,
    };
    detail.map(|detail| text::cut_characters(&base64::told_by_size(&detail), limits::STATUS_DETAIL_CHARACTERS))
}

fn title(record: &HookRecord) -> String {
    let text = |field| record.text(field).unwrap_or_default();
    match record.hook.entry().title {
        _ if record.is_compacted() => "Session goes on after a compaction".into(),
        _ if record.is_prompt_of_client() => first_line_of(machine_words::summary(text("prompt"))),
        _ if record.hook == HookName::UserPromptSubmit => match record.person_words() {
            Some(words) => first_line_of(&words),
            None => "Prompt".into(),
        },
        RowTitle::HookName => record.name().to_owned(),
        RowTitle::Fixed(title) => title.to_owned(),
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
    record.text(field).map(first_line_of)
}

fn first_line_of(text: &str) -> String {
    text::first_line(&base64::told_by_size(text), limits::LINE_CHARACTERS)
}

fn body(record: &HookRecord) -> Option<String> {
    if let Some(words) = record.person_words() {
        return Some(words.into_owned());
    }
    let own_body = match record.hook {
        HookName::PreToolUse | HookName::PermissionRequest | HookName::PermissionDenied => {
            tool_body::before_call(record)
        }
        _ => tool_body::after_call(record),
    };
    if own_body.is_some() {
        return own_body;
    }
    match record.hook.entry().body {
        RowBody::None => None,
        RowBody::Text(field) => text_field(record, field),
        RowBody::Texts(first, second) => joined_texts(&[record.text(first), record.text(second)]),
        RowBody::Value(field) => record.value(field).map(readable_text),
        // An input that is too long for the metadata is the body until the answer of the tool replaces it.
        RowBody::LongToolInput => {
            record.value("tool_input").filter(|input| json_bytes(input) > MAX_INPUT_BYTES).map(readable_text)
        }
        RowBody::ToolResponse => record.value("tool_response").and_then(response_text),
        RowBody::Record => Some(readable_text(&Value::Object(record.fields().clone()))),
    }
}

/// The metadata of a row. For a tool call: the facts of the call. For any other record: its fields, without the fields
/// that every record has and without the fields that the title or the body shows.
fn metadata(record: &HookRecord) -> Map<String, Value> {
    const FIELDS_OF_EVERY_RECORD: &[&str] = &[
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
    const FIELDS_SHOWN_ELSEWHERE: &[&str] = &[
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
    let is_own = |(key, value): &(&String, &Value)| {
        !value.is_null()
            && !FIELDS_OF_EVERY_RECORD.contains(&key.as_str())
            && !FIELDS_SHOWN_ELSEWHERE.contains(&key.as_str())
    };
    let mut metadata = if record.hook.is_about_tool_call() {
        tool::facts(record)
    } else {
        record.fields().iter().filter(is_own).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    for field in ["agent_id", "agent_type"] {
        if let Some(value) = record.id(field) {
            metadata.insert(field.into(), value.into());
        }
    }
    let mut metadata = short_fields(metadata);
    match record.value("tool_input") {
        Some(input) if json_bytes(input) <= MAX_INPUT_BYTES => drop(metadata.insert("input".into(), input.clone())),
        Some(Value::Object(input)) => drop(metadata.insert("input".into(), short_fields(input.clone()).into())),
        Some(_) | None => {}
    }
    metadata
}

/// The short fields of an object, and the beginnings of its long texts.
fn short_fields(fields: Map<String, Value>) -> Map<String, Value> {
    let mut left = MAX_METADATA_BYTES;
    let shorten = |(key, value): (String, Value)| {
        let value = match value {
            Value::String(text) if text.len() > MAX_FIELD_BYTES => {
                format!("{}…", text::cut(&text, MAX_FIELD_BYTES).0).into()
            }
            other if json_bytes(&other) > MAX_FIELD_BYTES + 2 => return None,
            other => other,
        };
        // An upper bound for the size of a key in JSON: an escaped byte takes at most six bytes, and the quotes and
        // separators take four.
        left = left.checked_sub(6 * key.len() + 4 + json_bytes(&value))?;
        Some((key, value))
    };
    fields.into_iter().filter_map(shorten).collect()
}

/// The answer of a tool as a person reads it: only the text, if the answer has one.
fn response_text(response: &Value) -> Option<String> {
    let text = |at: &Value, field: &str| at.get(field)?.as_str().map(str::to_owned);
    if response.get("stdout").is_some() {
        return joined_texts(&[
            response.get("stdout").and_then(Value::as_str),
            response.get("stderr").and_then(Value::as_str),
        ]);
    }
    let parts = response.as_array().or_else(|| response.get("content")?.as_array());
    if let Some(parts) = parts.filter(|parts| !parts.is_empty()) {
        let texts: Option<Vec<_>> = parts.iter().map(part_text).collect();
        if let Some(texts) = texts {
            return Some(texts.join("\n"));
        }
    }
    text(response, "output")
        .or_else(|| text(response, "result"))
        .or_else(|| text(response.get("file")?, "content"))
        .or_else(|| Some(readable_text(response)))
}

/// A part of an answer: its text, or the address, the type and the size of a picture or another file.
fn part_text(part: &Value) -> Option<String> {
    let file = part.get("source").or_else(|| part.get("resource")).unwrap_or(part);
    let field = |names: &[&str]| names.iter().find_map(|name| file.get(name)?.as_str());
    if let Some(text) = part.get("text").and_then(Value::as_str).or_else(|| field(&["text"])) {
        return Some(text.to_owned());
    }
    let size = base64::size_of(field(&["data", "blob"])?, field(&["media_type", "mimeType"]));
    Some(field(&["uri"]).map_or_else(|| size.clone(), |uri| format!("{uri} {size}")))
}

/// A text as it is, any other value as indented JSON.
fn readable_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

fn text_field(record: &HookRecord, field: &str) -> Option<String> {
    record.text(field).map(str::to_owned)
}

fn joined_texts(texts: &[Option<&str>]) -> Option<String> {
    let texts: Vec<_> = texts.iter().flatten().copied().filter(|text| !text.is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// The bytes of a value as JSON.
fn json_bytes(value: &Value) -> usize {
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
