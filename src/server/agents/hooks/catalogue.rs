//! The hooks of the runtimes, each written once: its name, the kind of event it makes, and what it does to that event.

/// What a hook does to a row of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Says nothing that is not known from elsewhere.
    None,
    /// Logs a row of its own.
    Log,
    /// Logs a row that another hook will end. Known already, it is left alone.
    Begin(Part),
    /// Ends a row, or logs it ended if its beginning was never seen.
    End(Part, End),
}

/// What takes time: a row that one hook begins and another ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A tool call.
    Tool,
    /// Another agent at work for this one.
    Subagent,
    /// An entry of the agent's own list.
    Todo,
    /// The runtime shortens what the agent remembers.
    Compaction,
    /// An MCP server asks the person something.
    Question,
}

/// How a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Well.
    Ok,
    /// Badly.
    Failed,
    /// Not allowed.
    Denied,
}

macro_rules! hooks {
    ($($(#[$doc:meta])* $hook:ident $kind:literal $effect:expr,)*) => {
        /// What happened, as the runtime names it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Hook {
            $($(#[$doc])* $hook,)*
            /// One that is not known here, newer than this code or made up.
            Unknown,
        }

        impl Hook {
            /// The hook that goes by this name.
            pub fn named(name: &str) -> Self {
                match name { $(stringify!($hook) => Self::$hook,)* _ => Self::Unknown }
            }

            /// The kind of the event it makes, and what it does to it.
            pub fn row(self) -> (&'static str, Effect) {
                match self { $(Self::$hook => ($kind, $effect),)* Self::Unknown => ("unknown", Effect::Log) }
            }
        }
    };
}

hooks! {
    /// A run of the client begins; also after a compaction, which begins nothing.
    SessionStart "session.started" Effect::Log,
    /// It ends.
    SessionEnd "session.ended" Effect::Log,
    /// The person said something.
    UserPromptSubmit "user.message" Effect::Log,
    /// The agent's turn ended.
    Stop "assistant.response" Effect::Log,
    /// The agent's turn broke off.
    StopFailure "assistant.error" Effect::Log,
    /// A tool is about to run.
    PreToolUse "tool" Effect::Begin(Part::Tool),
    /// It ran.
    PostToolUse "tool" Effect::End(Part::Tool, End::Ok),
    /// It failed.
    PostToolUseFailure "tool" Effect::End(Part::Tool, End::Failed),
    /// The person is asked whether it may run.
    PermissionRequest "permission.requested" Effect::Log,
    /// It may not run. Ends the row of the call, and has one of its own.
    PermissionDenied "tool" Effect::End(Part::Tool, End::Denied),
    /// Another agent begins to work for this one.
    SubagentStart "subagent" Effect::Begin(Part::Subagent),
    /// It is done.
    SubagentStop "subagent" Effect::End(Part::Subagent, End::Ok),
    /// An entry of the agent's list was made.
    TaskCreated "todo" Effect::Begin(Part::Todo),
    /// It was ticked off.
    TaskCompleted "todo" Effect::End(Part::Todo, End::Ok),
    /// A compaction begins.
    PreCompact "compaction" Effect::Begin(Part::Compaction),
    /// It is done.
    PostCompact "compaction" Effect::End(Part::Compaction, End::Ok),
    /// An MCP server asks the person something.
    Elicitation "question" Effect::Begin(Part::Question),
    /// The answer. What the person declines or cancels is denied; see the record.
    ElicitationResult "question" Effect::End(Part::Question, End::Ok),
    /// The runtime tells the person something.
    Notification "notification" Effect::Log,
    /// The runtime was set up.
    Setup "context" Effect::Log,
    /// It read instructions.
    InstructionsLoaded "context" Effect::Log,
    /// A command of the person became a prompt.
    UserPromptExpansion "context" Effect::Log,
    /// Its settings changed.
    ConfigChange "context" Effect::Log,
    /// It works in another folder now.
    CwdChanged "context" Effect::Log,
    /// It may work in one more folder.
    DirectoryAdded "context" Effect::Log,
    /// A file it watches changed.
    FileChanged "context" Effect::Log,
    /// A worktree was removed.
    WorktreeRemove "context" Effect::Log,
    /// An agent of the same team has nothing to do.
    TeammateIdle "context" Effect::Log,
    /// Several tool calls ended; each was told on its own.
    PostToolBatch "tool" Effect::None,
    /// Something was drawn on the person's screen.
    MessageDisplay "log" Effect::None,
}
