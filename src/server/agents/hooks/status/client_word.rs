//! The client's own word beside the hooks.
//!
//! No hook tells that a person approved a call, refused it or pressed Esc. The client itself says so in a file, a
//! moment after it happened. So a word that is newer than the last hook decides. A hook that is newer than the word
//! decides as well, but a client writes its file up to some seconds after it ran the hook. So while the client still
//! says another status, the status of the hook is held back. After [`HELD_FOR`] the hook counts without the word, and
//! the word counts as contradicted until the client says another one.

use super::memory::{AgentMemory, BaseStatus, Block, BlockCause, HeardWord};
use super::{HookOutcome, MAX_COMMAND_CHARACTERS};
use crate::agent::hook_catalogue::{HookName, PairedRow, StatusEffect};
use crate::agent::session_file::{ClientStatus, ClientWord};
use crate::protocol::model::{EventState, TaskStatus};
use crate::server::agents::hooks::record::HookRecord;

/// How long the status of a hook is held back at most, in milliseconds. On a busy machine a client wrote its file four
/// seconds after the hook of an answered question.
const HELD_FOR: u64 = 5_000;
/// How much earlier than its request a command can seem to begin: the system counts its boot in whole seconds.
const CLOCK_SLACK: i64 = 1_000;

impl AgentMemory {
    /// Weighs a hook that was taken against the word of the client. `outcome` is the outcome of the hook.
    pub(super) fn weigh(&mut self, record: &HookRecord, at_ms: i64, outcome: &mut HookOutcome) {
        for block in self.blocks.iter_mut().filter(|block| block.since == 0) {
            block.since = at_ms;
            block.command = command(record).filter(|_| matches!(block.on, BlockCause::Approval(_)));
        }
        match record.hook.entry().status {
            StatusEffect::TurnEnds => self.turn_ended = true,
            StatusEffect::TurnStarts => self.turn_ended = false,
            _ => {}
        }
        if outcome.decides_status {
            self.told_at = self.told_at.max(at_ms);
            self.woken_from = None;
        }
        if record.starts_run() || record.hook == HookName::SessionEnd {
            // The next process of the session says its own words.
            (self.word, self.held_since) = (None, None);
            return;
        }
        let Some(HeardWord { said, is_contradicted }) = self.word else { return };
        if said.at >= self.told_at {
            self.follow(said, outcome);
            self.held_since = None;
        } else if !outcome.decides_status && self.held_since.is_none() {
            // The hook does not concern the status.
        } else if is_contradicted || agrees(said.says, self.status().0, !self.blocks.is_empty()) {
            self.held_since = None;
            outcome.decides_status = true;
        } else {
            let since = *self.held_since.get_or_insert(at_ms);
            outcome.decides_status = at_ms.abs_diff(since) >= HELD_FOR;
            if outcome.decides_status {
                (self.word, self.held_since) = (Some(HeardWord { said, is_contradicted: true }), None);
            }
        }
    }

    /// Takes the word of the client, as it stands at `now_ms`. None: the client says no word. The word of a session
    /// that goes on must be taken again and again, because a status that is held back needs its end.
    ///
    /// Returns the outcome, and the time since when the status holds if the outcome decides it.
    pub fn hear(&mut self, said: Option<ClientWord>, now_ms: i64) -> (HookOutcome, i64) {
        let mut outcome = HookOutcome::default();
        let Some(said) = said else {
            self.word = None;
            let held = self.held_since.take();
            outcome.decides_status = held.is_some();
            return (outcome, held.unwrap_or(now_ms).min(now_ms));
        };
        let (status, is_blocked) = (self.status().0, !self.blocks.is_empty());
        let word = match &mut self.word {
            Some(word) if word.said == said => word,
            word => word.insert(HeardWord { said, is_contradicted: false }),
        };
        if said.at >= self.told_at {
            let was_held = self.held_since.take().is_some();
            self.follow(said, &mut outcome);
            outcome.decides_status |= was_held;
            return (outcome, said.at.min(now_ms));
        }
        let Some(since) = self.held_since else { return (outcome, now_ms) };
        // The client can write its file in the moment before it runs the hook, and the word then says the same.
        let says_the_same = agrees(said.says, status, is_blocked);
        if says_the_same || now_ms.abs_diff(since) >= HELD_FOR {
            (word.is_contradicted, self.held_since) = (!says_the_same, None);
            outcome.decides_status = true;
            return (outcome, since.min(now_ms));
        }
        (outcome, now_ms)
    }

