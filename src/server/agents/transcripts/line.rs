//! Parses one line of a transcript.
//!
//! Claude Code adds line types and fields with every release, so unknown types and fields are ignored. If a required
//! field is missing, or a known field has an unexpected type, the whole line is refused, because half of a line could
//! mislead.

use serde_json::{Map, Value};

use crate::protocol::limits;
use crate::server::agents::hooks::record::MAX_PATH_BYTES;
use crate::server::agents::hooks::{fingerprint, person_words, refusal};
use crate::server::database::sql::usage::MICROS_PER_DOLLAR;
use crate::server::text;

/// The longest name of a model that is kept, in characters.
const MAX_MODEL_CHARACTERS: usize = 128;

/// The model of a message that the client itself wrote in place of an answer.
const CLIENT_IN_PLACE_OF_A_MODEL: &str = "<synthetic>";

/// A parsed line.
pub enum TranscriptLine {
    /// The line has no content that a screen shows.
    PassedOver,
    /// The name of a session. The fields are the id of the session, the author of the name, and the name.
    Title(String, TitleGiver, String),
    /// A message, a tool call, a result or usage.
    Entry(Box<TranscriptEntry>),
}

/// The author of a session's name. A later variant replaces an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TitleGiver {
    /// The agent.
    Agent,
    /// The person.
    Person,
}

/// The content of a line.
pub struct TranscriptEntry {
    /// The id of the session.
    pub session_id: String,
    /// The time of the line.
    pub at_ms: i64,
    /// The folder that the thread works in.
    pub cwd: Option<String>,
    /// The subagent that wrote the line. None: the main thread.
    pub subagent: Option<String>,
    /// The parts, in the order of the line.
    pub parts: Vec<EntryPart>,
    /// The usage of the answer that the line belongs to.
    pub answer: Option<AnswerUsage>,
}

/// A part of a line's content. `id` identifies the part within its session. A call and its result both have the id of
/// the tool call.
pub enum EntryPart {
    /// A prompt of the person.
    Prompt { id: String, text: String },
    /// A text of the agent.
    Response { id: String, text: String },
    /// An error that ended the agent's turn.
    Failure { id: String, text: String, error: Option<String> },
    /// The summary that replaced the earlier context.
    Compaction { id: String, text: String },
    /// A tool call.
    Call { id: String, name: String, input: Value },
    /// The result of a tool call.
    Result { id: String, end: CallEnd, response: Value },
}

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// It succeeded.
    Ok,
    /// It failed.
    Failed,
    /// A person or a rule did not allow it.
    Denied,
}

/// The usage of an answer, as one of its lines reports it.
#[derive(Clone, Debug)]
pub struct AnswerUsage {
    /// The id that the maker of the model gave the answer. Without one, the id of the request or of the line.
    pub id: String,
    /// The model.
    pub model: Option<String>,
    /// The tokens: input, output, read from the cache, written to the cache.
    pub tokens: [i64; 4],
    /// The cost in millionths of a dollar, if the line states one.
    pub cost_usd_micros: Option<i64>,
    /// The time of the first line of the answer.
    pub at_ms: i64,
}

impl AnswerUsage {
    /// Merges another line of the same answer: the larger figures, the earlier time and the newer model.
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
    /// Parses a line.
    ///
    /// # Errors
    /// The reason why the line is refused, as a text for people.
    pub fn parse(line: &[u8], now_ms: i64) -> Result<Self, String> {
        let Value::Object(fields) =
            text::parse(line).map_err(|error| error.to_string().replace(" at line 1 column ", " at byte "))?
        else {
            return Err("not an object".to_owned());
        };
        if fields.get("forkedFrom").is_some_and(Value::is_object) {
            // The line is a copy from the session that this session was forked from.
            return Ok(Self::PassedOver);
        }
        match fields.get("type").and_then(Value::as_str) {
            Some("user") => TranscriptEntry::of_user(&fields, now_ms),
            Some("assistant") => TranscriptEntry::of_assistant(&fields, now_ms),
            Some("custom-title") => Self::title(&fields, TitleGiver::Person, "customTitle"),
            Some("ai-title") => Self::title(&fields, TitleGiver::Agent, "aiTitle"),
            Some(_) => Ok(Self::PassedOver),
            None => Err("type is missing".to_owned()),
        }
    }

    fn title(fields: &Map<String, Value>, named: TitleGiver, field: &str) -> Result<Self, String> {
        let title = non_blank(fields.get(field)).ok_or_else(|| format!("{field} is missing"))?;
        Ok(Self::Title(session_id(fields)?, named, title.to_owned()))
    }
}

