//! The calls of a batch that no other hook reports.
//!
//! Claude Code runs `PostToolBatch` after all calls of one answer of the model. A call that the client refused by its
//! own checks, that a person refused, or that needed a permission which no person could give, has no other hook at its
//! end. Such a call becomes a record of its own, of the hook that would have reported it.

use serde_json::{Map, Value};

use super::record::HookRecord;
use super::refusal;
use super::status::AgentMemory;
use crate::agent::hook_catalogue::HookName;
use crate::protocol::limits;

/// The element around the error of the client's own checks.
const CHECK_ERROR: (&str, &str) = ("<tool_use_error>", "</tool_use_error>");

/// The fields that a batch and its calls have in common.
const FIELDS_OF_BATCH: [&str; 8] =
    ["session_id", "transcript_path", "cwd", "prompt_id", "permission_mode", "agent_id", "agent_type", "session_title"];

/// The records of the calls of a batch that no other hook reports.
pub fn unreported_calls(batch: &HookRecord, agent: &AgentMemory) -> Vec<HookRecord> {
    let calls = batch.value("tool_calls").and_then(Value::as_array).into_iter().flatten();
    calls.take(limits::OPEN_ROWS).filter_map(|call| unreported_call(batch, call.as_object()?, agent)).collect()
}

fn unreported_call(batch: &HookRecord, call: &Map<String, Value>, agent: &AgentMemory) -> Option<HookRecord> {
    let key = format!("tool:{}", call.get("tool_use_id")?.as_str()?);
    let answer = call.get("tool_response")?.as_str()?.trim();
    let mut is_concluded = false;
    let (hook, field, words) = if let Some(error) = answer.strip_prefix(CHECK_ERROR.0) {
        (HookName::PostToolUseFailure, "error", error.strip_suffix(CHECK_ERROR.1).unwrap_or(error))
    } else if refusal::is_refusal(answer) {
        (HookName::PermissionDenied, "reason", refusal::reason(answer))
    } else if agent.needs_permission(&key) {
        // The client words this refusal in many ways. The hook of a call that ran can still arrive.
        is_concluded = true;
        (HookName::PermissionDenied, "reason", answer)
    } else {
        return None;
    };
    let mut fields: Map<String, Value> =
        FIELDS_OF_BATCH.iter().filter_map(|field| Some(((*field).to_owned(), batch.value(field)?.clone()))).collect();
    for field in ["tool_name", "tool_input", "tool_use_id"] {
        fields.extend(call.get(field).map(|value| (field.to_owned(), value.clone())));
    }
    fields.insert("hook_event_name".to_owned(), hook.as_str().into());
    fields.insert(field.to_owned(), words.trim().into());
    let mut record = HookRecord::of(batch.source.clone(), batch.session_id.clone(), hook, fields);
    record.is_concluded = is_concluded;
    Some(record)
}
