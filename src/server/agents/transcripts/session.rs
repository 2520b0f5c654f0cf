//! Collects the lines of one session into the rows to write.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::RUNTIME;
use super::line::{AnswerUsage, CallEnd, EntryPart, TitleGiver, TranscriptEntry};
use crate::agent::hook_catalogue::HookName;
use crate::protocol::limits;
use crate::protocol::model::EventState;
use crate::server::agents::hooks::record::HookRecord;
use crate::server::agents::hooks::refusal;
use crate::server::agents::hooks::timeline_row::TimelineRow;
use crate::server::text;

/// A session, as the lines of one request describe it.
#[derive(Clone)]
pub struct TranscriptSession {
    /// The runtime's id of the session.
    pub id: String,
    /// The times of the earliest and the latest line.
    pub span: Option<(i64, i64)>,
    /// The time of the latest line with an event that a hook would report too.
    pub until: Option<i64>,
    /// The folder, and the line that names it.
    pub folder: Option<SessionFolder>,
    /// The newest event of the main thread that ended a turn with an error.
    pub failed: Option<FailedTurn>,
    /// The time of the newest other event of the main thread.
    pub worked_ms: Option<i64>,
    /// The best name of the session.
    pub name: Option<(TitleGiver, String)>,
    /// The first prompt, with its time.
    pub prompt: Option<(i64, String)>,
    /// The events, in the order of the lines.
    pub events: Vec<TranscriptEvent>,
    /// The results of calls that are not among these lines.
    pub results: Vec<LateResult>,
    /// The usage of the answers, by the id of the answer.
    pub answers: BTreeMap<String, AnswerUsage>,
    /// The positions of the calls in `events`, by their external ids.
    calls: HashMap<String, usize>,
    /// The external ids of all events.
    external_ids: HashSet<String>,
}

/// The folder of a session. That of the earliest line of the main thread counts, else that of the earliest line of a
/// subagent.
#[derive(Clone)]
pub struct SessionFolder {
    /// The path.
    pub path: String,
    /// Whether only lines of subagents named a folder.
    pub is_of_subagent: bool,
    at_ms: i64,
}

/// A turn that ended with an error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct FailedTurn {
    /// The time of the error.
    pub at_ms: i64,
    /// The error, in the words of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The text of the error.
    pub text: String,
}

/// An event of a session.
#[derive(Clone)]
pub struct TranscriptEvent {
    /// The time of the event.
    pub at_ms: i64,
    /// The external id of the event. That of a tool call is the one that hooks give it.
    pub external_id: String,
    /// The row in the timeline.
    pub row: TimelineRow,
    /// The state, for an event that has one.
    pub state: Option<EventState>,
    /// The fields of a tool call, until its result is read.
    call: Option<Map<String, Value>>,
}

/// The result of a tool call that an earlier import may have logged.
#[derive(Clone)]
pub struct LateResult {
    /// The number of the line.
    pub line: u64,
    /// The external id of the call's event.
    pub external_id: String,
    fields: Map<String, Value>,
    end: CallEnd,
}

impl TranscriptSession {
    /// A session without any line.
    pub fn new(id: String) -> Self {
        Self {
            id,
            span: None,
            until: None,
            folder: None,
            failed: None,
            worked_ms: None,
            name: None,
            prompt: None,
            events: Vec::new(),
            results: Vec::new(),
            answers: BTreeMap::new(),
            calls: HashMap::new(),
            external_ids: HashSet::new(),
        }
    }

    /// Whether the session has an event or usage, so that it deserves a task.
    pub fn has_content(&self) -> bool {
        !self.events.is_empty() || !self.answers.is_empty()
    }

    /// Takes a name. The name of the best giver stays, and of two by the same giver the later one.
    pub fn name(&mut self, named: TitleGiver, name: String) {
        if self.name.as_ref().is_none_or(|(before, _)| *before <= named) {
            self.name = Some((named, name));
        }
    }

    /// Takes the content of a line.
    pub fn take(&mut self, entry: TranscriptEntry, line: u64) {
        let at_ms = entry.at_ms;
        let (first, last) = self.span.unwrap_or((at_ms, at_ms));
        self.span = Some((first.min(at_ms), last.max(at_ms)));
        if let Some(answer) = entry.answer {
            match self.answers.get_mut(&answer.id) {
                Some(known) => known.merge(answer),
                None => drop(self.answers.insert(answer.id.clone(), answer)),
            }
        }
        if let Some(path) = entry.cwd.clone() {
            let folder = SessionFolder { path, is_of_subagent: entry.subagent.is_some(), at_ms };
            let rank = |folder: &SessionFolder| (folder.is_of_subagent, folder.at_ms);
            if self.folder.as_ref().is_none_or(|before| rank(&folder) < rank(before)) {
                self.folder = Some(folder);
            }
        }
        if !entry.parts.is_empty() {
            self.until = self.until.max(Some(at_ms));
        }
        for part in entry.parts {
            if entry.subagent.is_none() {
                self.note_turn(&part, at_ms);
            }
            let thread = (entry.cwd.as_deref(), entry.subagent.as_deref());
            self.take_part(part, at_ms, thread, line);
        }
    }

