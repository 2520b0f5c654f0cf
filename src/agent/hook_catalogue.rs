//! The hooks of the coding agents, each written once, as a table with columns.
//!
//! Every list of hooks derives from this table: the names that a record may have, the row that a hook writes, the
//! status that it leads to, the settings that register it. A new hook is one entry here. A new column, or a new value
//! of a column, is a compile error in the code that acts on it; a test compares the table with the manual.
//!
//! The table is data: it names fields of a record, and reads none.

use super::runtime::AgentRuntime;

/// The effect of a hook on the rows of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowEffect {
    /// No row: other hooks report the same.
    None,
    /// A row of its own.
    Log,
    /// A row that another hook will end. A row that exists already is left alone.
    Begin(PairedRow),
    /// Ends a row. Without a known beginning the row is logged as ended.
    End(PairedRow, RowEnd),
}

/// A row that one hook begins and another hook ends.
///
/// The names are stored in `tasks.ingest_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PairedRow {
    /// A tool call.
    Tool,
    /// Another agent at work for this one.
    Subagent,
    /// An entry of the agent's own list.
    Todo,
    /// The runtime shortens the agent's context.
    Compaction,
    /// An MCP server asks the person a question.
    Question,
}

/// How a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowEnd {
    /// It succeeded.
    Ok,
    /// It failed.
    Failed,
    /// It was not allowed.
    Denied,
}

/// The effect of a hook on the status of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusEffect {
    /// None.
    Unchanged,
    /// The session starts and is ready for a prompt.
    SessionStarts,
    /// The session ends.
    SessionEnds,
    /// The agent has a prompt to work on.
    TurnStarts,
    /// The agent's turn ends.
    TurnEnds,
    /// The agent's turn breaks off.
    TurnFails,
    /// A tool call begins.
    ToolCallStarts,
    /// A tool call ends: it succeeded, it failed or it was denied.
    ToolCallEnds,
    /// A tool call needs the person's permission.
    PermissionAsked,
    /// An MCP server asks the person a question.
    QuestionAsked,
    /// The question of an MCP server has its answer.
    QuestionAnswered,
    /// A notification. Its `notification_type` decides the effect.
    Notified,
    /// A subagent ends.
    SubagentEnds,
    /// All calls of one answer of the model have ended.
    ToolCallsEnd,
    /// A person stops the turn.
    Interrupted,
    /// The agent asks its model.
    ModelRequestStarts,
    /// The model has answered, or the request failed.
    ModelRequestEnds,
    /// The agent's context is about to be shortened. Its `trigger` says whether a person asked for it.
    CompactionStarts,
    /// The context is shorter.
    CompactionEnds,
}

