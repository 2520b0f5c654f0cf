//! The status of an agent's task, computed from its hooks: a pure function from the agent's memory and a record to the
//! next memory.
//!
//! No hook reports "running" or "waiting". Each hook reports one event on one of several threads (the main thread and
//! the subagents). Records can arrive late or twice, and an agent that a person stops with Esc or kills sends no hook.
//! So the memory holds two facts apart. The *base* follows the turns of the main thread. A *block* is a request that a
//! person has to answer. Most answers send no hook, so a later hook that proves the answer lifts the block: the end of
//! the call, the next call of the thread or the end of the turn. While a block exists the task waits, unless its base
//! is completed or errored.
//!
//! The memory is stored with the task as JSON. Its size is bounded: a row that it drops is closed as abandoned.

mod memory;

pub use memory::{AgentMemory, TitleOrigin};
use memory::{AgentRun, BaseStatus, Block, BlockCause, OpenRow};

use super::record::HookRecord;
use super::timeline_row::status_detail;
use crate::agent::hook_catalogue::{HookName, PairedRow, RowEffect, StatusEffect};
use crate::protocol::limits;
use crate::protocol::model::{EventState, TaskStatus};

/// How many requests can block a task at once. The next one replaces the oldest.
const MAX_BLOCKS_PER_TASK: usize = 32;

/// The status reason of a task that errored because its agent was lost.
pub const LOST_REASON: &str = "lost";

/// Ids for the run and the event that a record may begin. The caller makes them, so that this code stays pure.
pub struct FreshIds {
    /// The id of a run.
    pub session: String,
    /// The id of an event.
    pub event: String,
}

/// The effects of a record, besides its own row.
#[derive(Debug, Default, PartialEq)]
pub struct HookOutcome {
    /// Whether the record decides the status of the task. If not, a status that another writer set stays.
    pub decides_status: bool,
    /// The id of the lost run that continues.
    pub resumed_run: Option<String>,
    /// The id of the run that ended without a `SessionEnd`.
    pub lost_run: Option<String>,
    /// The id of the run that starts.
    pub started_run: Option<String>,
    /// The id of the run that ended.
    pub ended_run: Option<String>,
    /// The ids of the events that are closed because their end never arrives.
    pub abandoned_events: Vec<String>,
}

impl AgentMemory {
    /// The status of the task, and the reason why it waits or errored.
    pub fn status(&self) -> (TaskStatus, Option<&str>) {
        match (self.base, self.blocks.first()) {
            _ if self.lost => (TaskStatus::Errored, Some(LOST_REASON)),
            (BaseStatus::Completed, _) => (TaskStatus::Completed, None),
            (BaseStatus::Errored, _) => (TaskStatus::Errored, self.error.as_deref()),
            (_, Some(block)) => (TaskStatus::Waiting, Some(block.on.reason())),
            (BaseStatus::Running, None) => (TaskStatus::Running, None),
            (BaseStatus::Ready, None) => (TaskStatus::Waiting, Some("ready")),
            (BaseStatus::Idle, None) => (TaskStatus::Waiting, Some("idle")),
            (BaseStatus::Finished, None) => (TaskStatus::Waiting, Some("finished")),
        }
    }

    /// The question, the command or the error that goes with [`AgentMemory::status`].
    pub fn detail(&self) -> Option<&str> {
        match (self.base, self.blocks.first()) {
            _ if self.lost => None,
            (BaseStatus::Completed, _) => None,
            (BaseStatus::Errored, _) => self.last_text.as_deref(),
            (_, Some(block)) => block.detail.as_deref(),
            (BaseStatus::Finished, None) => self.last_text.as_deref(),
            (BaseStatus::Running | BaseStatus::Ready | BaseStatus::Idle, None) => None,
        }
    }

    /// The end of the period that an import covered.
    pub fn imported_until(&self) -> Option<i64> {
        self.imported.as_ref()?.get("until_ms")?.as_i64()
    }

    /// Notes the new title of the task and its source.
    pub fn note_title(&mut self, titled: TitleOrigin, title: &str) {
        self.titled = titled;
        if titled == TitleOrigin::Session {
            self.named = Some(title.to_owned());
        }
    }

    /// The id of the open event with this key.
    pub fn open(&self, key: &str) -> Option<&str> {
        self.open.iter().find(|open| open.key == key).map(|open| open.event.as_str())
    }

    /// The ids of the open events, the oldest first.
    pub fn open_events(&self) -> impl Iterator<Item = &str> {
        self.open.iter().map(|open| open.event.as_str())
    }

    /// The id of the newest run, to which the next record belongs.
    pub fn session(&self) -> Option<&str> {
        self.run.as_ref().map(|run| run.session.as_str())
    }