    /// Notes whether the part is the end of a failed turn, or work behind one.
    fn note_turn(&mut self, part: &EntryPart, at_ms: i64) {
        match part {
            EntryPart::Failure { text, error, .. }
                if self.failed.as_ref().is_none_or(|before| before.at_ms <= at_ms) =>
            {
                let text = text::cut_characters(text, limits::STATUS_DETAIL_CHARACTERS);
                let error = error.clone().filter(|error| error.len() <= limits::HOOK_ID_BYTES);
                self.failed = Some(FailedTurn { at_ms, error, text });
            }
            EntryPart::Failure { .. } => {}
            EntryPart::Prompt { .. }
            | EntryPart::Response { .. }
            | EntryPart::Compaction { .. }
            | EntryPart::Call { .. }
            | EntryPart::Result { .. } => self.worked_ms = self.worked_ms.max(Some(at_ms)),
        }
    }

    fn take_part(&mut self, part: EntryPart, at_ms: i64, (cwd, subagent): (Option<&str>, Option<&str>), line: u64) {
        let one = |field: &str, text: String| Map::from_iter([(field.to_owned(), Value::String(text))]);
        match part {
            EntryPart::Prompt { id, text } => {
                if self.prompt.as_ref().is_none_or(|(at, _)| at_ms < *at) {
                    self.prompt = Some((at_ms, text.clone()));
                }
                self.add(id, at_ms, HookName::UserPromptSubmit, one("prompt", text));
            }
            EntryPart::Response { id, text } => {
                self.add(id, at_ms, HookName::Stop, one("last_assistant_message", text));
            }
            EntryPart::Failure { id, text, error } => {
                let mut fields = one("last_assistant_message", text);
                fields.extend(error.map(|error| ("error".to_owned(), Value::String(error))));
                self.add(id, at_ms, HookName::StopFailure, fields);
            }
            EntryPart::Compaction { id, text } => {
                self.add(id, at_ms, HookName::PostCompact, one("compact_summary", text));
            }
            EntryPart::Call { id, name, input } => {
                let fields = json!({"tool_name": name, "tool_input": input, "tool_use_id": id, "cwd": cwd,
                    "agent_id": subagent});
                let Value::Object(fields) = fields else { return };
                let external_id = format!("tool:{id}");
                if self.external_ids.insert(external_id.clone()) {
                    self.calls.insert(external_id.clone(), self.events.len());
                    let row = self.row(HookName::PreToolUse, fields.clone());
                    let state = Some(EventState::Abandoned);
                    self.events.push(TranscriptEvent { at_ms, external_id, row, state, call: Some(fields) });
                }
            }
            EntryPart::Result { id, end, response } => {
                let fields = match end {
                    CallEnd::Ok => Map::from_iter([("tool_response".to_owned(), response)]),
                    CallEnd::Failed => Map::from_iter([("error".to_owned(), response)]),
                    CallEnd::Denied => one("reason", refusal::reason(&text_of(&response)).to_owned()),
                };
                let result = LateResult { line, external_id: format!("tool:{id}"), fields, end };
                match self.calls.get(&result.external_id).copied() {
                    Some(at) => {
                        // A second result of the same call adds no fact.
                        if let Some(call) = self.events[at].call.take() {
                            let (row, state) = result.end(&self.id, call);
                            self.events[at].row = row;
                            self.events[at].state = Some(state);
                        }
                    }
                    None => self.results.push(result),
                }
            }
        }
    }

    fn add(&mut self, external_id: String, at_ms: i64, hook: HookName, fields: Map<String, Value>) {
        if self.external_ids.insert(external_id.clone()) {
            let state = (hook == HookName::PostCompact).then_some(EventState::Ok);
            let row = self.row(hook, fields);
            self.events.push(TranscriptEvent { at_ms, external_id, row, state, call: None });
        }
    }

    fn row(&self, hook: HookName, fields: Map<String, Value>) -> TimelineRow {
        TimelineRow::of(&HookRecord::of(RUNTIME, self.id.clone(), hook, fields))
    }
}

impl LateResult {
    /// The row and the state of the call's event at its end.
    pub fn end(self, session_id: &str, mut call: Map<String, Value>) -> (TimelineRow, EventState) {
        call.extend(self.fields);
        let (hook, state) = match self.end {
            CallEnd::Ok => (HookName::PostToolUse, EventState::Ok),
            CallEnd::Failed => (HookName::PostToolUseFailure, EventState::Failed),
            CallEnd::Denied => (HookName::PermissionDenied, EventState::Denied),
        };
        (TimelineRow::of(&HookRecord::of(RUNTIME, session_id.to_owned(), hook, call)), state)
    }
}

/// The text of an answer: a text, or the texts of its blocks.
fn text_of(response: &Value) -> String {
    let blocks = response.as_array().into_iter().flatten().filter_map(|block| block.get("text")?.as_str());
    response.as_str().into_iter().chain(blocks).collect::<Vec<_>>().join("\n")
}
