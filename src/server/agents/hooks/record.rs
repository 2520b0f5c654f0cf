//! What a hook was given: one JSON object, read leniently.
//!
//! The runtimes add fields with every release and now and then change one. So only what a record cannot do without is
//! required; any other field that is missing or of another type counts as not there, and nothing is refused for it.

use serde_json::{Map, Value};

use super::{HookError, fingerprint};
use crate::agent::hook_catalogue::{HookName, PairedRow, RowEffect, RowEnd};
use crate::agent::runtime::AgentRuntime;
use crate::server::ingest::text;

/// The longest id in bytes that is kept. The runtimes' own have up to 40.
pub const MAX_ID_BYTES: usize = 256;

/// The longest path in bytes that is kept; Linux knows no longer ones.
pub const MAX_PATH_BYTES: usize = 4096;

/// A hook's record.
pub struct HookRecord {
    /// The runtime it came from.
    pub runtime: AgentRuntime,
    /// The runtime's name for the session: one task for each.
    pub session_id: String,
    /// What happened.
    pub hook: HookName,
    fields: Map<String, Value>,
}

impl HookRecord {
    /// Reads a body.
    ///
    /// # Errors
    /// It is not a JSON object, or names no session or no hook.
    pub fn parse(runtime: AgentRuntime, body: &[u8]) -> Result<Self, HookError> {
        let invalid = |field, detail: &str| Err(HookError::Invalid { field, detail: detail.into() });
        let fields = match text::parse(body)? {
            Value::Object(fields) => fields,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return invalid("body", "expected an object");
            }
        };
        let session_id = match fields.get("session_id") {
            Some(Value::String(id)) if id.trim().is_empty() => return invalid("session_id", "is empty"),
            Some(Value::String(id)) if id.len() > MAX_ID_BYTES => {
                return invalid("session_id", &format!("is longer than {MAX_ID_BYTES} bytes"));
            }
            Some(Value::String(id)) => id.clone(),
            Some(_) => return invalid("session_id", "is not a string"),
            None => return invalid("session_id", "is missing"),
        };
        let hook = match fields.get("hook_event_name") {
            Some(Value::String(name)) if name.is_empty() => return invalid("hook_event_name", "is empty"),
            Some(Value::String(name)) => HookName::of(name),
            Some(_) => return invalid("hook_event_name", "is not a string"),
            None => return invalid("hook_event_name", "is missing"),
        };
        Ok(Self { runtime, session_id, hook, fields })
    }

    /// What somebody else than a hook tells, as a hook would have told it.
    pub fn of(runtime: AgentRuntime, session_id: String, hook: HookName, fields: Map<String, Value>) -> Self {
        Self { runtime, session_id, hook, fields }
    }

    /// A field that is a text and says something.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.value(field)?.as_str().filter(|text| !text.trim().is_empty())
    }

    /// A field, whatever its type; `null` is not there.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// All fields.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The name of the hook as it was sent.
    pub fn name(&self) -> &str {
        self.text("hook_event_name").unwrap_or_default()
    }

    /// Who did it: the main thread, or a subagent. Only `agent_id` tells; its type alone does not matter.
    pub fn thread(&self) -> Option<&str> {
        self.id("agent_id")
    }

    /// An id that is a text of sane length.
    pub fn id(&self, field: &str) -> Option<&str> {
        self.text(field).filter(|id| id.len() <= MAX_ID_BYTES)
    }

    /// The folder the agent works in.
    pub fn cwd(&self) -> Option<&str> {
        self.text("cwd").filter(|path| path.len() <= MAX_PATH_BYTES)
    }

    /// Whether the session goes on after a compaction rather than starts.
    pub fn is_compacted(&self) -> bool {
        self.hook == HookName::SessionStart && self.text("source") == Some("compact")
    }

    /// Whether a run begins with it.
    pub fn begins(&self) -> bool {
        self.hook == HookName::SessionStart && !self.is_compacted()
    }

    /// The kind of the event it makes, and what it does to it.
    pub fn row(&self) -> (&'static str, RowEffect) {
        let entry = self.hook.entry();
        match (entry.row, self.text("action")) {
            (_, _) if self.is_compacted() => ("context", RowEffect::Log),
            (RowEffect::End(PairedRow::Question, _), Some("decline" | "cancel")) => {
                (entry.event_kind, RowEffect::End(PairedRow::Question, RowEnd::Denied))
            }
            (row, _) => (entry.event_kind, row),
        }
    }

    /// The runtime's name for the row, which is the same for its beginning and its end in any order.
    pub fn external_id(&self) -> Option<String> {
        let (prefix, id) = match self.row().1 {
            RowEffect::Begin(part) | RowEffect::End(part, _) => match part {
                PairedRow::Tool => ("tool", self.id("tool_use_id")),
                PairedRow::Subagent => ("subagent", self.id("agent_id")),
                PairedRow::Todo => ("todo", self.id("task_id")),
                PairedRow::Question => ("elicitation", self.id("elicitation_id")),
                PairedRow::Compaction => ("compaction", None),
            },
            RowEffect::None | RowEffect::Log => return None,
        };
        id.map(|id| format!("{prefix}:{id}"))
    }

    /// What its row is remembered by while it is open; where the runtime gives no id, by what both ends have in common.
    pub fn key(&self) -> Option<String> {
        let part = match self.row().1 {
            RowEffect::Begin(part) | RowEffect::End(part, _) => part,
            RowEffect::None | RowEffect::Log => return None,
        };
        Some(self.external_id().unwrap_or_else(|| match part {
            PairedRow::Tool => format!("call:{:016x}", self.call()),
            PairedRow::Subagent => "subagent".into(),
            PairedRow::Todo => "todo".into(),
            PairedRow::Compaction => "compaction".into(),
            PairedRow::Question => format!("elicitation of {}", self.id("mcp_server_name").unwrap_or_default()),
        }))
    }

    /// What a tool call and the request to allow it have in common: thread, name and input. The request has no id and
    /// describes the input a little further, so the description does not count.
    pub fn call(&self) -> u64 {
        let input = match self.value("tool_input") {
            Some(Value::Object(input)) => {
                Value::Object(input.iter().filter(|(key, _)| *key != "description").map(owned).collect())
            }
            Some(input) => input.clone(),
            None => Value::Null,
        };
        fingerprint::fingerprint(
            &[self.thread().unwrap_or_default(), self.text("tool_name").unwrap_or_default()],
            &input,
        )
    }

    /// Whether this is work, so that a task that begins with it is running.
    pub fn is_work(&self) -> bool {
        self.is_compacted() || self.hook.entry().is_work
    }
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}
