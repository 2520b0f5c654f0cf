//! The coding agents that report to the server.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The coding agents that report to the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Agents {
    /// The agents, the last heard first; at most 100.
    pub items: Vec<Agent>,
}

/// A coding agent on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Agent {
    /// The runtime: `claude-code`, `codex` or another text.
    pub source: String,
    /// The name of the machine; `null` if it is not known.
    pub host: Option<String>,
    /// The version of the runtime; `null` if it is not known.
    pub version: Option<String>,
    /// The number of installed hooks; `null` if it is not known.
    pub hooks: Option<u64>,
    /// The minute of the last hook; `null` if no hook has arrived.
    pub heard_at: Option<Timestamp>,
    /// The number of sessions of the agent that run now.
    pub running: u64,
}
