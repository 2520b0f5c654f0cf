//! Where an agent stands, as far as its hooks tell: a pure function from what is remembered and a record to what is
//! remembered next.
//!
//! No hook says "running" or "waiting". Each says what happened, on one of several threads (the main one and the
//! subagents), some of them late or twice, and a person who presses Esc or kills the client sends none. So two things
//! are kept apart: the *base*, which follows the main thread's turns, and what *blocks*, which is a person's to answer
//! and is lifted by the very thing it held up. A task waits while anything blocks, whatever its base, unless it ended.
//!
//! What is remembered is kept with the task as JSON. It is bounded: what it forgets is closed as abandoned.

use serde::{Deserialize, Serialize};

use super::record::HookRecord;
use crate::agent::hook_catalogue::{HookName, PairedRow, RowEffect, StatusEffect};
use crate::protocol::model::{EventState, TaskStatus};

/// How many rows may be open at once. The oldest is abandoned for the next.
const MAX_OPEN_ROWS: usize = 256;

/// How many requests may wait for a person at once. The oldest is forgotten for the next.
const MAX_BLOCKS_PER_TASK: usize = 32;

/// Why a task errored whose agent was not heard of any more.
pub const LOST_REASON: &str = "lost";

/// What is remembered about an agent between two of its records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentMemory {
    base: BaseStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<Block>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<OpenRow>,
    #[serde(default)]
    run: Option<AgentRun>,
    /// What the turn failed of, in the runtime's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Given up because it was not heard of any more; the base is what it was before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
    /// What the task's title was taken from.
    #[serde(default)]
    pub titled: TitleOrigin,
    /// The name that the session had last: one that is said again is no news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// What an import remembers of a session that it took in, until a hook tells of a later time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<serde_json::Value>,
}

/// What the main thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BaseStatus {
    Running,
    Ready,
    Idle,
    Finished,
    Completed,
    Errored,
}

/// Something a person has to answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Block {
    /// The subagent; none: the main thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thread: Option<String>,
    on: BlockCause,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BlockCause {
    /// The permission to make this call.
    Approval(u64),
    /// The answer to the call of this key, which itself asks the person.
    Answer(String),
    /// The answer to an MCP server.
    Elicitation(String),
    /// A notification said so, of permission or of a question. It names no call: any that was open then may be it, so
    /// the first of these to end lifts it.
    Notice { permission: bool, open: Vec<String> },
}

/// A row that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OpenRow {
    key: String,
    event: String,
    part: PairedRow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thread: Option<String>,
    /// Of a tool call: what a request to allow it has in common with it.
    #[serde(default)]
    call: u64,
}

/// A run of the client, the newest; ended or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct AgentRun {
    session: String,
    /// Whether a SessionStart began it, rather than the first record that came.
    started: bool,
    ended: bool,
    /// It did not end by itself, but was given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
}

/// What a title was taken from; a later one is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TitleOrigin {
    /// The folder.
    #[default]
    Folder,
    /// What the person said first.
    Prompt,
    /// The name of the session.
    Session,
}

/// Ids for what a record may begin. Made outside, so that the same record has the same outcome.
pub struct FreshIds {
    /// Of a session.
    pub session: String,
    /// Of an event.
    pub event: String,
}

/// What follows from a record, besides its own row.
#[derive(Debug, Default, PartialEq)]
pub struct HookOutcome {
    /// Whether the record says where the task stands. If not, nobody else's word on it is overruled.
    pub decides: bool,
    /// A run that was given up and goes on.
    pub revived: Option<String>,
    /// A run that ended without saying so.
    pub lost: Option<String>,
    /// A run that begins.
    pub began: Option<String>,
    /// A run that ended.
    pub ended: Option<String>,
    /// Rows that are closed without an end of their own.
    pub abandoned: Vec<String>,
}

impl AgentMemory {
    /// What is known of an agent before its first record has had its effect.
    pub fn new(first: &HookRecord) -> Self {
        let base = if first.is_work() { BaseStatus::Running } else { BaseStatus::Ready };
        Self::at(base, TitleOrigin::default())
    }

    /// What can be known of an agent whose memory is lost: where its task stands.
    pub fn recalled(status: TaskStatus) -> Self {
        let base = match status {
            TaskStatus::Running => BaseStatus::Running,
            TaskStatus::Waiting => BaseStatus::Idle,
            TaskStatus::Completed => BaseStatus::Completed,
            TaskStatus::Errored => BaseStatus::Errored,
        };
        Self::at(base, TitleOrigin::Session)
    }

