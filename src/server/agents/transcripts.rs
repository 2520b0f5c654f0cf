//! Takes the transcripts that Claude Code keeps of its sessions: history from before anybody listened.
//!
//! A transcript is a file of JSON lines that grows while the session goes on. A stretch of such lines is read without
//! I/O (`line` says what one line tells, `session` gathers what the lines of a session tell together) and then written
//! as a whole. Each line is taken for what it is worth: one that cannot be read is counted and costs nothing else.
//!
//! The same session reported by hooks is the same task. Everything has a name of its own within it, so a stretch that
//! is read twice, or again after it has grown, adds what is new:
//!
//! - A tool call goes by the id that hooks give it. Without a result it is `abandoned`, until a later line has one.
//! - What was said goes by the answer and the text, or by the line. A task that hooks report has all that from them,
//!   at its place; only its usage is taken. A hook that comes late, of a time that a transcript has told,
//!   says where the task stands, but adds no row without a name of its own.
//! - An answer counts once, with the most that any of its lines says, since it is written down while it arrives.
//!   One that a session copied from another, to go on from there, counts where it was seen first.
//!
//! What subagents do is told by the calls that began them; of their own lines only usage is taken. A `summary` is not,
//! since most files hold those of other sessions. There are no runs: a transcript does not tell where one ended.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr};

use crate::agent::runtime::AgentRuntime;
use crate::protocol::limits;
use crate::protocol::model::{Imported, SkippedLine};
use crate::server::ingest::WriteError;

mod line;
use line::TranscriptLine;

mod session;
use session::TranscriptSession;

mod history;

mod usage;

mod store;

/// Whose transcripts they are.
const RUNTIME: AgentRuntime = AgentRuntime::ClaudeCode;

/// What the lines of one request tell.
#[derive(Default)]
pub struct TranscriptStretch {
    /// In the order of their first lines.
    sessions: Vec<TranscriptSession>,
    imported: Imported,
}

impl TranscriptStretch {
    /// Reads lines. Nobody waits for it: it needs no transaction.
    ///
    /// # Errors
    /// There are too many of them.
    pub fn read(lines: &[u8], now_ms: i64) -> Result<Self, WriteError> {
        let mut stretch = Self::default();
        let mut numbers = HashMap::new();
        for (number, line) in (1..).zip(lines.split(|byte| *byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            stretch.imported.lines += 1;
            if stretch.imported.lines > limits::TRANSCRIPT_LINES {
                return Err(WriteError::invalid("body", format!("has more than {} lines", limits::TRANSCRIPT_LINES)));
            }
            match TranscriptLine::parse(line, now_ms) {
                Ok(TranscriptLine::Nothing) => stretch.imported.passed_over += 1,
                Ok(TranscriptLine::Title(session_id, titled, title)) => {
                    stretch.session(&mut numbers, session_id).name(titled, title);
                }
                Ok(TranscriptLine::Entry(entry)) => {
                    stretch.session(&mut numbers, entry.session_id.clone()).take(*entry, number);
                }
                Err(reason) => stretch.skip(number, reason),
            }
        }
        if stretch.sessions.iter().map(|session| session.events.len()).sum::<usize>() > limits::TRANSCRIPT_EVENTS {
            return Err(WriteError::invalid(
                "body",
                format!("tells of more than {} events", limits::TRANSCRIPT_EVENTS),
            ));
        }
        Ok(stretch)
    }

    /// The sessions that would be tasks.
    pub fn session_ids(&self) -> impl Iterator<Item = &str> {
        self.sessions.iter().filter(|session| session.has_content()).map(|session| session.id.as_str())
    }

    /// What became of the lines so far, with the events that would be new where nothing is known.
    pub fn imported(&self) -> Imported {
        let events = self.sessions.iter().map(|session| session.events.len() as u64).sum();
        Imported { events, ..self.imported.clone() }
    }

    fn session(&mut self, numbers: &mut HashMap<String, usize>, id: String) -> &mut TranscriptSession {
        let at = *numbers.entry(id).or_insert_with_key(|id| {
            self.sessions.push(TranscriptSession::new(id.clone()));
            self.sessions.len() - 1
        });
        &mut self.sessions[at]
    }

    fn skip(&mut self, line: u64, reason: String) {
        self.imported.skipped += 1;
        if self.imported.reasons.len() < limits::SKIPPED_LINES {
            self.imported.reasons.push(SkippedLine { line, reason });
        }
    }
}

/// Writes what a stretch tells, inside a write transaction.
///
/// # Errors
/// The database failed, and the transaction is to be rolled back.
pub async fn take_stretch(
    tx: &impl ConnectionTrait,
    mut stretch: TranscriptStretch,
    now_ms: i64,
) -> Result<Imported, DbErr> {
    let mut lost = Vec::new();
    for session in std::mem::take(&mut stretch.sessions) {
        lost.extend(store::save(tx, session, &mut stretch.imported, now_ms).await?);
    }
    for line in lost {
        stretch.skip(line, "the call that this is a result of was not read".to_owned());
    }
    Ok(stretch.imported)
}
