//! The hooks that a person has trusted in Codex, which runs no other hooks.

use std::fs;
use std::path::Path;

use requery::agent::runtime::AgentRuntime;

use super::super::agent_folder;

/// The events whose hooks in `file` the person has not trusted yet. Codex keeps the trust in `config.toml`, under a key
/// with the path of the file and the name of the event. Whether a hook has changed since is known to Codex alone: it
/// compares a checksum of its own.
pub fn untrusted<'a>(agent: AgentRuntime, file: &Path, events: &[&'a str]) -> anyhow::Result<Vec<&'a str>> {
    if agent != AgentRuntime::Codex {
        return Ok(Vec::new());
    }
    let config = fs::read_to_string(agent_folder(agent)?.join("config.toml")).unwrap_or_default();
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let is_trusted = |event: &str| {
        [file, &real].iter().any(|path| config.contains(&format!("{}:{}:", path.display(), snake_case(event))))
    };
    Ok(events.iter().copied().filter(|event| !is_trusted(event)).collect())
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
