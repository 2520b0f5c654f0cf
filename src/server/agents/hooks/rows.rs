//! The rows of the timeline that a taken record begins, ends or adds.

use sea_orm::{ConnectionTrait, DbErr};

use super::linked_rows;
use super::record::HookRecord;
use super::status::AgentMemory;
use super::store::StoredEvent;
use super::timeline_row::TimelineRow;
use crate::agent::hook_catalogue::{HookName, RowEffect, RowEnd};
use crate::protocol::model::EventState;
use crate::server::ingest;
use crate::server::ingest::event::EventToLog;

/// A record whose effect on its task is written already.
pub struct TakenRecord<'a> {
    /// The task.
    pub task_id: &'a str,
    /// The record.
    pub record: &'a HookRecord,
    /// The memory of the agent, after the record.
    pub agent: &'a AgentMemory,
    /// The row of the record, if it exists already.
    pub known: Option<StoredEvent>,
    /// The id of a new row.
    pub event_id: String,
    /// The time at which the hook ran.
    pub now_ms: i64,
}

impl TakenRecord<'_> {
    /// Writes the rows. `git_rows` tell the outcome of the command in version control. An imported transcript has the
    /// rows of its period already, as far as these have no id of their own.
    pub async fn write_rows(
        self,
        tx: &impl ConnectionTrait,
        git_rows: Vec<TimelineRow>,
        is_in_transcript: bool,
    ) -> Result<(), DbErr> {
        let Self { task_id, record, agent, known, event_id, now_ms } = self;
        let state = match record.row().1 {
            RowEffect::None => return Ok(()),
            RowEffect::Log => None,
            RowEffect::Begin(_) => Some(EventState::Running),
            RowEffect::End(_, RowEnd::Ok) => Some(EventState::Ok),
            RowEffect::End(_, RowEnd::Failed) => Some(EventState::Failed),
            RowEffect::End(_, RowEnd::Denied) => Some(EventState::Denied),
        };
        let session_id = agent.session().map(str::to_owned);
        let is_repeated = known.as_ref().is_some_and(|event| !event.is_unfinished());
        let mut new = Vec::new();
        let mut is_told = true;
        match (known, state) {
            (Some(event), Some(state)) => {
                // A batch can report a call as denied before the hook of the call itself arrives.
                let is_corrected = event.state == EventState::Denied && state != EventState::Denied;
                is_told = (is_corrected || event.is_unfinished()) && state != EventState::Running;
                if is_told {
                    ingest::event::finish(tx, &event.id, event.ending(state, TimelineRow::of(record))).await?;
                }
            }
            (Some(_), None) => {}
            (None, _) if is_in_transcript && record.external_id().is_none() => {}
            (None, state) => {
                let (external_id, session_id) = (record.external_id(), session_id.clone());
                let mut row = TimelineRow::of(record);
                if record.hook == HookName::SubagentStart {
                    linked_rows::name_after_call(tx, record, agent, &mut row).await?;
                }
                let row = row.into_event(task_id, now_ms, now_ms);
                new.push(EventToLog { id: event_id, session_id, state, external_id, ..row });
            }
        }
        if !is_repeated {
            linked_rows::follow_call(tx, task_id, record).await?;
        }
        if is_told && !is_in_transcript {
            let of_run = |row: TimelineRow| EventToLog {
                session_id: session_id.clone(),
                ..row.into_event(task_id, now_ms, now_ms)
            };
            new.extend(git_rows.into_iter().map(of_run));
        }
        if record.hook == HookName::PermissionDenied && !record.is_concluded && !is_in_transcript {
            let row = TimelineRow::of_denial(record).into_event(task_id, now_ms, now_ms);
            new.push(EventToLog { session_id, ..row });
        }
        ingest::event::insert_all(tx, new).await
    }
}
