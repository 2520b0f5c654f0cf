//! The body of a tool call as a person wants to read it: a change of a file as a diff, the work of another agent as its
//! prompt, a plan as its text.

use serde_json::Value;

use super::record::HookRecord;
use crate::agent::hook_catalogue::HookName;

/// The body of a call from its input: before the call, or with the request to allow it. None: the call has no such
/// body.
pub fn before_call(record: &HookRecord) -> Option<String> {
    let input = record.value("tool_input")?;
    let text = |field: &str| input.get(field).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    match record.text("tool_name")? {
        "Edit" => replaced(input),
        "MultiEdit" => {
            let edits = input.get("edits")?.as_array()?;
            let diffs: Vec<_> = edits.iter().filter_map(replaced).collect();
            (!diffs.is_empty()).then(|| diffs.concat())
        }
        "Write" => text("content").map(|content| with_mark('+', content)),
        "NotebookEdit" => text("new_source").map(|source| with_mark('+', source)),
        "apply_patch" => text("command").or(text("input")).or(text("patch")).map(str::to_owned),
        "ExitPlanMode" => text("plan").map(str::to_owned),
        name if is_call_of_agent(name) => text("prompt").or(text("message")).map(str::to_owned),
        _ => None,
    }
}

/// The body of a call that ended well. None: the answer of the tool is the body.
pub fn after_call(record: &HookRecord) -> Option<String> {
    if record.hook != HookName::PostToolUse || record.exit_status().is_some_and(|status| status != 0) {
        return None;
    }
    let response = record.value("tool_response");
    let field = |name: &str| response.and_then(|response| response.get(name));
    match record.text("tool_name")? {
        "Edit" | "MultiEdit" | "Write" => field("structuredPatch").and_then(hunks).or_else(|| before_call(record)),
        "NotebookEdit" | "apply_patch" => before_call(record),
        "ExitPlanMode" => {
            let plan = field("plan").and_then(Value::as_str).filter(|plan| !plan.trim().is_empty());
            plan.map(str::to_owned).or_else(|| before_call(record))
        }
        // An agent that works in the background answers later, in a row of its own.
        name if is_call_of_agent(name) && !has_answer(response?) => before_call(record),
        _ => None,
    }
}

/// Whether the tool lets another agent work.
pub fn is_call_of_agent(name: &str) -> bool {
    matches!(name, "Agent" | "Task" | "spawn_agent" | "collaborationspawn_agent")
}

/// Whether another agent has answered a call. Codex answers a call with JSON that names the agent.
fn has_answer(response: &Value) -> bool {
    match response {
        Value::String(text) => !text.trim_start().starts_with('{'),
        response => response.get("content").is_some() || response.is_array(),
    }
}

/// An edit as a diff without line numbers, which the input of a call does not have.
fn replaced(edit: &Value) -> Option<String> {
    let text = |field: &str| edit.get(field).and_then(Value::as_str);
    let (old, new) = (text("old_string")?, text("new_string")?);
    Some(format!("{}{}", with_mark('-', old), with_mark('+', new)))
}

/// Each line behind a mark.
fn with_mark(mark: char, text: &str) -> String {
    text.lines().map(|line| format!("{mark}{line}\n")).collect()
}

/// The hunks of a patch, as the client reports them. None: there are none, or they have another form.
fn hunks(patch: &Value) -> Option<String> {
    let mut diff = String::new();
    for hunk in patch.as_array()? {
        let number = |field: &str| hunk.get(field).and_then(Value::as_u64);
        let (old, new) = (number("oldStart")?, number("newStart")?);
        let (old_lines, new_lines) = (number("oldLines")?, number("newLines")?);
        diff += &format!("@@ -{old},{old_lines} +{new},{new_lines} @@\n");
        for line in hunk.get("lines")?.as_array()? {
            diff += line.as_str()?;
            diff.push('\n');
        }
    }
    (!diff.is_empty()).then_some(diff)
}
