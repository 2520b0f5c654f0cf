//! The hooks that an installed client knows.
//!
//! A client ignores a hook that it does not know, says so at its start, or ignores the whole file, by its version. So only
//! known hooks are registered, and a later version gets more with a new install.

use requery::agent::hook_catalogue::HookName;
use requery::agent::runtime::AgentRuntime;

/// A version of a client.
pub type ClientVersion = [u32; 3];

/// The hooks to register for a client of this version. Without a version they are the hooks of the newest client.
pub fn registered(agent: AgentRuntime, version: Option<ClientVersion>) -> Vec<HookName> {
    let is_before =
        |since: Option<ClientVersion>| version.is_some_and(|version| since.is_some_and(|since| version < since));
    let mut hooks = HookName::registered(agent, !is_before(agent.unknown_hooks_pass_since()));
    hooks.retain(|hook| !is_before(known_since(agent, *hook)));
    hooks
}

/// The first examined version that knows a hook. None: all examined versions know it. The versions 2.1.101, 2.1.112,
/// 2.1.193 and 2.1.332 of Claude Code and 0.169.0 of Codex were examined on 26 November 2026, by the lists of hooks in
/// their packages.
pub fn known_since(agent: AgentRuntime, hook: HookName) -> Option<ClientVersion> {
    match (agent, hook.as_str()) {
        (AgentRuntime::ClaudeCode, "UserPromptExpansion" | "PostToolBatch" | "MessageDisplay") => Some([2, 1, 193]),
        (AgentRuntime::ClaudeCode, "DirectoryAdded" | "PreModelSwitch" | "PostModelSwitch") => Some([2, 1, 332]),
        (AgentRuntime::ClaudeCode | AgentRuntime::Codex, _) => None,
    }
}
