//! The memory of an agent, as it is stored with its task as JSON.

use serde::{Deserialize, Serialize};

use crate::agent::hook_catalogue::PairedRow;
use crate::agent::session_file::ClientWord;
use crate::protocol::model::TaskStatus;
use crate::server::agents::hooks::record::HookRecord;

/// The memory of an agent between two of its records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentMemory {
    pub(super) base: BaseStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) blocks: Vec<Block>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) open: Vec<OpenRow>,
    #[serde(default)]
    pub(super) run: Option<AgentRun>,
    /// The runtime's id of the turn that runs. A further prompt with this id waits in the queue of the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) turn: Option<String>,
    /// The fingerprints of the prompts that the client will submit by itself, as the last end of a turn listed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) scheduled: Vec<u64>,
    /// The error of the last failed turn, in the runtime's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// The text of the last turn that ended or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_text: Option<String>,
    /// Whether the server declared the agent lost, because it sent no hook for too long. `base` keeps its value: the
    /// task continues from it when the next hook arrives.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) lost: bool,
    /// The word of the client, if the client says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) word: Option<HeardWord>,
    /// The time of the last hook that decided the status.
    #[serde(default)]
    pub(super) told_at: i64,
    /// The time since when the status of the hooks is held back, because the client says another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held_since: Option<i64>,
    /// The base before the client said that it works, where no hook had said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) woken_from: Option<BaseStatus>,
    /// Whether the last turn ended with a hook. Work that goes on after it is work in the background.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) turn_ended: bool,
    /// The source of the task's title.
    #[serde(default)]
    pub titled: TitleOrigin,
    /// The last name of the session. A record that repeats it does not change the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// The memory of an import that took the session from a transcript. The first hook that ran later than the
    /// transcript clears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<serde_json::Value>,
}

/// The state of the main thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BaseStatus {
    Running,
    Ready,
    Idle,
    Finished,
    /// A person stopped the turn.
    Interrupted,
    /// The turn ended, and the client will submit a prompt by itself.
    Scheduled,
    /// The client shortens its context at the request of a person, outside of a turn.
    Compacting,
    Completed,
    Errored,
}

/// A request that a person has to answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Block {
    /// The subagent that asks. None: the main thread asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<String>,
    pub(super) on: BlockCause,
    /// The question, or the command that needs permission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// The time of the request. 0: the time of the hook that is being taken.
    #[serde(default)]
    pub(super) since: i64,
    /// The beginning of the command that needs permission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BlockCause {
    /// The call with this fingerprint needs permission.
    Approval(u64),
    /// The call with this key is itself a question to the person.
    Answer(String),
    /// The permission of a question, whose own call was not reported. The number is the fingerprint of the call.
    AnswerOfCall(u64),
    /// An MCP server asks; the text is the key of the question's row.
    Elicitation(String),
    /// A notification asked for a permission or an answer. It names no call, so it may concern any call that was open
    /// then. The first of these calls to end lifts the block.
    Notice { permission: bool, open: Vec<String> },
}

/// A row that began and has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenRow {
    pub(super) key: String,
    pub(super) event: String,
    pub(super) part: PairedRow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<String>,
    /// The fingerprint of a tool call, which a permission request for the call has too. For other rows 0.
    #[serde(default)]
    pub(super) call: u64,
    /// The agent that works in the background, beyond the turn of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) background: Option<BackgroundAgent>,
    /// Whether the thread asked its model again after this call began, so that the call has ended without a hook.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_ended: bool,
}

/// An agent in the background.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BackgroundAgent {
    /// The id of the agent. Empty if the runtime named none.
    pub(super) id: String,
    /// Whether the agent stopped. The client can still wake it, until the client tells that its work has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_stopped: bool,
}

/// A word of the client, as it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeardWord {
    pub(super) said: ClientWord,
    /// Whether a newer hook counts instead of the word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_contradicted: bool,
}

/// The newest run of the client. It may have ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AgentRun {
    pub(super) session: String,
    /// Whether a `SessionStart` was seen for this run. Otherwise another record began it.
    pub(super) started: bool,
    pub(super) ended: bool,
    /// Whether the run ended because the server declared the agent lost. Otherwise the client ended it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) lost: bool,
}

/// The source of a title. A later variant is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TitleOrigin {
    /// The name of the folder.
    #[default]
    Folder,
    /// The first prompt of the person.
    Prompt,
    /// The name of the session.
    Session,
}

impl AgentMemory {
    /// The memory before the effects of the agent's first record.
    pub fn new(first: &HookRecord) -> Self {
        let base = if first.is_work() { BaseStatus::Running } else { BaseStatus::Ready };
        Self::at(base, TitleOrigin::default())
    }

    /// A memory rebuilt from the status of the task, because the stored memory is missing or unreadable. The
    /// title counts as the name of the session, so that no prompt replaces it.
    pub fn recalled(status: TaskStatus) -> Self {
        let base = match status {
            TaskStatus::Running => BaseStatus::Running,
            TaskStatus::Waiting => BaseStatus::Idle,
            TaskStatus::Completed => BaseStatus::Completed,
            TaskStatus::Errored => BaseStatus::Errored,
        };
        Self::at(base, TitleOrigin::Session)
    }

    /// The memory of an agent after its session was imported from a transcript.
    pub fn ended(titled: TitleOrigin, named: Option<String>) -> Self {
        Self { named, ..Self::at(BaseStatus::Completed, titled) }
    }

    fn at(base: BaseStatus, titled: TitleOrigin) -> Self {
        Self {
            base,
            blocks: Vec::new(),
            open: Vec::new(),
            run: None,
            turn: None,
            scheduled: Vec::new(),
            error: None,
            last_text: None,
            lost: false,
            word: None,
            told_at: 0,
            held_since: None,
            woken_from: None,
            turn_ended: false,
            titled,
            named: None,
            imported: None,
        }
    }
}

impl BlockCause {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            BlockCause::Approval(_) | BlockCause::Notice { permission: true, .. } => "permission",
            BlockCause::Answer(_)
            | BlockCause::AnswerOfCall(_)
            | BlockCause::Elicitation(_)
            | BlockCause::Notice { permission: false, .. } => "question",
        }
    }
}
