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
    /// The agent: `claude-code`, `codex` or another text.
    pub agent: String,
    /// The minute of its last hook: of its arrival, or of the time at which it ran if it was sent late.
    pub heard_at: Timestamp,
}
