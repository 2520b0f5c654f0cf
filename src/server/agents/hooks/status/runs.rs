//! The runs of a session: a new one begins, an open one ends or is lost.

use super::memory::AgentRun;
use super::{AgentMemory, FreshIds, HookOutcome};
use crate::agent::hook_catalogue::{HookName, RowEffect};
use crate::protocol::model::EventState;
use crate::server::agents::hooks::record::HookRecord;

impl AgentMemory {
    /// Continues the lost run, unless the record begins a new run.
    pub(super) fn resume_lost_run(&mut self, record: &HookRecord) -> Option<String> {
        let run = self.run.as_mut().filter(|run| run.lost)?;
        run.lost = false;
        run.ended = record.starts_run();
        (!run.ended).then(|| run.session.clone())
    }

    /// Begins and ends runs. Returns whether the record is the `SessionStart` of a new session that an earlier record
    /// overtook: its run goes on.
    pub(super) fn update_run(
        &mut self,
        record: &HookRecord,
        known: Option<EventState>,
        fresh: &FreshIds,
        outcome: &mut HookOutcome,
    ) -> bool {
        let starts = record.starts_run();
        let mut was_overtaken = false;
        let begins = match &mut self.run {
            None => true,
            Some(run) if starts && !run.ended && !run.started => {
                // An earlier record of this run overtook its `SessionStart`.
                run.started = true;
                was_overtaken = record.starts_new_session();
                false
            }
            Some(run) if starts => {
                if !run.ended {
                    outcome.lost_run = Some(run.session.clone());
                    self.end_open_rows(outcome);
                }
                true
            }
            // A late end record belongs to the previous run.
            Some(run) => {
                let is_late = known.is_some() || matches!(record.row().1, RowEffect::End(..) | RowEffect::None);
                run.ended && record.is_work() && !is_late
            }
        };
        if begins {
            self.run = Some(AgentRun { session: fresh.session.clone(), started: starts, ended: false, lost: false });
            outcome.started_run = Some(fresh.session.clone());
        }
        if record.hook == HookName::SessionEnd {
            self.end_run(outcome);
        }
        was_overtaken
    }

    pub(super) fn end_run(&mut self, outcome: &mut HookOutcome) {
        if let Some(run) = self.run.as_mut().filter(|run| !run.ended) {
            run.ended = true;
            outcome.ended_run = Some(run.session.clone());
        }
    }
}
