//! What one line of a transcript tells.
//!
//! Claude Code adds types and fields with every release, so whatever is not known says nothing. What is known and of
//! another type than it should be makes the whole line one that cannot be taken: half of it might mislead.

use serde_json::{Map, Value};

use crate::server::agents::hooks::fingerprint;
use crate::server::agents::hooks::record::{MAX_ID_BYTES, MAX_PATH_BYTES};
use crate::server::ingest::text;

/// More tokens or millionths of a dollar than this are no count of one answer; the database has the same bound.
const MAX_USAGE_COUNT: u64 = 1_000_000_000_000;
/// How far ahead of ours another machine's clock may be.
const MAX_CLOCK_LEAD_MS: i64 = 24 * 3600 * 1000;
/// How many blocks a message can have; those of Claude Code have a few.
const MAX_BLOCKS_PER_MESSAGE: usize = 1000;
/// The longest name of a model in characters.
const MAX_MODEL_CHARACTERS: usize = 128;

/// How texts begin that a person did not write: commands of the client and their output, what it puts in by itself.
const NOT_WRITTEN_BY_A_PERSON: &[&str] = &[
    "<command-name>",
    "<command-message>",
    "<command-args>",
    "<local-command-",
    "<bash-input>",
    "<bash-stdout>",
    "<bash-stderr>",
    "<system-reminder>",
    "<task-notification>",
    "<user-memory-input>",
    "<ide_",
    "Caveat: The messages below were generated",
    "[Request interrupted by user",
];

/// A line.
pub enum TranscriptLine {
    /// It says nothing that is shown.
    Nothing,
    /// A session's name: the session, who gave it, the name.
    Title(String, TitleGiver, String),
    /// Something was said or done.
    Entry(Box<TranscriptEntry>),
}

/// Who named a session; the later is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TitleGiver {
    /// Its agent.
    Agent,
    /// The person.
    Person,
}

/// What was said or done.
pub struct TranscriptEntry {
    /// The session.
    pub session_id: String,
    /// When.
    pub at_ms: i64,
    /// The folder of the main thread.
    pub cwd: Option<String>,
    /// What, in order.
    pub parts: Vec<EntryPart>,
    /// What the answer that it is part of cost.
    pub answer: Option<AnswerUsage>,
}

/// A part of what was said or done. `id` names it within its session.
pub enum EntryPart {
    /// The person said something.
    Prompt { id: String, text: String },
    /// The agent did.
    Response { id: String, text: String },
    /// The agent's turn broke off.
    Failure { id: String, text: String, error: Option<String> },
    /// What came before was put into a summary.
    Compaction { id: String, text: String },
    /// The agent called a tool.
    Call { id: String, name: String, input: Value },
    /// What came of it.
    Result { id: String, failed: bool, response: Value },
}

/// What an answer cost, as far as one of its lines knows.
#[derive(Clone, Debug)]
pub struct AnswerUsage {
    /// What its maker calls it.
    pub id: String,
    /// The model.
    pub model: Option<String>,
    /// Input, output, read from the cache, written to it.
    pub tokens: [i64; 4],
    /// In millionths of a dollar, where it is said.
    pub cost_usd_micros: Option<i64>,
    /// When it was first heard of.
    pub at_ms: i64,
}

impl AnswerUsage {
    /// The most that either says.
    pub fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.tokens.iter_mut().zip(other.tokens) {
            *mine = (*mine).max(theirs);
        }
        self.cost_usd_micros = self.cost_usd_micros.max(other.cost_usd_micros);
        self.at_ms = self.at_ms.min(other.at_ms);
        self.model = other.model.or(self.model.take());
    }
}

impl TranscriptLine {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(line: &[u8], now_ms: i64) -> Result<Self, String> {
        let Value::Object(fields) =
            text::parse(line).map_err(|error| error.to_string().replace(" at line 1 column ", " at byte "))?
        else {
            return Err("not an object".to_owned());
        };
        if fields.get("forkedFrom").is_some_and(Value::is_object) {
            // A copy of a line of another session.
            return Ok(Self::Nothing);
        }
        match fields.get("type").and_then(Value::as_str) {
            Some("user") => TranscriptEntry::of_user(&fields, now_ms),
            Some("assistant") => TranscriptEntry::of_assistant(&fields, now_ms),
            Some("custom-title") => Self::title(&fields, TitleGiver::Person, "customTitle"),
            Some("ai-title") => Self::title(&fields, TitleGiver::Agent, "aiTitle"),
            Some(_) => Ok(Self::Nothing),
            None => Err("type is missing".to_owned()),
        }
    }

