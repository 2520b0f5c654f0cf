//! The rows of an imported session: reads the stored rows, and writes the new ones.

use std::collections::HashMap;

use requery_entities::{StoredText, task};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde_json::{Map, Value, json};

use super::history::ImportedHistory;
use super::session::{LateResult, SessionFolder, TranscriptEvent, TranscriptSession};
use super::{RUNTIME, usage};
use crate::protocol::TaskId;
use crate::protocol::model::{EventState, Imported};
use crate::server::access::scope::Scope;
use crate::server::agents::hooks::naming;
use crate::server::agents::hooks::store::{StoredEvent, find_task};
use crate::server::database::sql::{self, transcripts};
use crate::server::ingest;
use crate::server::ingest::event::EventToLog;
use crate::server::ingest::task::{TaskChanges, TaskToStart};

/// Writes a session, and adds to the result of the import. Returns the numbers of the lines with the result of an
/// unknown call.
pub async fn save(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    mut session: TranscriptSession,
    imported: &mut Imported,
    now_ms: i64,
) -> Result<Vec<u64>, DbErr> {
    let found = find_task(tx, scope, &RUNTIME.into(), &session.id).await?;
    let (task_id, is_history) = match found {
        Some(row) => {
            let id = row.id.to_string();
            match ImportedHistory::of(&row) {
                Some(history) => {
                    update_task(tx, scope, row, history, &session).await?;
                    (id, true)
                }
                None => (id, false),
            }
        }
        None => match session.span.filter(|_| session.has_content()) {
            Some(span) => {
                imported.tasks += 1;
                (start_task(tx, scope, &session, span, now_ms).await?, true)
            }
            None => return Ok(session.results.into_iter().map(|result| result.line).collect()),
        },
    };
    usage::save(tx, scope, &task_id, &session, imported).await?;
    if !is_history {
        // Hooks report this task, so its events come from them, each in its place.
        return Ok(Vec::new());
    }
    let known = find_known_events(tx, &task_id, &session).await?;
    let late_results = std::mem::take(&mut session.results);
    imported.events += log_events(tx, &task_id, session.events, &known, now_ms).await?;
    let mut lines_without_call = Vec::new();
    for result in late_results {
        match known.get(&result.external_id) {
            Some(call) => end_call(tx, &session.id, result, call).await?,
            None => lines_without_call.push(result.line),
        }
    }
    Ok(lines_without_call)
}

async fn start_task(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    session: &TranscriptSession,
    (first_ms, last_ms): (i64, i64),
    now_ms: i64,
) -> Result<String, DbErr> {
    let history = ImportedHistory::from_session(session);
    let cwd = session.folder.as_ref().map(|folder| folder.path.clone());
    let (status, reason, detail) = history.status();
    let task = TaskToStart {
        project: scope.project_or(cwd.as_deref().map(naming::project).unwrap_or_default()),
        status,
        status_reason: reason.map(str::to_owned),
        status_detail: detail.map(str::to_owned),
        workspace: cwd,
        external_id: Some(session.id.clone()),
        ingest_state: history.to_memory_json(None),
        created_at: first_ms,
        ..TaskToStart::new(TaskId::new_at(now_ms), history.title.clone(), RUNTIME.as_str().to_owned(), last_ms)
    };
    let id = task.id.to_string();
    ingest::task::insert(tx, task).await?;
    Ok(id)
}

