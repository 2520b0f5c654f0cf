//! The known agents as values of a command-line argument.
//!
//! The library does not depend on the argument parser, so the parser for its enum is here.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use requery::agent::runtime::AgentRuntime;

/// Parses the name of a known agent.
pub fn agent_runtime() -> impl TypedValueParser<Value = AgentRuntime> {
    let names = AgentRuntime::ALL.map(|runtime| PossibleValue::new(runtime.as_str()).help(runtime.product()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<AgentRuntime>())
}
