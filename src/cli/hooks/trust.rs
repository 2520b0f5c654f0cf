//! The hooks that a person has trusted in Codex, which runs no other hooks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use requery::agent::runtime::AgentRuntime;

use super::super::agent_folder;
use super::edit::PlacedHook;

/// The events whose hooks in `file` the person has not trusted yet. Codex keeps the trust in `config.toml`, under a key
/// with the path of the file, the name of the event and the place of the hook. Whether a hook has changed since is
/// known to Codex alone: it compares a checksum of its own.
pub fn untrusted<'a>(agent: AgentRuntime, file: &Path, hooks: &'a [PlacedHook]) -> anyhow::Result<BTreeSet<&'a str>> {
    if agent != AgentRuntime::Codex {
        return Ok(BTreeSet::new());
    }
    let config = fs::read_to_string(agent_folder(agent)?.join("config.toml")).unwrap_or_default();
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let is_trusted = |PlacedHook { hook, group, number }: &PlacedHook| {
        let place = format!("{}:{group}:{number}\"", snake_case(&hook.event));
        [file, &real].iter().any(|path| config.contains(&format!("\"{}:{place}", path.display())))
    };
    Ok(hooks.iter().filter(|placed| !is_trusted(placed)).map(|placed| placed.hook.event.as_str()).collect())
}

fn snake_case(event: &str) -> String {
    let mut name = String::new();
    for c in event.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}