/// Writes the changes of a task that an earlier import made. Without changes, the row is not written.
async fn update_task(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    row: task::Model,
    mut history: ImportedHistory,
    session: &TranscriptSession,
) -> Result<(), DbErr> {
    let mut changes = TaskChanges::default();
    let mut is_visible = false;
    let (before, parsed) = (history.clone(), ImportedHistory::from_session(session));
    if row.title == history.title && parsed.is_better_than(&history) {
        is_visible = parsed.title != row.title;
        changes.title = is_visible.then(|| parsed.title.clone());
        history.take_title(&parsed);
    }
    history.merge(parsed);
    if history != before {
        changes.ingest_state = Some(history.to_memory_json(row.ingest_state.as_deref()));
    }
    let is_better_folder =
        |folder: &&SessionFolder| row.workspace.is_none() || (before.lacks_main_folder && !folder.is_of_subagent);
    if let Some(SessionFolder { path, .. }) = session.folder.as_ref().filter(is_better_folder) {
        let named = row.workspace.as_deref().map(naming::project).unwrap_or_default();
        let project = naming::project(path);
        let may_move = row.parent_task_id.is_none() && *row.project == named && project != named;
        changes.project = (may_move && ingest::task::may_move(tx, scope, &row.id, &project).await?).then_some(project);
        changes.workspace = Some(Some(path.clone()));
        is_visible = true;
    }
    let (status, ..) = before.status();
    let has_status_of_import = row.status == status.as_str() && row.status_reason.as_deref() == before.status().1;
    if has_status_of_import && history.status() != before.status() {
        let (status, reason, detail) = history.status();
        changes.status = Some(status);
        changes.status_reason = Some(reason.map(str::to_owned));
        changes.status_detail = Some(detail.map(str::to_owned));
        changes.status_since = Some(row.status_since);
        is_visible = true;
    }
    let (first_ms, last_ms) = session.span.unwrap_or((row.created_at, row.status_since));
    if first_ms < row.created_at {
        changes.created_at = Some(first_ms);
        is_visible = true;
    }
    if last_ms > row.status_since && has_status_of_import {
        changes.status_since = Some(last_ms);
        is_visible = true;
    }
    ingest::task::change(tx, &row.id, changes).await?;
    if is_visible {
        // The trigger set `changed_at` to the current time, but the change is history.
        ingest::task::set_changed_at(tx, &row.id, row.changed_at.max(last_ms)).await?;
    }
    Ok(())
}

/// The stored events with the external ids of this session's events and results.
async fn find_known_events(
    tx: &impl ConnectionTrait,
    task_id: &str,
    session: &TranscriptSession,
) -> Result<HashMap<String, StoredEvent>, DbErr> {
    #[derive(FromQueryResult)]
    struct KnownEvent {
        external_id: StoredText,
        id: StoredText,
        state: Option<StoredText>,
        metadata: Option<StoredText>,
    }
    let late = session.results.iter().map(|result| &result.external_id);
    let names: Vec<_> = session.events.iter().map(|entry| &entry.external_id).chain(late).collect();
    let values = [task_id.into(), sql::json_text(tx, &json!(names)).into()];
    let rows: Vec<KnownEvent> = transcripts::KNOWN_EVENTS.all(tx, values).await?;
    let rows = rows.into_iter().map(|KnownEvent { external_id, id, state, metadata }| {
        let state = state.and_then(|state| EventState::parse(&state)).unwrap_or(EventState::Running);
        (external_id.into(), StoredEvent { id: id.into(), state, metadata: metadata.map(String::from) })
    });
    Ok(rows.collect())
}

/// Logs the new events in the order of time, and ends the known calls that have a result now. Returns the number of new
/// events.
async fn log_events(
    tx: &impl ConnectionTrait,
    task_id: &str,
    mut events: Vec<TranscriptEvent>,
    known: &HashMap<String, StoredEvent>,
    now_ms: i64,
) -> Result<u64, DbErr> {
    events.sort_by_key(|entry| entry.at_ms);
    let mut new = Vec::new();
    for entry in events {
        match (known.get(&entry.external_id), entry.state) {
            (None, state) => {
                let row = entry.row.into_event(task_id, entry.at_ms, now_ms);
                new.push(EventToLog { state, external_id: Some(entry.external_id), updated_at: now_ms, ..row });
            }
            (Some(event), Some(state @ (EventState::Ok | EventState::Failed | EventState::Denied)))
                if is_open(event) =>
            {
                ingest::event::finish(tx, &event.id, event.ending(state, entry.row)).await?;
            }
            (Some(_), _) => {}
        }
    }
    let count = new.len() as u64;
    ingest::event::insert_all(tx, new).await?;
    Ok(count)
}

/// Ends a call that an earlier import logged.
async fn end_call(
    tx: &impl ConnectionTrait,
    session_id: &str,
    result: LateResult,
    call: &StoredEvent,
) -> Result<(), DbErr> {
    if !is_open(call) {
        return Ok(());
    }
    let begun: Map<String, Value> =
        call.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let of = [("tool", "tool_name"), ("input", "tool_input"), ("tool_use_id", "tool_use_id"), ("agent_id", "agent_id")];
    let fields = of.iter().filter_map(|(kept, field)| Some(((*field).to_owned(), begun.get(*kept)?.clone())));
    let (row, state) = result.end(session_id, fields.collect());
    ingest::event::finish(tx, &call.id, call.ending(state, row)).await
}

fn is_open(event: &StoredEvent) -> bool {
    matches!(event.state, EventState::Running | EventState::Abandoned)
}