impl TranscriptEntry {
    fn of_user(fields: &Map<String, Value>, now_ms: i64) -> Result<TranscriptLine, String> {
        let mut entry = Self::of(fields, now_ms)?;
        if is_true(fields, "isMeta") {
            return Ok(TranscriptLine::PassedOver);
        }
        let content = content(fields)?;
        if is_true(fields, "isCompactSummary") && entry.subagent.is_none() {
            let text = content.texts().collect::<Vec<_>>().join("\n");
            if !text.is_empty() {
                entry.parts.push(EntryPart::Compaction { id: line_id(fields, &text), text });
            }
        } else if entry.subagent.is_none() && is_of_person(fields) {
            let text = content.texts().filter_map(person_words::of_prompt).collect::<Vec<_>>().join("\n");
            if !text.is_empty() {
                entry.parts.push(EntryPart::Prompt { id: line_id(fields, &text), text });
            }
        }
        let results: Vec<_> = content.blocks("tool_result").collect();
        // `toolUseResult` holds the whole answer of the tool, and a `tool_result` block only the part that the model
        // saw. It names no call, so it is used only for a line with a single result.
        let whole_response =
            fields.get("toolUseResult").filter(|value| (value.is_object() || value.is_array()) && results.len() == 1);
        for block in &results {
            let id = named_id(block, "tool_use_id")?;
            let shown_response = block.get("content");
            let (end, response) = match is_true(block, "is_error") {
                true => (end_of_failed(shown_response), shown_response.or(whole_response)),
                false => (CallEnd::Ok, whole_response.or(shown_response)),
            };
            entry.parts.push(EntryPart::Result { id, end, response: response.cloned().unwrap_or_default() });
        }
        Ok(entry.line())
    }

    fn of_assistant(fields: &Map<String, Value>, now_ms: i64) -> Result<TranscriptLine, String> {
        let mut entry = Self::of(fields, now_ms)?;
        let content = content(fields)?;
        let is_of_client = content.message.get("model").and_then(Value::as_str) == Some(CLIENT_IN_PLACE_OF_A_MODEL);
        let text = content.texts().collect::<Vec<_>>().join("\n");
        if is_true(fields, "isApiErrorMessage") || (is_of_client && text.starts_with("API Error")) {
            let error = non_blank(fields.get("error")).map(str::to_owned);
            if entry.subagent.is_none() {
                entry.parts.push(EntryPart::Failure { id: line_id(fields, &text), text, error });
            }
            return Ok(entry.line());
        }
        if is_of_client {
            return Ok(TranscriptLine::PassedOver);
        }
        entry.answer = answer(fields, content.message, entry.at_ms)?;
        let message_id =
            content.message.get("id").and_then(Value::as_str).filter(|id| id.len() <= limits::HOOK_ID_BYTES);
        for text in content.texts().filter(|_| entry.subagent.is_none()) {
            let id = match message_id {
                Some(id) => format!("answer:{id}:{:016x}", fingerprint::fingerprint(&[text], &Value::Null)),
                None => line_id(fields, text),
            };
            entry.parts.push(EntryPart::Response { id, text: text.to_owned() });
        }
        for block in content.blocks("tool_use") {
            let name = non_blank(block.get("name")).ok_or("a tool_use has no name")?.to_owned();
            let input = block.get("input").cloned().unwrap_or_default();
            entry.parts.push(EntryPart::Call { id: named_id(block, "id")?, name, input });
        }
        Ok(entry.line())
    }

    fn of(fields: &Map<String, Value>, now_ms: i64) -> Result<Self, String> {
        let at = fields.get("timestamp").ok_or("timestamp is missing")?;
        let at = at.as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
        let at_ms = at.ok_or("timestamp is not a time as in 2026-01-31T09:30:00Z")?.timestamp_millis();
        if !(0..=now_ms.saturating_add(limits::TRANSCRIPT_AHEAD.as_millis() as i64)).contains(&at_ms) {
            return Err("timestamp is before 1970 or in the future".to_owned());
        }
        // A time slightly ahead, from another clock, becomes the current time: no event lies in the future.
        let at_ms = at_ms.min(now_ms);
        let cwd = non_blank(fields.get("cwd")).filter(|cwd| cwd.len() <= MAX_PATH_BYTES).map(str::to_owned);
        let named = non_blank(fields.get("agentId")).filter(|id| id.len() <= limits::HOOK_ID_BYTES);
        // A line of an older version has no id of its subagent.
        let subagent = is_true(fields, "isSidechain").then(|| named.unwrap_or_default().to_owned());
        Ok(Self { session_id: session_id(fields)?, at_ms, cwd, subagent, parts: Vec::new(), answer: None })
    }

    fn line(self) -> TranscriptLine {
        if self.parts.is_empty() && self.answer.is_none() {
            TranscriptLine::PassedOver
        } else {
            TranscriptLine::Entry(Box::new(self))
        }
    }
}

/// The content of a message: a text or a list of blocks.
struct Content<'a> {
    message: &'a Map<String, Value>,
    content: &'a Value,
}

