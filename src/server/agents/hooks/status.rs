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

mod background;
mod client_word;
mod memory;
mod notification;
mod open_rows;
mod runs;

use background::{agents_work, scheduled_prompts};
pub use memory::{AgentMemory, TitleOrigin};
use memory::{BaseStatus, Block, BlockCause};
use notification::Notified;

use super::record::HookRecord;
use super::timeline_row::status_detail;
use crate::agent::hook_catalogue::{PairedRow, StatusEffect};
use crate::agent::runtime::AgentRuntime;
use crate::protocol::limits;
use crate::protocol::model::{EventState, TaskStatus};

/// How many requests can block a task at once. The next one replaces the oldest.
const MAX_BLOCKS_PER_TASK: usize = 32;

/// How much of a command is kept to recognize its process.
const MAX_COMMAND_CHARACTERS: usize = 500;

/// The status reason of a task that errored because its agent was lost.
pub const LOST_REASON: &str = "lost";

/// The reason of a task that errored because a request to the model failed, where the runtime names no reason.
const REQUEST_FAILED_REASON: &str = "model_request_failed";

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
    /// The ids of the events that end with this record though another hook began them, with their states. The end of an
    /// abandoned one never arrives.
    pub settled_events: Vec<(String, EventState)>,
}

impl AgentMemory {
    /// The status of the task, and the reason why it waits or errored.
    pub fn status(&self) -> (TaskStatus, Option<&str>) {
        match (self.base, self.blocks.first()) {
            _ if self.lost => (TaskStatus::Errored, Some(LOST_REASON)),
            (BaseStatus::Completed, _) => (TaskStatus::Completed, None),
            (BaseStatus::Errored, _) => (TaskStatus::Errored, self.error.as_deref()),
            (_, Some(block)) => (TaskStatus::Waiting, Some(block.on.reason())),
            (BaseStatus::Running | BaseStatus::Compacting, None) => (TaskStatus::Running, None),
            (BaseStatus::Ready, None) => (TaskStatus::Waiting, Some("ready")),
            (BaseStatus::Idle, None) => (TaskStatus::Waiting, Some("idle")),
            (BaseStatus::Finished, None) => (TaskStatus::Waiting, Some("finished")),
            (BaseStatus::Interrupted, None) => (TaskStatus::Waiting, Some("interrupted")),
            (BaseStatus::Scheduled, None) => (TaskStatus::Waiting, Some("scheduled")),
        }
    }

