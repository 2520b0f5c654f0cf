//! Imports the transcripts that Claude Code keeps of its sessions: history that no hook reported.
//!
//! A transcript is a file of JSON lines that grows with its session. A stretch is the lines of one request. It is
//! parsed without I/O (`line` parses one line, `session` collects the lines of one session) and then written in one
//! transaction. A line that cannot be parsed is skipped and counted. It does not affect the other lines, and the whole
//! records in a damaged line are taken (`records`).
//!
//! A session has one task, no matter whether hooks or transcripts report it. Each event has an external id within its
//! task, so an import that is repeated, or that reads a transcript after it grew, adds only new events:
//!
//! - A tool call has the external id that hooks give it. A call without a result is `abandoned` until a later line has
//!   the result.
//! - A text of the agent is identified by its answer and its content, any other text by its line. If hooks report a
//!   task, only usage is taken, because hooks report the rest, each event in its place. A late hook that ran in the
//!   period that a transcript covers changes the status, but adds no row without an external id of its own.
//! - An answer counts once. Several lines can report one answer while it arrives, so the largest figures count. If a
//!   session copied an answer from the session that it continues, the answer counts where it was imported first.
//!
//! Of the lines of subagents only tool calls and usage are taken, as hooks report them: their prompts are no words of a
//! person, and their answers go to the agent. `summary` lines are ignored, because most files hold summaries of other
//! sessions. An import makes no runs, because a transcript does not show where a run ended.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, DbErr};

use crate::agent::runtime::AgentRuntime;
use crate::protocol::limits;
use crate::protocol::model::{Imported, SkippedLine};
use crate::server::access::scope::Scope;
use crate::server::agents::hooks;
use crate::server::database::sql;
use crate::server::ingest::WriteError;

mod records;
use records::LinePiece;
pub use records::finished_part;

mod line;
use line::TranscriptLine;

mod session;
use session::TranscriptSession;

mod history;

mod usage;

mod store;

/// The agent that writes the transcripts.
const RUNTIME: AgentRuntime = AgentRuntime::ClaudeCode;

/// The parsed lines of one request.
#[derive(Clone, Default)]
pub struct TranscriptStretch {
    /// The sessions, in the order of their first lines.
    sessions: Vec<TranscriptSession>,
    imported: Imported,
}

impl TranscriptStretch {
    /// Parses lines. This happens outside any transaction, so that no writer waits for it.
    ///
    /// # Errors
    /// There are too many lines or too many events in them.
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
                Err(reason) => match records::pieces(line) {
                    Some(pieces) => {
                        for piece in pieces {
                            match piece {
                                LinePiece::Record(record) => {
                                    stretch.take(&mut numbers, number, TranscriptLine::parse(record, now_ms));
                                }
                                LinePiece::Torn(at) => {
                                    stretch.skip(number, format!("the record at byte {at} is torn"));
                                }
                            }
                        }
                    }
                    None => stretch.skip(number, reason),
                },
                parsed => stretch.take(&mut numbers, number, parsed),
            }
        }
        if stretch.sessions.iter().map(|session| session.events.len()).sum::<usize>() > limits::TRANSCRIPT_EVENTS {
            return Err(WriteError::invalid("body", format!("holds more than {} events", limits::TRANSCRIPT_EVENTS)));
        }
        Ok(stretch)
    }

    /// The ids of the sessions that have content for a task.
    pub fn session_ids(&self) -> impl Iterator<Item = &str> {
        self.sessions.iter().filter(|session| session.has_content()).map(|session| session.id.as_str())
    }

    /// The result of parsing, with the number of events that an empty database would take in.
    pub fn imported(&self) -> Imported {
        let events = self.sessions.iter().map(|session| session.events.len() as u64).sum();
        Imported { events, ..self.imported.clone() }
    }

    fn take(&mut self, numbers: &mut HashMap<String, usize>, number: u64, parsed: Result<TranscriptLine, String>) {
        match parsed {
            Ok(TranscriptLine::PassedOver) => self.imported.passed_over += 1,
            Ok(TranscriptLine::Title(session_id, titled, title)) => {
                self.session(numbers, session_id).name(titled, title);
            }
            Ok(TranscriptLine::Entry(entry)) => {
                self.session(numbers, entry.session_id.clone()).take(*entry, number);
            }
            Err(reason) => self.skip(number, reason),
        }
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

/// Writes a stretch, inside a write transaction, for a caller that may write `scope`.
///
/// # Errors
/// The database failed. The caller must roll the transaction back.
pub async fn take_stretch(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    mut stretch: TranscriptStretch,
    now_ms: i64,
) -> Result<Imported, DbErr> {
    // An answer counts once in all sessions. So one import is written at a time, while the hooks of other sessions go on.
    sql::locks::take(tx, "a transcript").await?;
    let ids: BTreeSet<String> = stretch.sessions.iter().map(|session| session.id.clone()).collect();
    for id in ids {
        hooks::store::lock(tx, &RUNTIME.into(), &id).await?;
    }
    let mut lines_without_call = Vec::new();
    for session in std::mem::take(&mut stretch.sessions) {
        lines_without_call.extend(store::save(tx, scope, session, &mut stretch.imported, now_ms).await?);
    }
    for line in lines_without_call {
        stretch.skip(line, "the line holds the result of a call that is not known".to_owned());
    }
    Ok(stretch.imported)
}