    fn title(fields: &Map<String, Value>, named: TitleGiver, field: &str) -> Result<Self, String> {
        let title = said(fields.get(field)).ok_or_else(|| format!("{field} is missing"))?;
        Ok(Self::Title(session_id(fields)?, named, title.to_owned()))
    }
}

impl TranscriptEntry {
    fn of_user(fields: &Map<String, Value>, now_ms: i64) -> Result<TranscriptLine, String> {
        let mut entry = Self::of(fields, now_ms)?;
        if is(fields, "isSidechain") || is(fields, "isMeta") {
            return Ok(TranscriptLine::Nothing);
        }
        let content = content(fields)?;
        let own = |text: &&str| {
            is(fields, "isCompactSummary") || !NOT_WRITTEN_BY_A_PERSON.iter().any(|start| text.starts_with(start))
        };
        let text = content.texts().filter(own).collect::<Vec<_>>().join("\n");
        if !text.is_empty() {
            let id = line_id(fields, &text);
            entry.parts.push(match is(fields, "isCompactSummary") {
                true => EntryPart::Compaction { id, text },
                false => EntryPart::Prompt { id, text },
            });
        }
        let results: Vec<_> = content.blocks("tool_result").collect();
        // What the tool itself answered, rather than what the model was shown of it. It does not say of which call.
        let whole =
            fields.get("toolUseResult").filter(|whole| (whole.is_object() || whole.is_array()) && results.len() == 1);
        for block in &results {
            let id = named_id(block, "tool_use_id")?;
            let failed = is(block, "is_error");
            let shown = block.get("content");
            let response = if failed { shown.or(whole) } else { whole.or(shown) };
            entry.parts.push(EntryPart::Result { id, failed, response: response.cloned().unwrap_or_default() });
        }
        Ok(entry.line())
    }

    fn of_assistant(fields: &Map<String, Value>, now_ms: i64) -> Result<TranscriptLine, String> {
        let mut entry = Self::of(fields, now_ms)?;
        let content = content(fields)?;
        if is(fields, "isApiErrorMessage") {
            let text = content.texts().collect::<Vec<_>>().join("\n");
            let error = said(fields.get("error")).map(str::to_owned);
            entry.parts.push(EntryPart::Failure { id: line_id(fields, &text), text, error });
            return Ok(if is(fields, "isSidechain") { TranscriptLine::Nothing } else { entry.line() });
        }
        entry.answer = answer(fields, content.message, entry.at_ms)?;
        if is(fields, "isSidechain") {
            entry.cwd = None;
            return Ok(entry.line());
        }
        let message_id = content.message.get("id").and_then(Value::as_str).filter(|id| id.len() <= MAX_ID_BYTES);
        for text in content.texts() {
            let id = match message_id {
                Some(id) => format!("answer:{id}:{:016x}", fingerprint::fingerprint(&[text], &Value::Null)),
                None => line_id(fields, text),
            };
            entry.parts.push(EntryPart::Response { id, text: text.to_owned() });
        }
        for block in content.blocks("tool_use") {
            let name = said(block.get("name")).ok_or("a tool_use has no name")?.to_owned();
            let input = block.get("input").cloned().unwrap_or_default();
            entry.parts.push(EntryPart::Call { id: named_id(block, "id")?, name, input });
        }
        Ok(entry.line())
    }

    fn of(fields: &Map<String, Value>, now_ms: i64) -> Result<Self, String> {
        let at = fields.get("timestamp").ok_or("timestamp is missing")?;
        let at = at.as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
        let at_ms = at.ok_or("timestamp is not a time as in 2026-01-31T09:30:00Z")?.timestamp_millis();
        if !(0..=now_ms.saturating_add(MAX_CLOCK_LEAD_MS)).contains(&at_ms) {
            return Err("timestamp is before 1970 or in the future".to_owned());
        }
        // What another clock has ahead is now: nothing is told of a time to come.
        let at_ms = at_ms.min(now_ms);
        let cwd = said(fields.get("cwd")).filter(|cwd| cwd.len() <= MAX_PATH_BYTES).map(str::to_owned);
        Ok(Self { session_id: session_id(fields)?, at_ms, cwd, parts: Vec::new(), answer: None })
    }

    fn line(self) -> TranscriptLine {
        if self.parts.is_empty() && self.answer.is_none() {
            TranscriptLine::Nothing
        } else {
            TranscriptLine::Entry(Box::new(self))
        }
    }
}

/// What a message holds: a text, or blocks.
struct Content<'a> {
    message: &'a Map<String, Value>,
    content: &'a Value,
}