    /// Takes a record. `known` is the state of the row of the record, if the row exists already. `is_newest` is whether
    /// the hook ran after the hooks of all records that were taken before.
    pub fn take(
        &mut self,
        record: &HookRecord,
        known: Option<EventState>,
        is_newest: bool,
        fresh: &FreshIds,
    ) -> HookOutcome {
        let before = (self.base, self.blocks.clone());
        let mut outcome = HookOutcome::default();
        // An agent whose hook arrives is not lost.
        let was_lost = self.lost && is_newest;
        if was_lost {
            self.lost = false;
            outcome.resumed_run = self.resume_lost_run(record);
        }
        self.update_run(record, known, fresh, &mut outcome);
        let is_decisive = self.update_status(record, known, &mut outcome);
        self.update_open_rows(record, known, fresh, &mut outcome);
        outcome.decides_status = is_decisive || was_lost || before != (self.base, self.blocks.clone());
        outcome
    }

    /// Declares the agent lost, because it sent no hook for too long.
    pub fn lose(&mut self) -> HookOutcome {
        self.lost = true;
        self.blocks.clear();
        let run = self.run.as_mut().filter(|run| !run.ended);
        HookOutcome {
            decides_status: true,
            lost_run: run.map(|run| {
                (run.ended, run.lost) = (true, true);
                run.session.clone()
            }),
            abandoned_events: self.open.drain(..).map(|open| open.event).collect(),
            ..HookOutcome::default()
        }
    }

    /// Continues the lost run, unless the record begins a new run.
    fn resume_lost_run(&mut self, record: &HookRecord) -> Option<String> {
        let run = self.run.as_mut().filter(|run| run.lost)?;
        run.lost = false;
        run.ended = record.starts_run();
        (!run.ended).then(|| run.session.clone())
    }

    fn update_run(
        &mut self,
        record: &HookRecord,
        known: Option<EventState>,
        fresh: &FreshIds,
        outcome: &mut HookOutcome,
    ) {
        let starts = record.starts_run();
        let begins = match &mut self.run {
            None => true,
            Some(run) if starts && !run.ended && !run.started => {
                // An earlier record of this run overtook its `SessionStart`.
                run.started = true;
                false
            }
            Some(run) if starts => {
                if !run.ended {
                    outcome.lost_run = Some(run.session.clone());
                    outcome.abandoned_events.extend(self.open.drain(..).map(|open| open.event));
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
        if let Some(run) = self.run.as_mut().filter(|run| record.hook == HookName::SessionEnd && !run.ended) {
            run.ended = true;
            outcome.ended_run = Some(run.session.clone());
        }
    }

    /// Updates the base and the blocks. Returns whether the record decides the status even if it changes neither of
    /// them.
    fn update_status(&mut self, record: &HookRecord, known: Option<EventState>, outcome: &mut HookOutcome) -> bool {
        let thread = record.thread();
        match record.hook.entry().status {
            StatusEffect::SessionStarts if record.is_compacted() => false,
            StatusEffect::SessionStarts => {
                self.base = BaseStatus::Ready;
                self.blocks.clear();
                true
            }
            StatusEffect::TurnStarts => {
                self.base = BaseStatus::Running;
                self.end_turn(None, outcome);
                true
            }
            StatusEffect::ToolCallStarts if known.is_some() => false,
            StatusEffect::ToolCallStarts => {
                if thread.is_none() {
                    self.base = BaseStatus::Running;
                }
                // The next tool call of a thread shows that its earlier request was answered or refused.
                self.lift(|block| block.thread.as_deref() == thread && !matches!(block.on, BlockCause::Elicitation(_)));
                if matches!(record.text("tool_name"), Some("AskUserQuestion" | "ExitPlanMode" | "request_user_input")) {
                    self.block(record, thread, BlockCause::Answer(record.key().unwrap_or_default()));
                }
                thread.is_none()
            }
            // A failed call does not fail the task.
            StatusEffect::ToolCallEnds => {
                let (call, key) = (record.call_fingerprint(), record.key().unwrap_or_default());
                // The input can differ between the request and the end: a person may edit it, and the answers of a
                // question become part of it. So the fingerprint of the call's beginning counts too.
                let begun = self.open.iter().find(|open| open.key == key).map(|open| open.call);
                self.lift(|block| match &block.on {
                    BlockCause::Approval(approval) => {
                        block.thread.as_deref() == thread && (*approval == call || Some(*approval) == begun)
                    }
                    BlockCause::Answer(answer) => *answer == key,
                    BlockCause::Notice { open, .. } => open.is_empty() || open.contains(&key),
                    BlockCause::Elicitation(_) => false,
                });
                false
            }
            StatusEffect::PermissionAsked => {
                self.block(record, thread, BlockCause::Approval(record.call_fingerprint()));
                false
            }
            StatusEffect::QuestionAsked => {
                self.block(record, thread, BlockCause::Elicitation(record.key().unwrap_or_default()));
                false
            }
            StatusEffect::QuestionAnswered => {
                let key = record.key().unwrap_or_default();
                self.lift(|block| match &block.on {
                    BlockCause::Elicitation(elicitation) => *elicitation == key,
                    BlockCause::Notice { permission, .. } => !permission,
                    BlockCause::Approval(_) | BlockCause::Answer(_) => false,
                });
                false
            }
            StatusEffect::Notified => {
                self.block_on_notification(record);
                false
            }
            StatusEffect::TurnEnds => {
                self.base = if agents_work_in_background(record) { BaseStatus::Running } else { BaseStatus::Finished };
                self.last_text = status_detail(record);
                self.end_turn(None, outcome);
                true
            }
            StatusEffect::TurnFails => {
                self.base = BaseStatus::Errored;
                self.error = record.id("error").map(str::to_owned);
                self.last_text = status_detail(record);
                self.end_turn(None, outcome);
                true
            }
            // The end of a subagent answers only the requests of that subagent.
            StatusEffect::SubagentEnds => {
                if thread.is_some() {
                    self.end_turn(thread, outcome);
                }
                false
            }
            StatusEffect::SessionEnds => {
                if self.base != BaseStatus::Errored {
                    self.base = BaseStatus::Completed;
                }
                self.blocks.clear();
                outcome.abandoned_events.extend(self.open.drain(..).map(|open| open.event));
                true
            }
            StatusEffect::Unchanged => false,
        }
    }

    fn block_on_notification(&mut self, record: &HookRecord) {
        let permission = match record.text("notification_type") {
            Some("idle_prompt") => {
                if self.base == BaseStatus::Running {
                    self.base = BaseStatus::Idle;
                }
                return;
            }
            Some("permission_prompt") => true,
            Some("elicitation_dialog" | "elicitation_url_dialog" | "agent_needs_input") => false,
            Some(_) | None => return,
        };
        if self.blocks.is_empty() {
            let open =
                self.open.iter().filter(|open| open.part == PairedRow::Tool).map(|open| open.key.clone()).collect();
            self.block(record, None, BlockCause::Notice { permission, open });
        }
    }

    /// Adds the record's own row to the open rows, or removes it.
    fn update_open_rows(
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
                    outcome.abandoned_events.push(self.open.remove(0).event);
                }
                let thread = record.thread().map(str::to_owned);
                let call = if part == PairedRow::Tool { record.call_fingerprint() } else { 0 };
                self.open.push(OpenRow { key, event: fresh.event.clone(), part, thread, call });
            }
            RowEffect::End(..) => self.open.retain(|open| open.key != key),
            RowEffect::Begin(_) | RowEffect::None | RowEffect::Log => {}
        }
    }

