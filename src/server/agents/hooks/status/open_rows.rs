//! The rows that began and have not ended, and the end of a turn.

use super::memory::{BackgroundAgent, OpenRow};
use super::{AgentMemory, FreshIds, HookOutcome};
use crate::agent::hook_catalogue::{PairedRow, RowEffect};
use crate::protocol::limits;
use crate::protocol::model::EventState;
use crate::server::agents::hooks::record::HookRecord;

impl AgentMemory {
    /// Adds the record's own row to the open rows, or removes it.
    pub(super) fn update_open_rows(
        &mut self,
        record: &HookRecord,
        known: Option<EventState>,
        fresh: &FreshIds,
        outcome: &mut HookOutcome,
    ) {
        let Some(key) = record.key() else { return };
        match record.row().1 {
            // A todo outlives turns and runs, so no turn and no run has to close it.
            RowEffect::Begin(part) if known.is_none() && part != PairedRow::Todo => {
                if self.open.len() >= limits::OPEN_ROWS {
                    outcome.settled_events.push((self.open.remove(0).event, EventState::Abandoned));
                }
                let thread = record.thread().map(str::to_owned);
                let call = if part == PairedRow::Tool { record.call_fingerprint() } else { 0 };
                let background = background(record);
                let event = fresh.event.clone();
                self.open.push(OpenRow { key, event, part, thread, call, background, has_ended: false });
            }
            RowEffect::Begin(_) if record.background_agent().is_some() => {
                if let Some(open) = self.open.iter_mut().find(|open| open.key == key) {
                    open.background = background(record);
                }
            }
            RowEffect::End(..) => self.open.retain(|open| open.key != key),
            RowEffect::Begin(_) | RowEffect::None | RowEffect::Log => {}
        }
    }

    /// Ends a turn of a thread: its open requests get no answer any more, and its open calls end in the state
    /// `unreported`, because no hook reports their end.
    pub(super) fn end_turn(&mut self, thread: Option<&str>, unreported: EventState, outcome: &mut HookOutcome) {
        self.lift(|block| block.thread.as_deref() == thread);
        let ends = |open: &mut OpenRow| {
            open.thread.as_deref() == thread
                && open.background.is_none()
                && matches!(open.part, PairedRow::Tool | PairedRow::Question)
        };
        for OpenRow { event, has_ended, .. } in self.open.extract_if(.., ends) {
            outcome.settled_events.push((event, if has_ended { EventState::Failed } else { unreported }));
        }
    }

    /// Notes that the open calls of a thread have ended: the thread asks its model again. Codex reports the end of a
    /// call only if the call succeeded, and that report can still be on its way.
    pub(super) fn note_ended_calls(&mut self, thread: Option<&str>) {
        for open in self.open.iter_mut().filter(|open| open.thread.as_deref() == thread) {
            open.has_ended |= open.part == PairedRow::Tool && open.background.is_none();
        }
    }

    /// Ends all open rows with the session. Only an agent in the background that has stopped did its work.
    pub(super) fn end_open_rows(&mut self, outcome: &mut HookOutcome) {
        for OpenRow { event, background, has_ended, .. } in self.open.drain(..) {
            let state = match background {
                _ if has_ended => EventState::Failed,
                Some(agent) if agent.has_stopped => EventState::Ok,
                Some(_) | None => EventState::Abandoned,
            };
            outcome.settled_events.push((event, state));
        }
    }
}

fn background(record: &HookRecord) -> Option<BackgroundAgent> {
    record.background_agent().map(|id| BackgroundAgent { id: id.to_owned(), has_stopped: false })
}
