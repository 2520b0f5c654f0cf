//! The rows behind a session: what is there already, and what is written.

use std::collections::HashMap;

use requery_entities::{event, task};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter};
use serde_json::{Map, Value, json};

use super::history::History;
use super::session::{Entry, LateResult, Session};
use super::{SOURCE, usage};
use crate::protocol::TaskId;
use crate::protocol::model::{EventState, Imported, TaskMode, TaskStatus};
use crate::server::agents::hooks::place;
use crate::server::agents::hooks::store::{StoredEvent, Timeline};
use crate::server::database::sql::transcripts;

/// Rows in one statement. More would not be faster, and SQLite bounds the values of one.
const ROWS: usize = 100;

/// Writes a session, and adds to what is told. Hands back the lines whose results have no call.
pub async fn save(
    tx: &impl ConnectionTrait,
    mut session: Session,
    told: &mut Imported,
    now_ms: i64,
) -> Result<Vec<u64>, DbErr> {
    let found = task::Entity::find()
        .filter(task::Column::Source.eq(SOURCE.as_str()))
        .filter(task::Column::ExternalId.eq(&session.id))
        .one(tx)
        .await?;
    let (task_id, is_history) = match found {
        Some(row) => {
            let id = row.id.clone();
            match History::of(&row) {
                Some(history) => {
                    update_task(tx, row, history, &session).await?;
                    (id, true)
                }
                None => (id, false),
            }
        }
        None => match session.span.filter(|_| session.says_something()) {
            Some(span) => {
                told.tasks += 1;
                (start_task(tx, &session, span).await?, true)
            }
            None => return Ok(session.results.into_iter().map(|result| result.line).collect()),
        },
    };
    usage::save(tx, &task_id, &session, told).await?;
    if !is_history {
        // Its hooks tell the rest, each thing at its place.
        return Ok(Vec::new());
    }
    let known = known(tx, &task_id, &session).await?;
    let late = std::mem::take(&mut session.results);
    told.events += log(tx, &task_id, session.entries, &known, now_ms).await?;
    let mut lost = Vec::new();
    for result in late {
        match known.get(&result.external_id) {
            Some(call) => end(tx, &task_id, &session.id, result, call).await?,
            None => lost.push(result.line),
        }
    }
    Ok(lost)
}

async fn start_task(
    tx: &impl ConnectionTrait,
    session: &Session,
    (first_ms, last_ms): (i64, i64),
) -> Result<String, DbErr> {
    let id = TaskId::fresh().to_string();
    let history = History::said(session);
    let cwd = session.cwd.as_ref().map(|(_, cwd)| cwd.clone());
    let row = task::ActiveModel {
        id: Set(id.clone()),
        title: Set(history.title.clone()),
        project: Set(cwd.as_deref().map(place::project).unwrap_or_default()),
        status: Set(TaskStatus::Completed.as_str().to_owned()),
        mode: Set(TaskMode::Primary.as_str().to_owned()),
        workspace: Set(cwd),
        source: Set(SOURCE.as_str().to_owned()),
        external_id: Set(Some(session.id.clone())),
        status_since: Set(last_ms),
        ingest_state: Set(history.remembered(None)),
        changed_at: Set(last_ms),
        created_at: Set(first_ms),
        parent_task_id: NotSet,
        parent_session_id: NotSet,
        status_reason: NotSet,
        heard_at: NotSet,
        process: NotSet,
        stale_since: NotSet,
        stale_reason: NotSet,
        summary: NotSet,
        event_count: NotSet,
    };
    task::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(id)
}