    /// Changes the base and the blocks so that they agree with a word that is newer than every hook.
    fn follow(&mut self, said: ClientWord, outcome: &mut HookOutcome) {
        if self.base == BaseStatus::Completed {
            return;
        }
        let before = (self.base, self.blocks.clone());
        match said.says {
            ClientStatus::Busy => {
                self.blocks.clear();
                if self.waits() {
                    // Work without a prompt: a command of the client, or a turn that no hook reports.
                    self.woken_from = Some(self.base);
                    self.base = BaseStatus::Running;
                }
            }
            ClientStatus::Idle => {
                self.blocks.clear();
                if self.base == BaseStatus::Compacting {
                    self.end_compaction();
                } else if !self.waits() {
                    self.base = match self.woken_from.take() {
                        Some(base) => base,
                        None if self.turn_ended => BaseStatus::Finished,
                        None => {
                            self.end_turn(None, EventState::Abandoned, outcome);
                            BaseStatus::Interrupted
                        }
                    };
                }
            }
            ClientStatus::Permission => self.block_on_word(true, said.at),
            ClientStatus::Question => self.block_on_word(false, said.at),
            // A dialog that the person opened asks for no answer. A dialog within a turn does.
            ClientStatus::Dialog if !self.waits() => self.block_on_word(false, said.at),
            ClientStatus::Dialog => {}
        }
        outcome.decides_status |= before != (self.base, self.blocks.clone());
    }

    fn waits(&self) -> bool {
        !matches!(self.base, BaseStatus::Running | BaseStatus::Compacting)
    }

    /// Blocks the task on a request that no hook reports.
    fn block_on_word(&mut self, permission: bool, since: i64) {
        if self.blocks.is_empty() {
            let open =
                self.open.iter().filter(|open| open.part == PairedRow::Tool).map(|open| open.key.clone()).collect();
            let on = BlockCause::Notice { permission, open };
            self.blocks.push(Block { thread: None, on, detail: None, since, command: None });
        }
    }

    /// Takes the commands that run below the process of the agent, with the times of their starts. A request for a
    /// command that runs was answered.
    pub fn see_commands(&mut self, running: &[(i64, String)]) -> HookOutcome {
        let runs = |block: &Block| {
            let Some(asked) = block.command.as_deref().map(words).filter(|asked| !asked.is_empty()) else {
                return false;
            };
            let is_later = |began: i64| began.saturating_add(CLOCK_SLACK) >= block.since;
            running.iter().any(|(began, line)| is_later(*began) && runs_command(&words(line), &asked))
        };
        let before = self.blocks.len();
        self.lift(runs);
        HookOutcome { decides_status: self.blocks.len() != before, ..HookOutcome::default() }
    }

    /// Whether a command for which the agent asked could be seen among the processes.
    pub fn waits_for_command(&self) -> bool {
        !self.is_certain() && self.blocks.iter().any(|block| block.command.is_some())
    }

    /// Whether the status is certain. A permission that was asked for is not, unless the client itself says that it
    /// waits: an approval runs no hook.
    pub fn is_certain(&self) -> bool {
        let is_asked = self.status() == (TaskStatus::Waiting, Some("permission"));
        let says_so = self.word.is_some_and(|word| !word.is_contradicted && word.said.says == ClientStatus::Permission);
        !is_asked || says_so
    }

    /// Whether the memory holds a word of the client.
    pub fn has_word(&self) -> bool {
        self.word.is_some()
    }
}

/// Whether the hooks lead to the status that the client says.
fn agrees(says: ClientStatus, status: TaskStatus, is_blocked: bool) -> bool {
    match says {
        ClientStatus::Busy => status == TaskStatus::Running,
        ClientStatus::Idle => status != TaskStatus::Running && !is_blocked,
        ClientStatus::Permission | ClientStatus::Question => is_blocked,
        ClientStatus::Dialog => true,
    }
}

/// The command that a call runs.
fn command(record: &HookRecord) -> Option<String> {
    let command = record.value("tool_input")?.get("command")?.as_str()?;
    Some(command.chars().take(MAX_COMMAND_CHARACTERS).collect())
}

/// Whether a command line has the words of a command, in their order and without another word between. A hook of this
/// program runs below the agent too, and is no command of the agent.
fn runs_command(line: &[&str], asked: &[&str]) -> bool {
    let is_hook = line.contains(&"requery") && line.contains(&"hook");
    !is_hook && line.windows(asked.len()).any(|words| words == asked)
}

/// The words of a text: its letters and digits. The shell of an agent gets the command between quotes, with its own
/// quotes escaped.
fn words(text: &str) -> Vec<&str> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests;
