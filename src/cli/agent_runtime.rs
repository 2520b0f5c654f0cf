//! The known agents as values of an argument.
//!
//! The library's enum knows nothing of the argument parser, so its names and its help come from here.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use requery::agent::runtime::AgentRuntime;

/// Takes the name of a known agent.
pub fn agent_runtime() -> impl TypedValueParser<Value = AgentRuntime> {
    let names = AgentRuntime::ALL.map(|runtime| PossibleValue::new(runtime.as_str()).help(runtime.product()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<AgentRuntime>())
}