    /// The question, the command or the error that goes with [`AgentMemory::status`].
    pub fn detail(&self) -> Option<&str> {
        match (self.base, self.blocks.first()) {
            _ if self.lost => None,
            (BaseStatus::Completed, _) => None,
            (BaseStatus::Errored, _) => self.last_text.as_deref(),
            (_, Some(block)) => block.detail.as_deref(),
            (BaseStatus::Finished | BaseStatus::Scheduled, None) => self.last_text.as_deref(),
            (
                BaseStatus::Running
                | BaseStatus::Compacting
                | BaseStatus::Ready
                | BaseStatus::Idle
                | BaseStatus::Interrupted,
                None,
            ) => None,
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

    /// Whether the open call with this key waits for a permission.
    pub fn needs_permission(&self, key: &str) -> bool {
        self.open.iter().filter(|open| open.key == key).any(|open| {
            let asks = |block: &Block| block.thread == open.thread && block.on == BlockCause::Approval(open.call);
            self.blocks.iter().any(asks)
        })
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
    /// the hook ran after the hooks of all records that were taken before, and `at_ms` when it ran.
    pub fn take(
        &mut self,
        record: &HookRecord,
        known: Option<EventState>,
        is_newest: bool,
        fresh: &FreshIds,
        at_ms: i64,
    ) -> HookOutcome {
        let before = (self.base, self.blocks.clone());
        let mut outcome = HookOutcome::default();
        // An agent whose hook arrives is not lost.
        let was_lost = self.lost && is_newest;
        if was_lost {
            self.lost = false;
            outcome.resumed_run = self.resume_lost_run(record);
        }
        let was_overtaken = self.update_run(record, known, fresh, &mut outcome);
        let is_decisive = !was_overtaken && self.update_status(record, known, &mut outcome);
        self.update_open_rows(record, known, fresh, &mut outcome);
        outcome.decides_status = is_decisive || was_lost || before != (self.base, self.blocks.clone());
        self.weigh(record, at_ms, &mut outcome);
        outcome
    }

    /// Declares the agent lost, because it sent no hook for too long.
    pub fn lose(&mut self) -> HookOutcome {
        if self.base == BaseStatus::Ready {
            // No person used the session, so its end is no failure.
            return self.end_without_a_hook();
        }
        self.lost = true;
        self.blocks.clear();
        let run = self.run.as_mut().filter(|run| !run.ended);
        let lost_run = run.map(|run| {
            (run.ended, run.lost) = (true, true);
            run.session.clone()
        });
        let mut outcome = HookOutcome { decides_status: true, lost_run, ..HookOutcome::default() };
        self.end_open_rows(&mut outcome);
        outcome
    }

    /// Ends the session, because its process has begun another one and the client sent no `SessionEnd`.
    pub fn end_without_a_hook(&mut self) -> HookOutcome {
        let mut outcome = HookOutcome { decides_status: true, ..HookOutcome::default() };
        self.end_session(&mut outcome);
        self.end_run(&mut outcome);
        outcome
    }

    fn end_session(&mut self, outcome: &mut HookOutcome) {
        if self.base != BaseStatus::Errored {
            self.base = BaseStatus::Completed;
        }
        self.turn = None;
        self.blocks.clear();
        self.end_open_rows(outcome);
    }

    /// Updates the base and the blocks. Returns whether the record decides the status even if it changes neither of
    /// them.
    fn update_status(&mut self, record: &HookRecord, known: Option<EventState>, outcome: &mut HookOutcome) -> bool {
        let thread = record.thread();
        match record.hook.entry().status {
            StatusEffect::SessionStarts if record.is_compacted() => self.end_compaction(),
            StatusEffect::SessionStarts => {
                self.base = BaseStatus::Ready;
                self.turn = None;
                self.blocks.clear();
                true
            }
            // The client wakes the agent: no person has answered, and calls in the background still run.
            StatusEffect::TurnStarts if record.is_prompt_of_client() => {
                self.base = BaseStatus::Running;
                self.settle_background_work(record, outcome);
                self.turn = record.turn().map(str::to_owned);
                true
            }
            StatusEffect::TurnStarts => {
                self.base = BaseStatus::Running;
                let is_queued = record.turn().is_some_and(|turn| self.turn.as_deref() == Some(turn));
                if !is_queued {
                    self.end_turn(None, EventState::Abandoned, outcome);
                }
                self.turn = record.turn().map(str::to_owned);
                true
            }
            StatusEffect::ToolCallStarts if known.is_some() => false,
            StatusEffect::ToolCallStarts => {
                if thread.is_none() {
                    self.base = BaseStatus::Running;
                }
                // The next tool call of a thread shows that its earlier request was answered or refused.
                self.lift(|block| block.thread.as_deref() == thread && !matches!(block.on, BlockCause::Elicitation(_)));
                if record.is_about_question() {
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
                    BlockCause::Approval(asked) | BlockCause::AnswerOfCall(asked) => {
                        block.thread.as_deref() == thread && (*asked == call || Some(*asked) == begun)
                    }
                    BlockCause::Answer(answer) => *answer == key,
                    BlockCause::Notice { open, .. } => open.is_empty() || open.contains(&key),
                    BlockCause::Elicitation(_) => false,
                });
                false
            }
            // All calls of one answer of the model have ended, so the requests for them were answered.
            StatusEffect::ToolCallsEnd => {
                let calls = record.value("tool_calls").and_then(|calls| calls.as_array()).into_iter().flatten();
                let keys: Vec<_> = calls
                    .filter_map(|call| Some(format!("tool:{}", call.get("tool_use_id")?.as_str()?)))
                    .take(limits::OPEN_ROWS)
                    .collect();
                self.lift(|block| match &block.on {
                    BlockCause::Approval(_) | BlockCause::Answer(_) | BlockCause::AnswerOfCall(_) => {
                        block.thread.as_deref() == thread
                    }
                    BlockCause::Notice { open, .. } => open.is_empty() || open.iter().any(|key| keys.contains(key)),
                    BlockCause::Elicitation(_) => false,
                });
                false
            }
            // A question asks for its own permission. The task waits for one answer, so it has one block.
            StatusEffect::PermissionAsked if record.is_about_question() => {
                let asks =
                    |block: &Block| block.thread.as_deref() == thread && matches!(block.on, BlockCause::Answer(_));
                if !self.blocks.iter().any(asks) {
                    self.block(record, thread, BlockCause::AnswerOfCall(record.call_fingerprint()));
                }
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
                    BlockCause::Approval(_) | BlockCause::Answer(_) | BlockCause::AnswerOfCall(_) => false,
                });
                false
            }
            StatusEffect::Notified => {
                self.notify(record);
                false
            }
            StatusEffect::TurnEnds => {
                self.scheduled = scheduled_prompts(record);
                // The hook of the turn's end and the hook of the session's end run in the same moment.
                let is_late = self.base == BaseStatus::Completed && self.run.as_ref().is_some_and(|run| run.ended);
                self.base = match () {
                    () if is_late => BaseStatus::Completed,
                    () if agents_work(record) => BaseStatus::Running,
                    () if !self.scheduled.is_empty() => BaseStatus::Scheduled,
                    () => BaseStatus::Finished,
                };
                self.last_text = status_detail(record);
                let unreported = match record.source.runtime() {
                    Some(AgentRuntime::ClaudeCode) | None => EventState::Abandoned,
                    // Codex reports the end of a call only if the call succeeded.
                    Some(AgentRuntime::Codex) => EventState::Failed,
                };
                self.turn = None;
                self.end_turn(None, unreported, outcome);
                self.settle_unlisted_agents(record, outcome);
                true
            }
            StatusEffect::TurnFails => {
                self.fail_turn(record, record.id("error"), outcome);
                true
            }
            StatusEffect::Interrupted => {
                if thread.is_none() {
                    self.base = BaseStatus::Interrupted;
                    self.turn = None;
                }
                self.end_turn(thread, EventState::Abandoned, outcome);
                thread.is_none()
            }
            // A thread asks its model again after all its calls have ended.
            StatusEffect::ModelRequestStarts => {
                let is_at_work = thread.is_none() && self.base != BaseStatus::Completed;
                if is_at_work {
                    self.base = BaseStatus::Running;
                }
                self.lift(|block| block.thread.as_deref() == thread);
                self.note_ended_calls(thread);
                is_at_work
            }
            StatusEffect::ModelRequestEnds if record.is_failed_request() && thread.is_none() => {
                self.fail_turn(record, Some(REQUEST_FAILED_REASON), outcome);
                true
            }
            StatusEffect::ModelRequestEnds => false,
            StatusEffect::CompactionStarts => {
                let is_outside_turn = !matches!(self.base, BaseStatus::Running | BaseStatus::Completed);
                let begins = is_outside_turn && thread.is_none() && record.text("trigger") == Some("manual");
                if begins {
                    self.base = BaseStatus::Compacting;
                }
                begins
            }
            StatusEffect::CompactionEnds => {
                // The beginning of this compaction did not arrive.
                if self.base == BaseStatus::Finished && record.text("trigger") == Some("manual") {
                    self.base = BaseStatus::Compacting;
                }
                self.end_compaction()
            }
            // The end of a subagent answers only the requests of that subagent.
            StatusEffect::SubagentEnds => {
                if let Some(agent) = thread {
                    self.end_turn(thread, EventState::Abandoned, outcome);
                    self.note_stopped_agent(agent);
                }
                false
            }
            StatusEffect::SessionEnds => {
                self.end_session(outcome);
                true
            }
            StatusEffect::Unchanged => false,
        }
    }

