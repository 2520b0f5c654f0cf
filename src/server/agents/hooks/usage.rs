//! The usage of a model that a hook reports.

use serde_json::Value;

use super::record::HookRecord;
use crate::agent::hook_catalogue::HookName;
use crate::server::ingest::usage::UsageToSave;

/// The usage of one answer of the model. The answer has no id of its maker, so it gets the id of its record.
pub fn of_answer(record: &HookRecord, answer_id: &str, at_ms: i64) -> Option<UsageToSave> {
    if record.hook != HookName::PostModelRequest {
        return None;
    }
    let usage = record.value("token_usage")?;
    let tokens = |field: &str| usage.get(field).and_then(Value::as_i64).unwrap_or(0).max(0);
    let (read, written) = (tokens("cached_input_tokens"), tokens("cache_write_input_tokens"));
    // Codex counts the tokens of the cache as a part of the input.
    let input = tokens("input_tokens").saturating_sub(read).saturating_sub(written).max(0);
    Some(UsageToSave {
        answer_id: answer_id.to_owned(),
        model: record.id("model").map(str::to_owned),
        tokens: [input, tokens("output_tokens"), read, written],
        cost_usd_micros: None,
        at_ms,
    })
}