    /// What is known of an agent that worked before anybody listened.
    pub fn ended(titled: TitleOrigin, named: Option<String>) -> Self {
        Self { named, ..Self::at(BaseStatus::Completed, titled) }
    }

    fn at(base: BaseStatus, titled: TitleOrigin) -> Self {
        Self {
            base,
            blocks: Vec::new(),
            open: Vec::new(),
            run: None,
            error: None,
            lost: false,
            titled,
            named: None,
            imported: None,
        }
    }

    /// Where the task stands, and why it waits or errored.
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

    /// Until when an import has told of it.
    pub fn imported_until(&self) -> Option<i64> {
        self.imported.as_ref()?.get("until_ms")?.as_i64()
    }

    /// Notes what its task is called, and after what.
    pub fn note_title(&mut self, titled: TitleOrigin, title: &str) {
        self.titled = titled;
        if titled == TitleOrigin::Session {
            self.named = Some(title.to_owned());
        }
    }

    /// The event that is open under this key.
    pub fn open(&self, key: &str) -> Option<&str> {
        self.open.iter().find(|open| open.key == key).map(|open| open.event.as_str())
    }

    /// The session that a record belongs to now.
    pub fn session(&self) -> Option<&str> {
        self.run.as_ref().map(|run| run.session.as_str())
    }

    /// Takes a record. `known` is the state of its row, if there is one already; `is_news` whether it is later than all
    /// that was heard before.
    pub fn take(
        &mut self,
        record: &HookRecord,
        known: Option<EventState>,
        is_news: bool,
        fresh: &FreshIds,
    ) -> HookOutcome {
        let before = (self.base, self.blocks.clone());
        let mut step = HookOutcome::default();
        // Whoever is heard of is not lost.
        let was_lost = self.lost && is_news;
        if was_lost {
            self.lost = false;
            step.revived = self.revive(record);
        }
        self.take_run(record, known, fresh, &mut step);
        let said = self.take_status(record, known, &mut step);
        self.take_row(record, known, fresh, &mut step);
        step.decides = said || was_lost || before != (self.base, self.blocks.clone());
        step
    }

    /// Gives it up: nothing was heard of it for too long.
    pub fn lose(&mut self) -> HookOutcome {
        self.lost = true;
        self.blocks.clear();
        let run = self.run.as_mut().filter(|run| !run.ended);
        HookOutcome {
            decides: true,
            lost: run.map(|run| {
                (run.ended, run.lost) = (true, true);
                run.session.clone()
            }),
            abandoned: self.open.drain(..).map(|open| open.event).collect(),
            ..HookOutcome::default()
        }
    }

    /// Goes on with the run that was given up, unless a record begins another.
    fn revive(&mut self, record: &HookRecord) -> Option<String> {
        let run = self.run.as_mut().filter(|run| run.lost)?;
        run.lost = false;
        run.ended = record.begins();
        (!run.ended).then(|| run.session.clone())
    }

    fn take_run(&mut self, record: &HookRecord, known: Option<EventState>, fresh: &FreshIds, step: &mut HookOutcome) {
        let starts = record.begins();
        let begins = match &mut self.run {
            None => true,
            Some(run) if starts && !run.ended && !run.started => {
                // Its first record overtook its start.
                run.started = true;
                false
            }
            Some(run) if starts => {
                if !run.ended {
                    step.lost = Some(run.session.clone());
                    step.abandoned.extend(self.open.drain(..).map(|open| open.event));
                }
                true
            }
            // An echo of the run before is no new run: it came late.
            Some(run) => {
                let echo = known.is_some() || matches!(record.row().1, RowEffect::End(..) | RowEffect::None);
                run.ended && record.is_work() && !echo
            }
        };
        if begins {
            self.run = Some(AgentRun { session: fresh.session.clone(), started: starts, ended: false, lost: false });
            step.began = Some(fresh.session.clone());
        }
        if let Some(run) = self.run.as_mut().filter(|run| record.hook == HookName::SessionEnd && !run.ended) {
            run.ended = true;
            step.ended = Some(run.session.clone());
        }
    }

