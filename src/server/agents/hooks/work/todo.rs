//! The agent's own list of the work.
//!
//! Two kinds of tools write it. `TodoWrite` and `update_plan` send the whole list. `TaskCreate` and `TaskUpdate` send
//! one entry, and hooks of their own report some of the same changes. An entry has the same id in all of them, so the
//! records can arrive in any order and twice.

use serde_json::Value;

use crate::agent::hook_catalogue::HookName;
use crate::protocol::limits;
use crate::protocol::model::{Todo, TodoState};
use crate::server::agents::hooks::record::HookRecord;
use crate::server::text;

/// Takes a record into the list.
pub fn take(todos: &mut Vec<Todo>, record: &HookRecord, is_newest: bool) {
    match record.hook {
        HookName::PostToolUse => take_tool_call(todos, record, is_newest),
        HookName::TaskCreated => add(todos, record.id("task_id"), record.text("task_subject")),
        HookName::TaskCompleted => {
            add(todos, record.id("task_id"), record.text("task_subject"));
            set_state(todos, record.id("task_id"), TodoState::Completed);
        }
        _ => {}
    }
}

fn take_tool_call(todos: &mut Vec<Todo>, record: &HookRecord, is_newest: bool) {
    let Some(input) = record.value("tool_input") else { return };
    let text = |field: &str| input.get(field).and_then(Value::as_str);
    match record.text("tool_name") {
        // A subagent has a list of its own.
        Some("TodoWrite") if is_newest && record.thread().is_none() => replace(todos, input.get("todos"), "content"),
        Some("update_plan") if is_newest && record.thread().is_none() => replace(todos, input.get("plan"), "step"),
        Some("TaskCreate") => add(todos, created_id(record).as_deref(), text("subject")),
        Some("TaskUpdate") => {
            let Some(id) = updated_entry(record) else { return };
            if text("status") == Some("deleted") {
                todos.retain(|todo| todo.id.as_ref() != Some(&id));
                return;
            }
            let known = todos.iter_mut().find(|todo| todo.id.as_ref() == Some(&id));
            if let (Some(todo), Some(subject)) = (known, text("subject").filter(|_| is_newest)) {
                todo.title = title(subject);
            }
            if let Some(state) = text("status").and_then(TodoState::parse).filter(|_| is_newest) {
                add(todos, Some(&id), None);
                set_state(todos, Some(&id), state);
            }
        }
        Some(_) | None => {}
    }
}

/// The id of the entry that a call of `TaskUpdate` has changed. None: the call changed no entry.
pub fn updated_entry(record: &HookRecord) -> Option<String> {
    let response = |field: &str| record.value("tool_response").and_then(|response| response.get(field));
    let has_failed = response("success").and_then(Value::as_bool) == Some(false);
    record.value("tool_input")?.get("taskId").filter(|_| !has_failed).and_then(short_id)
}

/// The id that the runtime gave a new entry.
fn created_id(record: &HookRecord) -> Option<String> {
    short_id(record.value("tool_response")?.get("task")?.get("id")?)
}

/// An id, as a text or a number.
pub fn short_id(id: &Value) -> Option<String> {
    let id = id.as_str().map_or_else(|| id.as_u64().map(|id| id.to_string()), |id| Some(id.to_owned()))?;
    Some(id).filter(|id| !id.trim().is_empty() && id.len() <= limits::HOOK_ID_BYTES)
}

/// Adds an entry. Of an entry that is there already only a missing title changes.
fn add(todos: &mut Vec<Todo>, id: Option<&str>, subject: Option<&str>) {
    let Some(id) = id else { return };
    let unnamed = format!("#{id}");
    let is_full = todos.len() >= limits::TODOS;
    match todos.iter_mut().find(|todo| todo.id.as_deref() == Some(id)) {
        Some(todo) if todo.title == unnamed => todo.title = subject.map_or(unnamed, title),
        Some(_) => {}
        None if is_full => {}
        None => todos.push(Todo::new(Some(id.to_owned()), subject.map_or(unnamed, title))),
    }
}

fn set_state(todos: &mut [Todo], id: Option<&str>, state: TodoState) {
    if let Some(todo) = todos.iter_mut().find(|todo| todo.id.is_some() && todo.id.as_deref() == id) {
        todo.state = state;
    }
}

/// Replaces the whole list by a list of a tool call. An entry without a known state has not begun.
fn replace(todos: &mut Vec<Todo>, listed: Option<&Value>, field: &str) {
    let Some(listed) = listed.and_then(Value::as_array) else { return };
    let text = |entry: &Value, field: &str| entry.get(field).and_then(Value::as_str).map(str::to_owned);
    let entries = listed.iter().filter_map(|entry| {
        let state = text(entry, "status").and_then(|state| TodoState::parse(&state)).unwrap_or(TodoState::Pending);
        Some(Todo { state, ..Todo::new(None, title(&text(entry, field)?)) })
    });
    *todos = entries.take(limits::TODOS).collect();
}

fn title(subject: &str) -> String {
    text::one_line(subject, limits::TODO_CHARACTERS)
}
