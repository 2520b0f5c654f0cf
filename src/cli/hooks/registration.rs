//! Tells the server how an agent is installed on this machine, so that its list of agents is true.
//!
//! The settings file is changed by then, with or without the server, so a server that is away is no failure.

use std::time::Duration;

use requery::agent::hook_catalogue::ClientVersion;
use requery::agent::host;
use requery::agent::runtime::AgentRuntime;
use reqwest::Method;
use serde_json::json;

use super::super::api::Api;
use super::agent::{self, SettingsScope};
use super::status::find_ours;

/// How long to wait for the server: a person waits for the command.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Tells the server the version of an agent and the number of its installed hooks. Returns a sentence if the server
/// does not take it.
pub async fn tell(server: &str, agent: AgentRuntime, version: Option<ClientVersion>) -> Option<String> {
    let hooks = installed(agent);
    let version = version.map(|[major, minor, patch]| format!("{major}.{minor}.{patch}"));
    let installed = json!({"source": agent.as_str(), "host": host::name(), "version": version, "hooks": hooks});
    let call = async { Api::at(server).ok()?.call(Method::PUT, "api/v1/agents", &installed).await.ok() };
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(Some(_)) => None,
        Ok(None) | Err(_) => Some(format!(
            "the server at {server} was not told; while it runs, this command again updates its list of agents"
        )),
    }
}

/// The number of installed hooks. Of the two settings files that count here it is the larger number, because a hook in
/// both files is one hook. A file that cannot be read counts as one without hooks, as it does for the agent.
fn installed(agent: AgentRuntime) -> usize {
    let of = |scope| find_ours(&agent::settings(agent, scope).ok()?, agent).ok();
    let found = [SettingsScope::User, SettingsScope::Project].map(of);
    found.iter().flatten().map(Vec::len).max().unwrap_or_default()
}
