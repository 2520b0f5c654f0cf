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

use super::catalogue::{Effect, Hook, Part};
use super::record::Record;
use crate::protocol::limits;
use crate::protocol::model::{EventState, TaskStatus};

/// How many requests may wait for a person at once. The oldest is forgotten for the next.
const MAX_BLOCKS: usize = 32;

/// Why a task errored whose agent was not heard of any more.
pub const LOST: &str = "lost";

/// What is remembered about an agent between two of its records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    base: Base,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<Block>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<Open>,
    #[serde(default)]
    run: Option<Run>,
    /// What the turn failed of, in the runtime's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Given up because it was not heard of any more; the base is what it was before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
    /// What the task's title was taken from.
    #[serde(default)]
    pub titled: Titled,
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
enum Base {
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
    on: On,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum On {
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
struct Open {
    key: String,
    event: String,
    part: Part,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thread: Option<String>,
    /// Of a tool call: what a request to allow it has in common with it.
    #[serde(default)]
    call: u64,
}

/// A run of the client, the newest; ended or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
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
pub enum Titled {
    /// The folder.
    #[default]
    Folder,
    /// What the person said first.
    Prompt,
    /// The name of the session.
    Session,
}

/// Ids for what a record may begin. Made outside, so that the same record has the same outcome.
pub struct Fresh {
    /// Of a session.
    pub session: String,
    /// Of an event.
    pub event: String,
}

/// What follows from a record, besides its own row.
#[derive(Debug, Default, PartialEq)]
pub struct Step {
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

impl Agent {
    /// What is known of an agent before its first record has had its effect.
    pub fn new(first: &Record) -> Self {
        let base = if first.is_work() { Base::Running } else { Base::Ready };
        Self::at(base, Titled::default())
    }

    /// What can be known of an agent whose memory is lost: where its task stands.
    pub fn recalled(status: TaskStatus) -> Self {
        let base = match status {
            TaskStatus::Running => Base::Running,
            TaskStatus::Waiting => Base::Idle,
            TaskStatus::Completed => Base::Completed,
            TaskStatus::Errored => Base::Errored,
        };
        Self::at(base, Titled::Session)
    }

    /// What is known of an agent that worked before anybody listened.
    pub fn ended(titled: Titled, named: Option<String>) -> Self {
        Self { named, ..Self::at(Base::Completed, titled) }
    }

    fn at(base: Base, titled: Titled) -> Self {
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
            _ if self.lost => (TaskStatus::Errored, Some(LOST)),
            (Base::Completed, _) => (TaskStatus::Completed, None),
            (Base::Errored, _) => (TaskStatus::Errored, self.error.as_deref()),
            (_, Some(block)) => (TaskStatus::Waiting, Some(block.on.reason())),
            (Base::Running, None) => (TaskStatus::Running, None),
            (Base::Ready, None) => (TaskStatus::Waiting, Some("ready")),
            (Base::Idle, None) => (TaskStatus::Waiting, Some("idle")),
            (Base::Finished, None) => (TaskStatus::Waiting, Some("finished")),
        }
    }

    /// Until when an import has told of it.
    pub fn imported_until(&self) -> Option<i64> {
        self.imported.as_ref()?.get("until_ms")?.as_i64()
    }

    /// Notes what its task is called, and after what.
    pub fn entitle(&mut self, titled: Titled, title: &str) {
        self.titled = titled;
        if titled == Titled::Session {
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
    pub fn take(&mut self, record: &Record, known: Option<EventState>, is_news: bool, fresh: &Fresh) -> Step {
        let before = (self.base, self.blocks.clone());
        let mut step = Step::default();
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
    pub fn lose(&mut self) -> Step {
        self.lost = true;
        self.blocks.clear();
        let run = self.run.as_mut().filter(|run| !run.ended);
        Step {
            decides: true,
            lost: run.map(|run| {
                (run.ended, run.lost) = (true, true);
                run.session.clone()
            }),
            abandoned: self.open.drain(..).map(|open| open.event).collect(),
            ..Step::default()
        }
    }

    /// Goes on with the run that was given up, unless a record begins another.
    fn revive(&mut self, record: &Record) -> Option<String> {
        let run = self.run.as_mut().filter(|run| run.lost)?;
        run.lost = false;
        run.ended = record.begins();
        (!run.ended).then(|| run.session.clone())
    }

    fn take_run(&mut self, record: &Record, known: Option<EventState>, fresh: &Fresh, step: &mut Step) {
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
                let echo = known.is_some() || matches!(record.row().1, Effect::End(..) | Effect::None);
                run.ended && record.is_work() && !echo
            }
        };
        if begins {
            self.run = Some(Run { session: fresh.session.clone(), started: starts, ended: false, lost: false });
            step.began = Some(fresh.session.clone());
        }
        if let Some(run) = self.run.as_mut().filter(|run| record.hook == Hook::SessionEnd && !run.ended) {
            run.ended = true;
            step.ended = Some(run.session.clone());
        }
    }

    /// Base and blocks. Returns whether the record says where the task stands even if nothing changed by it.
    fn take_status(&mut self, record: &Record, known: Option<EventState>, step: &mut Step) -> bool {
        let thread = record.thread();
        match record.hook {
            Hook::SessionStart if record.is_compacted() => false,
            Hook::SessionStart => {
                self.base = Base::Ready;
                self.blocks.clear();
                true
            }
            Hook::UserPromptSubmit | Hook::UserPromptExpansion => {
                self.base = Base::Running;
                self.end_turn(None, step);
                true
            }
            Hook::PreToolUse if known.is_some() => false,
            Hook::PreToolUse => {
                if thread.is_none() {
                    self.base = Base::Running;
                }
                // Whoever goes on was answered, or told what to do instead.
                self.lift(|block| block.thread.as_deref() == thread && !matches!(block.on, On::Elicitation(_)));
                if matches!(record.text("tool_name"), Some("AskUserQuestion" | "ExitPlanMode")) {
                    self.block(thread, On::Answer(record.key().unwrap_or_default()));
                }
                thread.is_none()
            }
            Hook::PostToolUse | Hook::PostToolUseFailure | Hook::PermissionDenied => {
                let (call, key) = (record.call(), record.key().unwrap_or_default());
                // The person may have changed what is called, and answers become part of it.
                let begun = self.open.iter().find(|open| open.key == key).map(|open| open.call);
                self.lift(|block| match &block.on {
                    On::Approval(approval) => {
                        block.thread.as_deref() == thread && (*approval == call || Some(*approval) == begun)
                    }
                    On::Answer(answer) => *answer == key,
                    On::Notice { open, .. } => open.is_empty() || open.contains(&key),
                    On::Elicitation(_) => false,
                });
                false
            }
            Hook::PermissionRequest => {
                self.block(thread, On::Approval(record.call()));
                false
            }
            Hook::Elicitation => {
                self.block(thread, On::Elicitation(record.key().unwrap_or_default()));
                false
            }
            Hook::ElicitationResult => {
                let key = record.key().unwrap_or_default();
                self.lift(|block| match &block.on {
                    On::Elicitation(elicitation) => *elicitation == key,
                    On::Notice { permission, .. } => !permission,
                    On::Approval(_) | On::Answer(_) => false,
                });
                false
            }
            Hook::Notification => {
                self.take_notification(record);
                false
            }
            Hook::Stop => {
                self.base = if works_in_background(record) { Base::Running } else { Base::Finished };
                self.end_turn(None, step);
                true
            }
            Hook::StopFailure => {
                self.base = Base::Errored;
                self.error = record.id("error").map(str::to_owned);
                self.end_turn(None, step);
                true
            }
            Hook::SubagentStop => {
                if thread.is_some() {
                    self.end_turn(thread, step);
                }
                false
            }
            Hook::SessionEnd => {
                if self.base != Base::Errored {
                    self.base = Base::Completed;
                }
                self.blocks.clear();
                step.abandoned.extend(self.open.drain(..).map(|open| open.event));
                true
            }
            // A failed tool is no failed task, and work that ends in the background is no answer of the person's.
            Hook::SubagentStart
            | Hook::TaskCreated
            | Hook::TaskCompleted
            | Hook::PreCompact
            | Hook::PostCompact
            | Hook::Setup
            | Hook::InstructionsLoaded
            | Hook::ConfigChange
            | Hook::CwdChanged
            | Hook::DirectoryAdded
            | Hook::FileChanged
            | Hook::WorktreeRemove
            | Hook::TeammateIdle
            | Hook::PostToolBatch
            | Hook::MessageDisplay
            | Hook::Unknown => false,
        }
    }

    fn take_notification(&mut self, record: &Record) {
        let permission = match record.text("notification_type") {
            Some("idle_prompt") => {
                if self.base == Base::Running {
                    self.base = Base::Idle;
                }
                return;
            }
            Some("permission_prompt") => true,
            Some("elicitation_dialog" | "elicitation_url_dialog" | "agent_needs_input") => false,
            Some(_) | None => return,
        };
        if self.blocks.is_empty() {
            let open = self.open.iter().filter(|open| open.part == Part::Tool).map(|open| open.key.clone()).collect();
            self.block(None, On::Notice { permission, open });
        }
    }

    /// Opens and closes the record's own row.
    fn take_row(&mut self, record: &Record, known: Option<EventState>, fresh: &Fresh, step: &mut Step) {
        let Some(key) = record.key() else { return };
        match record.row().1 {
            // A todo outlives turns and runs, so nothing ever has to close it.
            Effect::Begin(part) if known.is_none() && part != Part::Todo => {
                if self.open.len() >= limits::OPEN_ROWS {
                    step.abandoned.push(self.open.remove(0).event);
                }
                let thread = record.thread().map(str::to_owned);
                let call = if part == Part::Tool { record.call() } else { 0 };
                self.open.push(Open { key, event: fresh.event.clone(), part, thread, call });
            }
            Effect::End(..) => self.open.retain(|open| open.key != key),
            Effect::Begin(_) | Effect::None | Effect::Log => {}
        }
    }

    /// Ends a turn of a thread: nobody will answer what it asked, and none of its calls will end.
    fn end_turn(&mut self, thread: Option<&str>, step: &mut Step) {
        self.lift(|block| block.thread.as_deref() == thread);
        let ends =
            |open: &mut Open| open.thread.as_deref() == thread && matches!(open.part, Part::Tool | Part::Question);
        step.abandoned.extend(self.open.extract_if(.., ends).map(|open| open.event));
    }

    fn block(&mut self, thread: Option<&str>, on: On) {
        let block = Block { thread: thread.map(str::to_owned), on };
        if self.blocks.contains(&block) {
            return;
        }
        if self.blocks.len() >= MAX_BLOCKS {
            self.blocks.remove(0);
        }
        self.blocks.push(block);
    }

    fn lift(&mut self, lifted: impl Fn(&Block) -> bool) {
        self.blocks.retain(|block| !lifted(block));
    }
}

impl On {
    fn reason(&self) -> &'static str {
        match self {
            On::Approval(_) | On::Notice { permission: true, .. } => "permission",
            On::Answer(_) | On::Elicitation(_) | On::Notice { permission: false, .. } => "question",
        }
    }
}

/// Whether agents work on while the main thread has stopped. A shell or a monitor alone does not count: a development
/// server never ends.
fn works_in_background(record: &Record) -> bool {
    let tasks = record.value("background_tasks").and_then(|tasks| tasks.as_array()).into_iter().flatten();
    tasks.filter_map(|task| task.get("type")?.as_str()).any(|kind| {
        let kind = kind.to_ascii_lowercase().replace(['_', '-'], " ");
        matches!(kind.as_str(), "subagent" | "workflow" | "teammate" | "cloud session" | "mcp task")
    })
}

#[cfg(test)]
mod tests;
