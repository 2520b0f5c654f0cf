//! The rows that a tool call changes besides its own: the entry of the agent's list that it moves, and the subagent
//! that it started.

use requery_entities::{StoredText, event};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::{Map, Value};

use super::record::HookRecord;
use super::status::AgentMemory;
use super::timeline_row::TimelineRow;
use super::tool_body::is_call_of_agent;
use super::work::todo;
use crate::agent::hook_catalogue::HookName;
use crate::protocol::limits;
use crate::protocol::model::EventState;
use crate::server::{ingest, text};

/// Names the row of a subagent that starts after the call that started it. The hook of the start does not name the
/// call, so the oldest open call counts that asked for this type of agent and has no subagent yet.
pub async fn name_after_call(
    tx: &impl ConnectionTrait,
    record: &HookRecord,
    agent: &AgentMemory,
    row: &mut TimelineRow,
) -> Result<(), DbErr> {
    let open: Vec<_> = agent.open_events().map(str::to_owned).collect();
    let rows = stored_rows(tx, event::Column::Id.is_in(open)).await?;
    let is_taken = |call: &str| {
        rows.iter().any(|row| row.kind == "subagent" && row.metadata.get("tool_use_id").is_some_and(|id| id == call))
    };
    let call = rows.iter().find_map(|row| {
        let tool = row.metadata.get("tool")?.as_str().filter(|tool| is_call_of_agent(tool))?;
        let asked = row.metadata.get("input").and_then(|input| input.get("subagent_type")?.as_str());
        let fits = asked.is_none_or(|asked| record.text("agent_type").is_none_or(|agent_type| agent_type == asked));
        let id = row.metadata.get("tool_use_id")?.as_str().filter(|id| fits && !is_taken(id))?;
        let about = row.title.strip_prefix(tool)?.strip_prefix(": ")?;
        Some((id, about))
    });
    if let Some((id, about)) = call {
        about.clone_into(&mut row.title);
        row.metadata.insert("tool_use_id".to_owned(), id.into());
    }
    Ok(())
}

/// Carries the end of a call over to the row that the call is about.
pub async fn follow_call(tx: &impl ConnectionTrait, task_id: &str, record: &HookRecord) -> Result<(), DbErr> {
    if record.hook != HookName::PostToolUse {
        return Ok(());
    }
    let input = |field: &str| record.value("tool_input").and_then(|input| input.get(field));
    let response = |field: &str| record.value("tool_response").and_then(|response| response.get(field));
    let title = |text: &str| text::one_line(text, limits::LINE_CHARACTERS);
    match record.text("tool_name") {
        Some("TaskUpdate") => {
            let Some(id) = todo::updated_entry(record) else { return Ok(()) };
            let Some(mut row) = stored_row(tx, task_id, &format!("todo:{id}")).await? else { return Ok(()) };
            let status = input("status").and_then(Value::as_str);
            let state = match status {
                Some("completed") => EventState::Ok,
                Some("deleted") => EventState::Abandoned,
                Some("in_progress" | "pending") => EventState::Running,
                Some(_) | None => row.state,
            };
            row.metadata.extend(status.map(|status| ("status".to_owned(), title(status).into())));
            let subject = input("subject").and_then(Value::as_str).map(title).filter(|subject| !subject.is_empty());
            row.revise(tx, subject, state).await
        }
        Some(name) if is_call_of_agent(name) => {
            let Some(id) = response("agentId").and_then(todo::short_id) else { return Ok(()) };
            let Some(about) = input("description").and_then(Value::as_str).map(title) else { return Ok(()) };
            let Some(mut row) = stored_row(tx, task_id, &format!("subagent:{id}")).await? else { return Ok(()) };
            if row.title == about || about.is_empty() {
                return Ok(());
            }
            let call = record.id("tool_use_id").map(|call| ("tool_use_id".to_owned(), call.into()));
            row.metadata.extend(call);
            let state = row.state;
            row.revise(tx, Some(about), state).await
        }
        Some(_) | None => Ok(()),
    }
}

/// A stored row, as far as another record can change it.
struct LinkedRow {
    id: String,
    kind: String,
    title: String,
    state: EventState,
    metadata: Map<String, Value>,
}

impl LinkedRow {
    async fn revise(self, tx: &impl ConnectionTrait, title: Option<String>, state: EventState) -> Result<(), DbErr> {
        ingest::event::revise(tx, &self.id, title, state, Value::Object(self.metadata).to_string()).await
    }
}

async fn stored_row(tx: &impl ConnectionTrait, task_id: &str, external_id: &str) -> Result<Option<LinkedRow>, DbErr> {
    let of_task = Condition::all().add(event::Column::TaskId.eq(task_id));
    let filter = of_task.add(event::Column::ExternalId.eq(external_id));
    Ok(stored_rows(tx, filter).await?.pop())
}

async fn stored_rows(
    tx: &impl ConnectionTrait,
    filter: impl sea_orm::sea_query::IntoCondition,
) -> Result<Vec<LinkedRow>, DbErr> {
    let columns = [event::Column::Id, event::Column::Kind, event::Column::Title];
    let rows = event::Entity::find()
        .filter(filter.into_condition())
        .order_by_asc(event::Column::Position)
        .select_only()
        .columns(columns)
        .columns([event::Column::State, event::Column::Metadata])
        .into_tuple::<(StoredText, StoredText, StoredText, Option<StoredText>, Option<StoredText>)>()
        .all(tx)
        .await?;
    let rows = rows.into_iter().map(|(id, kind, title, state, metadata)| LinkedRow {
        id: id.into(),
        kind: kind.into(),
        title: title.into(),
        state: state.and_then(|state| EventState::parse(&state)).unwrap_or(EventState::Running),
        metadata: metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
    });
    Ok(rows.collect())
}