impl<'a> Content<'a> {
    /// The texts that are not blank.
    fn texts(&self) -> impl Iterator<Item = &'a str> {
        let blocks = self.blocks("text").map(|block| block.get("text"));
        std::iter::once(Some(self.content)).chain(blocks).filter_map(non_blank).map(str::trim)
    }

    fn blocks(&self, kind: &'static str) -> impl Iterator<Item = &'a Map<String, Value>> {
        let blocks = self.content.as_array().into_iter().flatten().filter_map(Value::as_object);
        blocks.filter(move |block| block.get("type").and_then(Value::as_str) == Some(kind))
    }
}

fn content(fields: &Map<String, Value>) -> Result<Content<'_>, String> {
    let message = fields.get("message").ok_or("message is missing")?.as_object().ok_or("message is not an object")?;
    match message.get("content").unwrap_or(&Value::Null) {
        Value::Array(blocks) if blocks.len() > limits::TRANSCRIPT_BLOCKS => {
            Err(format!("message.content has more than {} blocks", limits::TRANSCRIPT_BLOCKS))
        }
        content @ (Value::Null | Value::String(_) | Value::Array(_)) => Ok(Content { message, content }),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            Err("message.content is neither a text nor a list".to_owned())
        }
    }
}

/// The end of a call with an error: refused by a person or a rule, or failed.
fn end_of_failed(response: Option<&Value>) -> CallEnd {
    let blocks = response.and_then(Value::as_array).into_iter().flatten().filter_map(|block| block.get("text"));
    let text = response.into_iter().chain(blocks).find_map(|text| non_blank(Some(text))).unwrap_or_default();
    if refusal::is_refusal(text) { CallEnd::Denied } else { CallEnd::Failed }
}

/// Whether a person wrote the prompt, as far as the line says it.
fn is_of_person(fields: &Map<String, Value>) -> bool {
    let origin = fields.get("origin");
    let kind = origin.and_then(|origin| non_blank(Some(origin.get("kind").unwrap_or(origin))));
    kind.is_none_or(|kind| matches!(kind, "human" | "user" | "sdk"))
}

/// The usage of an answer.
fn answer(
    fields: &Map<String, Value>,
    message: &Map<String, Value>,
    at_ms: i64,
) -> Result<Option<AnswerUsage>, String> {
    let model = non_blank(message.get("model"));
    let usage = match message.get("usage") {
        None | Some(Value::Null) => return Ok(None),
        Some(usage) => usage.as_object().ok_or("message.usage is not an object")?,
    };
    let named = [message.get("id"), fields.get("requestId"), fields.get("uuid")].into_iter().find_map(non_blank);
    let id =
        named.filter(|id| id.len() <= limits::HOOK_ID_BYTES).ok_or("message.id is missing or longer than 256 bytes")?;
    let count = |field: &str| match usage.get(field) {
        None | Some(Value::Null) => Ok(0),
        Some(count) => match count.as_u64().filter(|count| *count <= limits::ANSWER_TOKENS) {
            Some(count) => Ok(count.cast_signed()),
            None => Err(format!("message.usage.{field} is not a count")),
        },
    };
    let cost_usd_micros = match fields.get("costUSD") {
        None | Some(Value::Null) => None,
        Some(cost) => {
            let micros = cost
                .as_f64()
                .map(|cost| (cost * MICROS_PER_DOLLAR).round())
                .filter(|micros| (0.0..=limits::ANSWER_TOKENS as f64).contains(micros));
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
        Some(Value::String(id)) if id.len() > limits::HOOK_ID_BYTES => {
            Err(format!("sessionId is longer than {} bytes", limits::HOOK_ID_BYTES))
        }
        Some(Value::String(id)) => Ok(id.clone()),
        Some(_) => Err("sessionId is not a text".to_owned()),
    }
}

fn named_id(block: &Map<String, Value>, field: &str) -> Result<String, String> {
    let id = non_blank(block.get(field)).filter(|id| id.len() <= limits::HOOK_ID_BYTES);
    id.map(str::to_owned).ok_or_else(|| format!("{field} is missing or longer than {} bytes", limits::HOOK_ID_BYTES))
}

/// The id of a line: its `uuid`, or else a fingerprint of its time and text.
fn line_id(fields: &Map<String, Value>, text: &str) -> String {
    match non_blank(fields.get("uuid")).filter(|id| id.len() <= limits::HOOK_ID_BYTES) {
        Some(uuid) => format!("line:{uuid}"),
        None => {
            let at = fields.get("timestamp").and_then(Value::as_str).unwrap_or_default();
            format!("line:{:016x}", fingerprint::fingerprint(&[at, text], &Value::Null))
        }
    }
}

fn non_blank(value: Option<&Value>) -> Option<&str> {
    value?.as_str().filter(|text| !text.trim().is_empty())
}

fn is_true(fields: &Map<String, Value>, field: &str) -> bool {
    fields.get(field).and_then(Value::as_bool).unwrap_or(false)
}