    fn notify(&mut self, record: &HookRecord) {
        let permission = match Notified::read(record) {
            Some(Notified::Idle) => {
                if self.base == BaseStatus::Running {
                    self.base = BaseStatus::Idle;
                }
                return;
            }
            Some(Notified::Permission) => true,
            Some(Notified::Question) => false,
            None => return,
        };
        if self.blocks.is_empty() {
            let open =
                self.open.iter().filter(|open| open.part == PairedRow::Tool).map(|open| open.key.clone()).collect();
            self.block(record, None, BlockCause::Notice { permission, open });
        }
    }

    fn fail_turn(&mut self, record: &HookRecord, reason: Option<&str>, outcome: &mut HookOutcome) {
        self.base = BaseStatus::Errored;
        self.error = reason.map(str::to_owned);
        self.last_text = status_detail(record);
        self.turn = None;
        self.end_turn(None, EventState::Abandoned, outcome);
    }

    /// Ends a compaction that a person asked for. The person has read the last answer, so the turn counts as seen.
    fn end_compaction(&mut self) -> bool {
        let ends = self.base == BaseStatus::Compacting;
        if ends {
            self.base = if self.scheduled.is_empty() { BaseStatus::Idle } else { BaseStatus::Scheduled };
        }
        ends
    }

    fn block(&mut self, record: &HookRecord, thread: Option<&str>, on: BlockCause) {
        let block =
            Block { thread: thread.map(str::to_owned), on, detail: status_detail(record), since: 0, command: None };
        if let Some(known) =
            self.blocks.iter_mut().find(|known| (&known.thread, &known.on) == (&block.thread, &block.on))
        {
            // A request without a key replaces the request before it, so the task waits with the words of the newer
            // one.
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

#[cfg(test)]
mod tests;