    /// Ends a turn of a thread: its open requests get no answer any more, and its open calls get no end.
    fn end_turn(&mut self, thread: Option<&str>, outcome: &mut HookOutcome) {
        self.lift(|block| block.thread.as_deref() == thread);
        let ends = |open: &mut OpenRow| {
            open.thread.as_deref() == thread && matches!(open.part, PairedRow::Tool | PairedRow::Question)
        };
        outcome.abandoned_events.extend(self.open.extract_if(.., ends).map(|open| open.event));
    }

    fn block(&mut self, record: &HookRecord, thread: Option<&str>, on: BlockCause) {
        let block = Block { thread: thread.map(str::to_owned), on, detail: status_detail(record) };
        if let Some(known) =
            self.blocks.iter_mut().find(|known| (&known.thread, &known.on) == (&block.thread, &block.on))
        {
            // A request without a key replaces the request before it, so the task waits with the words of the newer one.
            known.detail = block.detail.or(known.detail.take());
            return;
        }
        if self.blocks.len() >= MAX_BLOCKS_PER_TASK {
            self.blocks.remove(0);
        }
        self.blocks.push(block);
    }

    fn lift(&mut self, is_lifted: impl Fn(&Block) -> bool) {
        self.blocks.retain(|block| !is_lifted(block));
    }
}

/// Whether agents still work in the background after the main thread stopped. A shell or a monitor alone does not
/// count: a development server never ends.
fn agents_work_in_background(record: &HookRecord) -> bool {
    let tasks = record.value("background_tasks").and_then(|tasks| tasks.as_array()).into_iter().flatten();
    tasks.filter_map(|task| task.get("type")?.as_str()).any(|kind| {
        let kind = kind.to_ascii_lowercase().replace(['_', '-'], " ");
        matches!(kind.as_str(), "subagent" | "workflow" | "teammate" | "cloud session" | "mcp task")
    })
}

#[cfg(test)]
mod tests;
