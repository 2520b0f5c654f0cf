//! Work that goes on after a turn: agents in the background, and prompts that the client will submit by itself.

use serde_json::Value;

use super::{AgentMemory, HookOutcome};
use crate::agent::hook_catalogue::RowEnd;
use crate::protocol::limits;
use crate::protocol::model::EventState;
use crate::server::agents::hooks::fingerprint::fingerprint;
use crate::server::agents::hooks::machine_words;
use crate::server::agents::hooks::record::HookRecord;

/// How many prompts of a schedule the memory keeps. A further one counts as a prompt of a person.
const MAX_SCHEDULED_PROMPTS: usize = 32;

/// Whether agents still work in the background after the main thread stopped. A shell or a monitor alone does not
/// count: a development server never ends.
pub(super) fn agents_work(record: &HookRecord) -> bool {
    let tasks = record.value("background_tasks").and_then(Value::as_array).into_iter().flatten();
    tasks.filter_map(|task| task.get("type")?.as_str()).any(|kind| {
        let kind = kind.to_ascii_lowercase().replace(['_', '-'], " ");
        matches!(kind.as_str(), "subagent" | "workflow" | "teammate" | "cloud session" | "mcp task")
    })
}

/// The fingerprints of the prompts that the client will submit by itself after this end of a turn.
pub(super) fn scheduled_prompts(record: &HookRecord) -> Vec<u64> {
    let schedules = record.value("session_crons").and_then(Value::as_array).into_iter().flatten();
    schedules.map(|one| fingerprint(&[], &prompt_of(one.get("prompt")))).take(MAX_SCHEDULED_PROMPTS).collect()
}

fn prompt_of(prompt: Option<&Value>) -> Value {
    prompt.and_then(Value::as_str).map_or(Value::Null, |text| text.trim().into())
}

impl AgentMemory {
    /// Whether the client submits this prompt by itself, as the last end of a turn said.
    pub fn is_scheduled(&self, record: &HookRecord) -> bool {
        !self.scheduled.is_empty() && {
            let prompt = prompt_of(record.value("prompt"));
            !prompt.is_null() && self.scheduled.contains(&fingerprint(&[], &prompt))
        }
    }

    /// Ends the rows of the background work of which a prompt of the client tells that it ended.
    pub(super) fn settle_background_work(&mut self, record: &HookRecord, outcome: &mut HookOutcome) {
        for work in machine_words::ended_work(record.text("prompt").unwrap_or_default()).take(limits::OPEN_ROWS) {
            let state = match work.end {
                Some(RowEnd::Ok) => EventState::Ok,
                Some(RowEnd::Failed) => EventState::Failed,
                Some(RowEnd::Denied) => EventState::Denied,
                None => EventState::Abandoned,
            };
            let keys = [work.tool_use_id.map(|id| format!("tool:{id}")), work.id.map(|id| format!("subagent:{id}"))];
            let ended = self.open.extract_if(.., |open| keys.iter().flatten().any(|key| *key == open.key));
            outcome.settled_events.extend(ended.map(|open| (open.event, state)));
        }
    }

    /// Notes that an agent in the background stopped. The client tells later that its work has ended.
    pub(super) fn note_stopped_agent(&mut self, id: &str) {
        for agent in self.open.iter_mut().filter_map(|open| open.background.as_mut()).filter(|agent| agent.id == id) {
            agent.has_stopped = true;
        }
    }

    /// Ends the rows of stopped agents that the client no longer lists at the end of a turn: their notice was lost.
    pub(super) fn settle_unlisted_agents(&mut self, record: &HookRecord, outcome: &mut HookOutcome) {
        let tasks = record.value("background_tasks").and_then(Value::as_array).into_iter().flatten();
        let listed: Vec<_> = tasks.filter_map(|task| task.get("id")?.as_str()).collect();
        let ended = self.open.extract_if(.., |open| {
            open.background.as_ref().is_some_and(|agent| agent.has_stopped && !listed.contains(&agent.id.as_str()))
        });
        outcome.settled_events.extend(ended.map(|open| (open.event, EventState::Ok)));
    }
}
