//! The record of a hook: one JSON object, parsed leniently.
//!
//! The runtimes add fields with every release and sometimes change one. So only the session and the hook are required.
//! Any other field that has an unexpected type counts as absent, and the record is still taken.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{HookError, fingerprint, person_words};
use crate::agent::hook_catalogue::{HookName, PairedRow, RowEffect, RowEnd};
use crate::agent::name::AgentName;
use crate::protocol::limits;
use crate::server::ingest::Invalid;
use crate::server::text;

/// The longest path that is kept, in bytes. A path of as many bytes never has more characters than a `workspace` may
/// have.
pub const MAX_PATH_BYTES: usize = limits::WORKSPACE_CHARACTERS;

/// A hook's record.
pub struct HookRecord {
    /// The agent that sent it.
    pub source: AgentName,
    /// The runtime's id of the session. Each session has one task.
    pub session_id: String,
    /// The hook.
    pub hook: HookName,
    /// Whether the record is concluded from another one, so that a record of the runtime may contradict it.
    pub is_concluded: bool,
    fields: Map<String, Value>,
}

impl HookRecord {
    /// Parses a body.
    ///
    /// # Errors
    /// The body is not a JSON object, or it names no session or no hook.
    pub fn parse(source: impl Into<AgentName>, body: &[u8]) -> Result<Self, HookError> {
        let fields = match text::parse(body)? {
            Value::Object(fields) => fields,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(HookError::invalid("body", "must be an object"));
            }
        };
        let mut wrong = Vec::new();
        let mut text = |field: &str, longest: usize| {
            let fault = match fields.get(field) {
                Some(Value::String(text)) if text.trim().is_empty() => "is empty".to_owned(),
                Some(Value::String(text)) if text.len() > longest => format!("is longer than {longest} bytes"),
                Some(Value::String(text)) => return text.clone(),
                Some(_) => "is not a text".to_owned(),
                None => "is missing".to_owned(),
            };
            wrong.push(Invalid { field: field.to_owned(), detail: fault });
            String::new()
        };
        let session_id = text("session_id", limits::HOOK_ID_BYTES);
        let hook = HookName::of(&text("hook_event_name", usize::MAX));
        if !wrong.is_empty() {
            return Err(HookError::Invalid(wrong));
        }
        Ok(Self { source: source.into(), session_id, hook, is_concluded: false, fields })
    }

    /// A record made from another source, such as a transcript, in the form that a hook would send.
    pub fn of(source: impl Into<AgentName>, session_id: String, hook: HookName, fields: Map<String, Value>) -> Self {
        Self { source: source.into(), session_id, hook, is_concluded: false, fields }
    }

    /// A text field that is not blank.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.value(field)?.as_str().filter(|text| !text.trim().is_empty())
    }

    /// A field of any type. `null` counts as absent.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// All fields.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The name of the hook as the runtime sent it.
    pub fn name(&self) -> &str {
        self.text("hook_event_name").unwrap_or_default()
    }

    /// The id of the subagent that sent the record. None: the main thread sent it. An `agent_type` without an
    /// `agent_id` does not make a subagent.
    pub fn thread(&self) -> Option<&str> {
        self.id("agent_id")
    }

    /// A text field that is short enough for an id.
    pub fn id(&self, field: &str) -> Option<&str> {
        self.text(field).filter(|id| id.len() <= limits::HOOK_ID_BYTES)
    }

    /// The folder the agent works in.
    pub fn cwd(&self) -> Option<&str> {
        self.text("cwd").filter(|path| path.len() <= MAX_PATH_BYTES)
    }

    /// Whether this `SessionStart` follows a compaction, so that no run starts.
    pub fn is_compacted(&self) -> bool {
        self.hook == HookName::SessionStart && self.text("source") == Some("compact")
    }

    /// Whether a run starts with this record.
    pub fn starts_run(&self) -> bool {
        self.hook == HookName::SessionStart && !self.is_compacted()
    }

    /// Whether a run starts whose session id is new, so that no earlier run can have sent a record.
    pub fn starts_new_session(&self) -> bool {
        self.starts_run() && matches!(self.text("source"), Some("startup" | "clear"))
    }

    /// The runtime's id of the turn of the main thread.
    pub fn turn(&self) -> Option<&str> {
        self.id("prompt_id").or_else(|| self.id("turn_id"))
    }

    /// The words of the person in this prompt. None: the record is no prompt, or the client wrote all of it.
    pub fn person_words(&self) -> Option<Cow<'_, str>> {
        let is_prompt = self.hook == HookName::UserPromptSubmit && !self.is_prompt_of_client();
        person_words::of_prompt(self.text("prompt").filter(|_| is_prompt)?)
    }

    /// Whether the client itself wrote this prompt, so that it is no message of a person.
    pub fn is_prompt_of_client(&self) -> bool {
        self.hook == HookName::UserPromptSubmit
            && (self.text("source").is_some_and(|source| !matches!(source, "user" | "sdk"))
                || self.text("prompt").is_some_and(person_words::is_of_client))
    }

    /// This prompt as one that the client submits at a time it was told.
    pub fn as_scheduled(&self) -> Self {
        let mut fields = self.fields.clone();
        fields.insert("source".to_owned(), "schedule".into());
        Self { source: self.source.clone(), session_id: self.session_id.clone(), fields, ..*self }
    }

    /// Whether the tool call of this record is itself a question to the person. The agent waits for the answer.
    pub fn is_about_question(&self) -> bool {
        matches!(self.text("tool_name"), Some("AskUserQuestion" | "ExitPlanMode" | "request_user_input"))
    }

    /// The id of the agent that a call began and that works in the background. The hook of the call's end comes at
    /// once. Empty if the runtime named no id.
    pub fn background_agent(&self) -> Option<&str> {
        let response = |field: &str| self.value("tool_response").and_then(|response| response.get(field));
        let is_async = response("isAsync").and_then(Value::as_bool) == Some(true)
            || response("status").and_then(Value::as_str) == Some("async_launched");
        let id = response("agentId").and_then(Value::as_str).filter(|id| id.len() <= limits::HOOK_ID_BYTES);
        (self.hook == HookName::PostToolUse && is_async).then(|| id.unwrap_or_default())
    }

    /// Whether this is a request to a model that failed.
    pub fn is_failed_request(&self) -> bool {
        self.hook == HookName::PostModelRequest && self.text("status") == Some("failed")
    }

    /// The kind of the record's event, and the effect on its row.
    pub fn row(&self) -> (&'static str, RowEffect) {
        let entry = self.hook.entry();
        match (entry.row, self.text("action")) {
            (_, _) if self.is_compacted() => ("context", RowEffect::Log),
            (_, _) if self.is_prompt_of_client() => ("notification", RowEffect::Log),
            (_, _) if self.is_failed_request() => (entry.event_kind, RowEffect::Log),
            // The row of the question itself shows the request.
            (_, _) if self.hook == HookName::PermissionRequest && self.is_about_question() => {
                (entry.event_kind, RowEffect::None)
            }
            (RowEffect::End(part, _), _) if self.background_agent().is_some() => {
                (entry.event_kind, RowEffect::Begin(part))
            }
            // The agent does not wait for the answer, and no other hook reports the end of the call.
            (RowEffect::Begin(part), _) if self.text("tool_name") == Some("request_user_input_async") => {
                (entry.event_kind, RowEffect::End(part, RowEnd::Ok))
            }
            (RowEffect::End(PairedRow::Tool, RowEnd::Ok), _) if self.exit_status().is_some_and(|code| code != 0) => {
                (entry.event_kind, RowEffect::End(PairedRow::Tool, RowEnd::Failed))
            }
            (RowEffect::End(PairedRow::Question, _), Some("decline" | "cancel")) => {
                (entry.event_kind, RowEffect::End(PairedRow::Question, RowEnd::Denied))
            }
            (row, _) => (entry.event_kind, row),
        }
    }

    /// The exit status of a command, if the runtime reports it in a field or at the start of the answer or the error.
    pub fn exit_status(&self) -> Option<i64> {
        let response = self.value("tool_response");
        let field = response.and_then(|response| {
            let code =
                |at: &Value| ["exit_code", "exitCode", "exit_status"].iter().find_map(|name| at.get(name)?.as_i64());
            code(response).or_else(|| code(response.get("metadata")?))
        });
        let told = |text: &str| {
            let behind = text.trim_start().strip_prefix("Exit code")?;
            behind.trim_start_matches([':', ' ']).split_whitespace().next()?.parse().ok()
        };
        field.or_else(|| told(self.text("error")?)).or_else(|| told(response?.as_str()?))
    }

    /// The external id of the row, from the runtime's own id. The beginning and the end have the same one, so they can
    /// arrive in any order.
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

    /// The key of the row while it is open: the external id, or else a text that the beginning and the end have in
    /// common.
    pub fn key(&self) -> Option<String> {
        let part = match self.row().1 {
            RowEffect::Begin(part) | RowEffect::End(part, _) => part,
            RowEffect::None | RowEffect::Log => return None,
        };
        Some(self.external_id().unwrap_or_else(|| match part {
            PairedRow::Tool => format!("call:{:016x}", self.call_fingerprint()),
            PairedRow::Subagent => "subagent".into(),
            PairedRow::Todo => "todo".into(),
            PairedRow::Compaction => "compaction".into(),
            PairedRow::Question => format!("elicitation of {}", self.id("mcp_server_name").unwrap_or_default()),
        }))
    }

    /// The fingerprint that a tool call and its permission request have in common: thread, name and input. The request
    /// has no id, and its input can have another `description`, so the description does not count.
    pub fn call_fingerprint(&self) -> u64 {
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

    /// Whether the agent works when it sends this record, so that a task that begins with the record is running.
    pub fn is_work(&self) -> bool {
        self.is_compacted() || self.hook.entry().is_work
    }
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}
