//! Takes the transcripts that Claude Code keeps of its sessions: history from before anybody listened.
//!
//! A transcript is a file of JSON lines that grows while the session goes on. A stretch of such lines is read without
//! I/O (`line` says what one line tells, `session` gathers what the lines of a session tell together) and then written
//! as a whole. Each line is taken for what it is worth: one that cannot be read is counted and costs nothing else.
//!
//! The same session reported by hooks is the same task. Everything has a name of its own within it, so a stretch that is
//! read twice, or again after it has grown, adds what is new:
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

use super::hooks::Source;
use crate::protocol::limits;
use crate::protocol::model::{Imported, SkippedLine};
use crate::server::ingest::WriteError;

mod line;
use line::Line;

mod session;
use session::Session;

mod history;

mod usage;

mod store;

/// Whose transcripts they are.
const SOURCE: Source = Source::ClaudeCode;

/// What the lines of one request tell.
#[derive(Default)]
pub struct Stretch {
    /// In the order of their first lines.
    sessions: Vec<Session>,
    told: Imported,
}

impl Stretch {
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
            stretch.told.lines += 1;
            if stretch.told.lines > limits::TRANSCRIPT_LINES {
                return Err(WriteError::invalid("body", format!("has more than {} lines", limits::TRANSCRIPT_LINES)));
            }
            match Line::parse(line, now_ms) {
                Ok(Line::Nothing) => stretch.told.passed_over += 1,
                Ok(Line::Title(session_id, titled, title)) => {
                    stretch.session(&mut numbers, session_id).name(titled, title);
                }
                Ok(Line::Told(told)) => stretch.session(&mut numbers, told.session_id.clone()).take(*told, number),
                Err(reason) => stretch.skip(number, reason),
            }
        }
        if stretch.sessions.iter().map(|session| session.entries.len()).sum::<usize>() > limits::TRANSCRIPT_EVENTS {
            return Err(WriteError::invalid(
                "body",
                format!("tells of more than {} events", limits::TRANSCRIPT_EVENTS),
            ));
        }
        Ok(stretch)
    }

    /// The sessions that would be tasks.
    pub fn session_ids(&self) -> impl Iterator<Item = &str> {
        self.sessions.iter().filter(|session| session.says_something()).map(|session| session.id.as_str())
    }

    /// What became of the lines so far, with the events that would be new where nothing is known.
    pub fn told(&self) -> Imported {
        let events = self.sessions.iter().map(|session| session.entries.len() as u64).sum();
        Imported { events, ..self.told.clone() }
    }

    fn session(&mut self, numbers: &mut HashMap<String, usize>, id: String) -> &mut Session {
        let at = *numbers.entry(id).or_insert_with_key(|id| {
            self.sessions.push(Session::new(id.clone()));
            self.sessions.len() - 1
        });
        &mut self.sessions[at]
    }

    fn skip(&mut self, line: u64, reason: String) {
        self.told.skipped += 1;
        if self.told.reasons.len() < limits::SKIPPED_LINES {
            self.told.reasons.push(SkippedLine { line, reason });
        }
    }
}

/// Writes what a stretch tells, inside a write transaction.
///
/// # Errors
/// The database failed, and the transaction is to be rolled back.
pub async fn take(tx: &impl ConnectionTrait, mut stretch: Stretch, now_ms: i64) -> Result<Imported, DbErr> {
    let mut lost = Vec::new();
    for session in std::mem::take(&mut stretch.sessions) {
        lost.extend(store::save(tx, session, &mut stretch.told, now_ms).await?);
    }
    for line in lost {
        stretch.skip(line, "the call that this is a result of was not read".to_owned());
    }
    Ok(stretch.told)
}