/// Writes what the lines add to a task that earlier ones made. Where that is nothing, the row is left alone.
async fn update_task(
    tx: &impl ConnectionTrait,
    row: task::Model,
    mut history: History,
    session: &Session,
) -> Result<(), DbErr> {
    let mut next = task::ActiveModel::default();
    let mut changed = false;
    let said = History::said(session);
    let until_ms = history.until_ms.max(said.until_ms);
    let is_better = row.title == history.title && said.is_better_than(&history);
    if is_better {
        changed = said.title != row.title;
        next.title = if changed { Set(said.title.clone()) } else { NotSet };
        history = said;
    }
    if is_better || until_ms > history.until_ms {
        history.until_ms = until_ms;
        next.ingest_state = Set(history.remembered(row.ingest_state.as_deref()));
    }
    if let Some((_, cwd)) = session.cwd.as_ref().filter(|_| row.workspace.is_none()) {
        next.workspace = Set(Some(cwd.clone()));
        if row.project.is_empty() {
            next.project = Set(place::project(cwd));
        }
        changed = true;
    }
    let (first_ms, last_ms) = session.span.unwrap_or((row.created_at, row.status_since));
    if first_ms < row.created_at {
        next.created_at = Set(first_ms);
        changed = true;
    }
    if last_ms > row.status_since && row.status == TaskStatus::Completed.as_str() {
        next.status_since = Set(last_ms);
        changed = true;
    }
    if changed || next.ingest_state.is_set() {
        task::Entity::update_many().set(next).filter(task::Column::Id.eq(&row.id)).exec(tx).await?;
    }
    if changed {
        // The trigger made it now; it is history.
        let then = task::ActiveModel { changed_at: Set(row.changed_at.max(last_ms)), ..Default::default() };
        task::Entity::update_many().set(then).filter(task::Column::Id.eq(&row.id)).exec(tx).await?;
    }
    Ok(())
}

/// The events of these names that there are.
async fn known(
    tx: &impl ConnectionTrait,
    task_id: &str,
    session: &Session,
) -> Result<HashMap<String, StoredEvent>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        external_id: String,
        id: String,
        state: Option<String>,
        metadata: Option<String>,
    }
    let late = session.results.iter().map(|result| &result.external_id);
    let names: Vec<_> = session.entries.iter().map(|entry| &entry.external_id).chain(late).collect();
    let values = [task_id.into(), json!(names).to_string().into()];
    let rows: Vec<Row> = transcripts::KNOWN_EVENTS.all(tx, values).await?;
    let rows = rows.into_iter().map(|Row { external_id, id, state, metadata }| {
        let state = state.and_then(|state| EventState::parse(&state)).unwrap_or(EventState::Running);
        (external_id, StoredEvent { id, state, metadata })
    });
    Ok(rows.collect())
}

/// Logs what is new in the order of time, and ends what has a result now. Tells how many are new.
async fn log(
    tx: &impl ConnectionTrait,
    task_id: &str,
    mut entries: Vec<Entry>,
    known: &HashMap<String, StoredEvent>,
    now_ms: i64,
) -> Result<u64, DbErr> {
    entries.sort_by_key(|entry| entry.at_ms);
    let mut fresh = Vec::new();
    for entry in entries {
        let timeline = Timeline { tx, source: SOURCE, task_id, now_ms: entry.at_ms };
        match (known.get(&entry.external_id), entry.state) {
            (None, state) => {
                let row = timeline.event(entry.row, state, Some(entry.external_id));
                fresh.push(event::ActiveModel { updated_at: Set(now_ms), ..row });
            }
            (Some(event), Some(state @ (EventState::Ok | EventState::Failed))) if is_open(event) => {
                timeline.end(event.clone(), state, entry.row).await?;
            }
            (Some(_), _) => {}
        }
    }
    let count = fresh.len() as u64;
    let mut fresh = fresh.into_iter().peekable();
    while fresh.peek().is_some() {
        let rows: Vec<_> = fresh.by_ref().take(ROWS).collect();
        event::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(count)
}

/// Ends a call that earlier lines told of.
async fn end(
    tx: &impl ConnectionTrait,
    task_id: &str,
    session_id: &str,
    result: LateResult,
    call: &StoredEvent,
) -> Result<(), DbErr> {
    if !is_open(call) {
        return Ok(());
    }
    let begun: Map<String, Value> =
        call.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let of = [("tool", "tool_name"), ("input", "tool_input"), ("tool_use_id", "tool_use_id")];
    let fields = of.iter().filter_map(|(kept, field)| Some(((*field).to_owned(), begun.get(*kept)?.clone())));
    let timeline = Timeline { tx, source: SOURCE, task_id, now_ms: result.at_ms };
    let (row, state) = result.end(session_id, fields.collect());
    timeline.end(call.clone(), state, row).await
}

fn is_open(event: &StoredEvent) -> bool {
    matches!(event.state, EventState::Running | EventState::Abandoned)
}
