//! The last report of each agent.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// When agents were heard of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct HooksHeard {
    /// The agents whose hooks ever came.
    pub agents: Vec<AgentHeard>,
}

/// When one was heard of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct AgentHeard {
    /// The agent: `claude-code` or `codex`.
    pub agent: String,
    /// When its last hook came, or happened if it came late.
    pub heard_at: Timestamp,
}
