//! The last hook of each agent.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The last hook of each agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct HooksHeard {
    /// The agents that have sent hooks.
    pub agents: Vec<AgentHeard>,
}

/// The last hook of one agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct AgentHeard {
    /// The agent: `claude-code` or `codex`.
    pub agent: String,
    /// The time of its last hook: its arrival, or the time at which it ran if it was sent late.
    pub heard_at: Timestamp,
}