/// The title of a hook's row. Fields are fields of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowTitle {
    /// The name of the hook, as it was sent.
    HookName,
    /// A text.
    Fixed(&'static str),
    /// A text, and behind it the value of a field in brackets.
    WithDetail(&'static str, &'static str),
    /// A text, and behind it the value of a field.
    Prefixed(&'static str, &'static str),
    /// The value of a field, or else a text.
    Field(&'static str, &'static str),
    /// The first line of a field, or else a text.
    FirstLine(&'static str, &'static str),
    /// The first line of a field, or else the value of a second field, or else a text.
    FirstLineOrField(&'static str, &'static str, &'static str),
    /// The tool call in one line.
    ToolCall,
    /// The request to allow a tool call.
    ToolCallPermission,
}

/// The body of a hook's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowBody {
    /// No body.
    None,
    /// A field that is a text.
    Text(&'static str),
    /// Two fields that are texts, one below the other.
    Texts(&'static str, &'static str),
    /// A field of any type: a text as it is, any other value as JSON.
    Value(&'static str),
    /// The input of a tool call, if it is too long for the metadata.
    LongToolInput,
    /// The answer of a tool, as a person reads it.
    ToolResponse,
    /// The whole record.
    Record,
}

/// A version of an agent's program.
pub type ClientVersion = [u32; 3];

/// Whether an agent has a hook, and whether `hooks install` writes the hook into its settings.
///
/// A version is the oldest one that is known to have the hook. An older version can have it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Into the settings of this version and of all later ones.
    Since(ClientVersion),
    /// The agent has the hook since this version, but the hook is never registered, for this reason.
    Never(ClientVersion, &'static str),
    /// The agent has no such hook.
    Absent,
}

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookEntry {
    /// The kind of the event that the hook writes.
    pub event_kind: &'static str,
    /// The effect on the rows of the timeline.
    pub row: RowEffect,
    /// The title of the row.
    pub title: RowTitle,
    /// The body of the row.
    pub body: RowBody,
    /// The effect on the status of the task.
    pub status: StatusEffect,
    /// Whether the agent works when it sends this hook. A task that begins with such a record is running.
    pub is_work: bool,
    claude_code: Registration,
    codex: Registration,
}

use Registration::{Absent, Never, Since};
use RowEffect::{Begin, End, Log};

/// The version of a hook that every version with hooks knows.
pub const EVERY_VERSION: ClientVersion = [0, 0, 0];
/// The first version of Claude Code that passes over unknown names. An older version ignores its whole settings file if
/// the file has one, so it gets only the names that every version knows.
const V101: ClientVersion = [2, 1, 101];
const V193: ClientVersion = [2, 1, 193];
const V332: ClientVersion = [2, 1, 332];
const CODEX_169: ClientVersion = [0, 169, 0];

const ALWAYS: Registration = Since(EVERY_VERSION);
const ADDS_NO_FACT: &str = "other hooks report the same facts";

/// An entry for a hook with a row. The other columns have the default: the hook's name as the title, no body, no effect
/// on the status, no work.
const fn hook(event_kind: &'static str, row: RowEffect, claude_code: Registration, codex: Registration) -> HookEntry {
    let (title, body, status) = (RowTitle::HookName, RowBody::None, StatusEffect::Unchanged);
    HookEntry { event_kind, row, title, body, status, is_work: false, claude_code, codex }
}

impl HookEntry {
    const fn title(self, title: RowTitle) -> Self {
        Self { title, ..self }
    }

    const fn body(self, body: RowBody) -> Self {
        Self { body, ..self }
    }

    const fn status(self, status: StatusEffect) -> Self {
        Self { status, ..self }
    }

    const fn work(self) -> Self {
        Self { is_work: true, ..self }
    }
}

macro_rules! hook_catalogue {
    ($($(#[$doc:meta])* $hook:ident: $entry:expr,)*) => {
        /// The name of a hook, as the runtimes send it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum HookName {
            $($(#[$doc])* $hook,)*
            /// A name that is not in the catalogue.
            Unknown,
        }

        impl HookName {
            /// Every hook of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$hook),*];

            /// The hook of this name.
            pub fn of(name: &str) -> Self {
                match name { $(stringify!($hook) => Self::$hook,)* _ => Self::Unknown }
            }

            /// The name. That of an unknown hook is in its record.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$hook => stringify!($hook),)* Self::Unknown => "unknown" }
            }

            /// The entry of this hook.
            pub fn entry(self) -> &'static HookEntry {
                match self { $(Self::$hook => const { &$entry },)* Self::Unknown => &UNKNOWN }
            }
        }
    };
}

/// An unknown hook is kept as it is.
const UNKNOWN: HookEntry = hook("unknown", Log, Absent, Absent).body(RowBody::Record);

hook_catalogue! {
    /// A run of the client starts. The hook also comes after a compaction, where no run starts.
    SessionStart: hook("session.started", Log, ALWAYS, ALWAYS)
        .title(RowTitle::WithDetail("Session started", "source")).status(StatusEffect::SessionStarts),
    /// A run of the client ends.
    SessionEnd: hook("session.ended", Log, ALWAYS, ALWAYS)
        .title(RowTitle::WithDetail("Session ended", "reason")).status(StatusEffect::SessionEnds),
    /// The person submits a prompt.
    UserPromptSubmit: hook("user.message", Log, ALWAYS, ALWAYS).work()
        .title(RowTitle::FirstLine("prompt", "Prompt")).body(RowBody::Text("prompt")).status(StatusEffect::TurnStarts),
    /// A tool is about to run.
    PreToolUse: hook("tool", Begin(PairedRow::Tool), ALWAYS, ALWAYS).work()
        .title(RowTitle::ToolCall).body(RowBody::LongToolInput).status(StatusEffect::ToolCallStarts),
    /// A tool call succeeds.
    PostToolUse: hook("tool", End(PairedRow::Tool, RowEnd::Ok), ALWAYS, ALWAYS).work()
        .title(RowTitle::ToolCall).body(RowBody::ToolResponse).status(StatusEffect::ToolCallEnds),
    /// A tool call fails.
    PostToolUseFailure: hook("tool", End(PairedRow::Tool, RowEnd::Failed), Since(V101), Absent).work()
        .title(RowTitle::ToolCall).body(RowBody::Value("error")).status(StatusEffect::ToolCallEnds),
    /// The person is asked whether a tool may run.
    PermissionRequest: hook("permission.requested", Log, Since(V101), ALWAYS).work()
        .title(RowTitle::ToolCallPermission).status(StatusEffect::PermissionAsked),
    /// A tool may not run. The hook ends the row of the call, and logs a row of its own.
    PermissionDenied: hook("tool", End(PairedRow::Tool, RowEnd::Denied), Since(V101), Absent).work()
        .title(RowTitle::ToolCall).body(RowBody::Text("reason")).status(StatusEffect::ToolCallEnds),
    /// A command of the person becomes a prompt.
    UserPromptExpansion: hook("context", Log, Since(V193), Absent).work()
        .title(RowTitle::FirstLine("prompt", "Prompt expanded")).body(RowBody::Text("prompt"))
        .status(StatusEffect::TurnStarts),
    /// The runtime notifies the person.
    Notification: hook("notification", Log, ALWAYS, Absent)
        .title(RowTitle::FirstLineOrField("message", "title", "Notification")).body(RowBody::Text("message"))
        .status(StatusEffect::Notified),
    /// The agent's turn ends.
    Stop: hook("assistant.response", Log, ALWAYS, ALWAYS)
        .title(RowTitle::FirstLine("last_assistant_message", "Turn ended"))
        .body(RowBody::Text("last_assistant_message")).status(StatusEffect::TurnEnds),
    /// The agent's turn breaks off.
    StopFailure: hook("assistant.error", Log, Since(V101), Absent)
        .title(RowTitle::WithDetail("Turn failed", "error"))
        .body(RowBody::Texts("last_assistant_message", "error_details")).status(StatusEffect::TurnFails),
    /// Another agent begins to work for this one.
    SubagentStart: hook("subagent", Begin(PairedRow::Subagent), Since(V101), ALWAYS).work()
        .title(RowTitle::Field("agent_type", "Helper of the client")),
    /// The other agent ends.
    SubagentStop: hook("subagent", End(PairedRow::Subagent, RowEnd::Ok), ALWAYS, ALWAYS)
        .title(RowTitle::Field("agent_type", "Helper of the client"))
        .body(RowBody::Text("last_assistant_message")).status(StatusEffect::SubagentEnds),
    /// A compaction begins.
    PreCompact: hook("compaction", Begin(PairedRow::Compaction), ALWAYS, ALWAYS).work()
        .title(RowTitle::WithDetail("Compaction", "trigger")).body(RowBody::Text("custom_instructions"))
        .status(StatusEffect::CompactionStarts),
    /// A compaction ends.
    PostCompact: hook("compaction", End(PairedRow::Compaction, RowEnd::Ok), Since(V101), ALWAYS).work()
        .title(RowTitle::WithDetail("Compaction", "trigger")).body(RowBody::Text("compact_summary"))
        .status(StatusEffect::CompactionEnds),
    /// An entry of the agent's list is made.
    TaskCreated: hook("todo", Begin(PairedRow::Todo), Since(V101), Absent)
        .title(RowTitle::Field("task_subject", "Todo")).body(RowBody::Text("task_description")),
    /// An entry of the agent's list is ticked off.
    TaskCompleted: hook("todo", End(PairedRow::Todo, RowEnd::Ok), Since(V101), Absent)
        .title(RowTitle::Field("task_subject", "Todo")),
    /// An agent of the same team has no work.
    TeammateIdle: hook("context", Log, Since(V101), Absent),
    /// An MCP server asks the person a question.
    Elicitation: hook("question", Begin(PairedRow::Question), Since(V101), Absent)
        .title(RowTitle::FirstLine("message", "Question of an MCP server")).body(RowBody::Text("message"))
        .status(StatusEffect::QuestionAsked),
    /// The answer to that question. If the person declined or cancelled, the row ends as denied.
    ElicitationResult: hook("question", End(PairedRow::Question, RowEnd::Ok), Since(V101), Absent)
        .title(RowTitle::FirstLine("message", "Question of an MCP server")).body(RowBody::Value("content"))
        .status(StatusEffect::QuestionAnswered),
    /// The runtime reads instructions.
    InstructionsLoaded: hook("context", Log, Since(V101), Absent)
        .title(RowTitle::Prefixed("Instructions loaded: ", "file_path")),
    /// The runtime's settings change.
    ConfigChange: hook("context", Log, Since(V101), Absent)
        .title(RowTitle::Prefixed("Settings changed: ", "file_path")),
    /// The agent works in another folder from now on.
    CwdChanged: hook("context", Log, Since(V101), Absent)
        .title(RowTitle::Prefixed("Works in ", "new_cwd")),
    /// The runtime was set up.
    Setup: hook("context", Log, Never(V101, ADDS_NO_FACT), Absent),
    /// The agent may work in one more folder.
    DirectoryAdded: hook("context", Log, Never(V332, ADDS_NO_FACT), Absent),
    /// A watched file changes.
    FileChanged: hook("context", Log, Never(V101, "its registration decides which files the agent watches"), Absent)
        .title(RowTitle::Prefixed("File changed: ", "file_path")),
    /// A worktree is removed.
    WorktreeRemove: hook("context", Log, Never(V101, "a registered hook replaces the agent's own removal"), Absent),
    /// A worktree is made.
    WorktreeCreate: hook("context", Log, Never(V101, "a registered hook replaces the agent's own creation"), Absent),
    /// All tool calls of one answer of the model have ended. A call that the client or a person refused has no other
    /// hook: it becomes a record of its own.
    PostToolBatch: hook("tool", RowEffect::None, Since(V193), Absent).status(StatusEffect::ToolCallsEnd),
    /// A person stops the turn.
    Interrupt: hook("context", Log, Absent, Since(CODEX_169)).status(StatusEffect::Interrupted)
        .title(RowTitle::Fixed("Interrupted")),
    /// The agent sends its context to a model.
    PreModelRequest: hook("log", RowEffect::None, Absent, Since(CODEX_169)).work()
        .status(StatusEffect::ModelRequestStarts),
    /// The model has answered, or the request failed. Only a failed request has a row. The usage is counted.
    PostModelRequest: hook("assistant.error", RowEffect::None, Absent, Since(CODEX_169))
        .title(RowTitle::FirstLine("error", "A request to the model failed")).body(RowBody::Text("error"))
        .status(StatusEffect::ModelRequestEnds),
    /// Another model is about to be used.
    PreModelSwitch: hook("context", Log, Never(V332, "`PostModelSwitch` reports the same facts"), Absent)
        .title(RowTitle::Prefixed("Model: ", "to_model")),
    /// Another model is used from now on.
    PostModelSwitch: hook("context", Log, Since(V332), Absent).title(RowTitle::Prefixed("Model: ", "to_model")),
    /// A skill is about to run a command of its text.
    PreSkillShellCommand: hook("context", Log, Never(V332, ADDS_NO_FACT), Absent),
    /// A line is drawn on the person's screen.
    MessageDisplay: hook("log", RowEffect::None, Never(V193, "it runs with every line that the agent shows"), Absent),
}

impl HookName {
    /// Whether an agent has this hook, and whether `hooks install` writes the hook into its settings.
    pub fn registration(self, runtime: AgentRuntime) -> Registration {
        let entry = self.entry();
        match runtime {
            AgentRuntime::ClaudeCode => entry.claude_code,
            AgentRuntime::Codex => entry.codex,
        }
    }

    /// The hooks to write into the settings of an agent of this version: first the hooks that every version knows, then
    /// the newer ones. None: the version is not known, and counts as the newest.
    pub fn registered(runtime: AgentRuntime, version: Option<ClientVersion>) -> Vec<Self> {
        let since = |hook: Self| match hook.registration(runtime) {
            Since(since) => version.is_none_or(|version| version >= since).then_some((since, hook)),
            Never(..) | Absent => None,
        };
        let mut hooks: Vec<_> = Self::ALL.iter().copied().filter_map(since).collect();
        hooks.sort_by_key(|(since, _)| *since);
        hooks.into_iter().map(|(_, hook)| hook).collect()
    }

    /// Whether a record of this hook describes a tool call.
    pub fn is_about_tool_call(self) -> bool {
        matches!(self.entry().title, RowTitle::ToolCall | RowTitle::ToolCallPermission)
    }
}

#[cfg(test)]
mod tests {
    use super::super::runtime::AgentRuntime;
    use super::HookName;

    #[test]
    fn an_older_version_gets_some_of_the_same_hooks() {
        for (runtime, versions) in [
            (AgentRuntime::ClaudeCode, [([2, 0, 0], 9), ([2, 1, 112], 23), ([2, 1, 193], 25), ([2, 1, 332], 26)]),
            (AgentRuntime::Codex, [([0, 1, 0], 11), ([0, 168, 9], 11), ([0, 169, 0], 14), ([1, 0, 0], 14)]),
        ] {
            let newest = HookName::registered(runtime, None);
            for (version, count) in versions {
                let hooks = HookName::registered(runtime, Some(version));
                assert!(newest.starts_with(&hooks) && hooks.len() == count, "{runtime} {version:?}: {hooks:?}");
            }
        }
    }

    #[test]
    fn every_name_finds_its_hook() {
        for hook in HookName::ALL {
            assert_eq!(HookName::of(hook.as_str()), *hook);
        }
        assert_eq!(HookName::of("Unknown"), HookName::Unknown);
    }
}