    /// Base and blocks. Returns whether the record says where the task stands even if nothing changed by it.
    fn take_status(&mut self, record: &HookRecord, known: Option<EventState>, step: &mut HookOutcome) -> bool {
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
                self.end_turn(None, step);
                true
            }
            StatusEffect::ToolCallStarts if known.is_some() => false,
            StatusEffect::ToolCallStarts => {
                if thread.is_none() {
                    self.base = BaseStatus::Running;
                }
                // Whoever goes on was answered, or told what to do instead.
                self.lift(|block| block.thread.as_deref() == thread && !matches!(block.on, BlockCause::Elicitation(_)));
                if matches!(record.text("tool_name"), Some("AskUserQuestion" | "ExitPlanMode")) {
                    self.block(thread, BlockCause::Answer(record.key().unwrap_or_default()));
                }
                thread.is_none()
            }
            StatusEffect::ToolCallEnds => {
                let (call, key) = (record.call(), record.key().unwrap_or_default());
                // The person may have changed what is called, and answers become part of it.
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
                self.block(thread, BlockCause::Approval(record.call()));
                false
            }
            StatusEffect::QuestionAsked => {
                self.block(thread, BlockCause::Elicitation(record.key().unwrap_or_default()));
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
                self.take_notification(record);
                false
            }
            StatusEffect::TurnEnds => {
                self.base = if works_in_background(record) { BaseStatus::Running } else { BaseStatus::Finished };
                self.end_turn(None, step);
                true
            }
            StatusEffect::TurnFails => {
                self.base = BaseStatus::Errored;
                self.error = record.id("error").map(str::to_owned);
                self.end_turn(None, step);
                true
            }
            StatusEffect::SubagentEnds => {
                if thread.is_some() {
                    self.end_turn(thread, step);
                }
                false
            }
            StatusEffect::SessionEnds => {
                if self.base != BaseStatus::Errored {
                    self.base = BaseStatus::Completed;
                }
                self.blocks.clear();
                step.abandoned.extend(self.open.drain(..).map(|open| open.event));
                true
            }
            // A failed tool is no failed task, and work that ends in the background is no answer of the person's.
            StatusEffect::Unchanged => false,
        }
    }

    fn take_notification(&mut self, record: &HookRecord) {
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
            self.block(None, BlockCause::Notice { permission, open });
        }
    }

    /// Opens and closes the record's own row.
    fn take_row(&mut self, record: &HookRecord, known: Option<EventState>, fresh: &FreshIds, step: &mut HookOutcome) {
        let Some(key) = record.key() else { return };
        match record.row().1 {
            // A todo outlives turns and runs, so nothing ever has to close it.
            RowEffect::Begin(part) if known.is_none() && part != PairedRow::Todo => {
                if self.open.len() >= MAX_OPEN_ROWS {
                    step.abandoned.push(self.open.remove(0).event);
                }
                let thread = record.thread().map(str::to_owned);
                let call = if part == PairedRow::Tool { record.call() } else { 0 };
                self.open.push(OpenRow { key, event: fresh.event.clone(), part, thread, call });
            }
            RowEffect::End(..) => self.open.retain(|open| open.key != key),
            RowEffect::Begin(_) | RowEffect::None | RowEffect::Log => {}
        }
    }

    /// Ends a turn of a thread: nobody will answer what it asked, and none of its calls will end.
    fn end_turn(&mut self, thread: Option<&str>, step: &mut HookOutcome) {
        self.lift(|block| block.thread.as_deref() == thread);
        let ends = |open: &mut OpenRow| {
            open.thread.as_deref() == thread && matches!(open.part, PairedRow::Tool | PairedRow::Question)
        };
        step.abandoned.extend(self.open.extract_if(.., ends).map(|open| open.event));
    }

    fn block(&mut self, thread: Option<&str>, on: BlockCause) {
        let block = Block { thread: thread.map(str::to_owned), on };
        if self.blocks.contains(&block) {
            return;
        }
        if self.blocks.len() >= MAX_BLOCKS_PER_TASK {
            self.blocks.remove(0);
        }
        self.blocks.push(block);
    }

    fn lift(&mut self, lifted: impl Fn(&Block) -> bool) {
        self.blocks.retain(|block| !lifted(block));
    }
}

impl BlockCause {
    fn reason(&self) -> &'static str {
        match self {
            BlockCause::Approval(_) | BlockCause::Notice { permission: true, .. } => "permission",
            BlockCause::Answer(_) | BlockCause::Elicitation(_) | BlockCause::Notice { permission: false, .. } => {
                "question"
            }
        }
    }
}

/// Whether agents work on while the main thread has stopped. A shell or a monitor alone does not count: a development
/// server never ends.
fn works_in_background(record: &HookRecord) -> bool {
    let tasks = record.value("background_tasks").and_then(|tasks| tasks.as_array()).into_iter().flatten();
    tasks.filter_map(|task| task.get("type")?.as_str()).any(|kind| {
        let kind = kind.to_ascii_lowercase().replace(['_', '-'], " ");
        matches!(kind.as_str(), "subagent" | "workflow" | "teammate" | "cloud session" | "mcp task")
    })
}

#[cfg(test)]
mod tests;