impl<'a> Content<'a> {
    /// Its texts that say something.
    fn texts(&self) -> impl Iterator<Item = &'a str> {
        let blocks = self.blocks("text").map(|block| block.get("text"));
        std::iter::once(Some(self.content)).chain(blocks).filter_map(said).map(str::trim)
    }

    fn blocks(&self, kind: &'static str) -> impl Iterator<Item = &'a Map<String, Value>> {
        let blocks = self.content.as_array().into_iter().flatten().filter_map(Value::as_object);
        blocks.filter(move |block| block.get("type").and_then(Value::as_str) == Some(kind))
    }
}

fn content(fields: &Map<String, Value>) -> Result<Content<'_>, String> {
    let message = fields.get("message").ok_or("message is missing")?.as_object().ok_or("message is not an object")?;
    match message.get("content").unwrap_or(&Value::Null) {
        Value::Array(blocks) if blocks.len() > MAX_BLOCKS_PER_MESSAGE => {
            Err(format!("message.content has more than {MAX_BLOCKS_PER_MESSAGE} blocks"))
        }
        content @ (Value::Null | Value::String(_) | Value::Array(_)) => Ok(Content { message, content }),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err("message.content is no text and no list".to_owned())
        }
    }
}

/// What the answer cost. What the client itself says in the model's name is no answer of one.
fn answer(
    fields: &Map<String, Value>,
    message: &Map<String, Value>,
    at_ms: i64,
) -> Result<Option<AnswerUsage>, String> {
    let model = said(message.get("model"));
    let usage = match message.get("usage") {
        None | Some(Value::Null) => return Ok(None),
        Some(_) if model == Some("<synthetic>") => return Ok(None),
        Some(usage) => usage.as_object().ok_or("message.usage is not an object")?,
    };
    let named = [message.get("id"), fields.get("requestId"), fields.get("uuid")].into_iter().find_map(said);
    let id = named.filter(|id| id.len() <= MAX_ID_BYTES).ok_or("message.id is missing or longer than 256 bytes")?;
    let count = |field: &str| match usage.get(field) {
        None | Some(Value::Null) => Ok(0),
        Some(count) => match count.as_u64().filter(|count| *count <= MAX_USAGE_COUNT) {
            Some(count) => Ok(count.cast_signed()),
            None => Err(format!("message.usage.{field} is not a count")),
        },
    };
    let cost_usd_micros = match fields.get("costUSD") {
        None | Some(Value::Null) => None,
        Some(cost) => {
            let micros = cost
                .as_f64()
                .map(|cost| (cost * 1e6).round())
                .filter(|micros| (0.0..=MAX_USAGE_COUNT as f64).contains(micros));
            Some(micros.ok_or("costUSD is not an amount")? as i64)
        }
    };
    Ok(Some(AnswerUsage {
        id: id.to_owned(),
        model: model.map(|model| text::one_line(model, MAX_MODEL_CHARACTERS)),
        tokens: [
            count("input_tokens")?,
            count("output_tokens")?,
            count("cache_read_input_tokens")?,
            count("cache_creation_input_tokens")?,
        ],
        cost_usd_micros,
        at_ms,
    }))
}

fn session_id(fields: &Map<String, Value>) -> Result<String, String> {
    match fields.get("sessionId") {
        None | Some(Value::Null) => Err("sessionId is missing".to_owned()),
        Some(Value::String(id)) if id.trim().is_empty() => Err("sessionId is empty".to_owned()),
        Some(Value::String(id)) if id.len() > MAX_ID_BYTES => {
            Err(format!("sessionId is longer than {MAX_ID_BYTES} bytes"))
        }
        Some(Value::String(id)) => Ok(id.clone()),
        Some(_) => Err("sessionId is not a text".to_owned()),
    }
}

fn named_id(block: &Map<String, Value>, field: &str) -> Result<String, String> {
    let id = said(block.get(field)).filter(|id| id.len() <= MAX_ID_BYTES);
    id.map(str::to_owned).ok_or_else(|| format!("{field} is missing or longer than {MAX_ID_BYTES} bytes"))
}

/// The name of a line; of one that has none, what it says and when.
fn line_id(fields: &Map<String, Value>, text: &str) -> String {
    match said(fields.get("uuid")).filter(|id| id.len() <= MAX_ID_BYTES) {
        Some(uuid) => format!("line:{uuid}"),
        None => {
            let at = fields.get("timestamp").and_then(Value::as_str).unwrap_or_default();
            format!("line:{:016x}", fingerprint::fingerprint(&[at, text], &Value::Null))
        }
    }
}

fn said(value: Option<&Value>) -> Option<&str> {
    value?.as_str().filter(|text| !text.trim().is_empty())
}

fn is(fields: &Map<String, Value>, field: &str) -> bool {
    fields.get(field).and_then(Value::as_bool).unwrap_or(false)
}
