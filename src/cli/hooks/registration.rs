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

/// How long to wait for the server: a person waits for the command.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Tells the server the version of an agent and the number of its installed hooks. Returns a sentence if the server does
/// not take it.
pub async fn tell(server: &str, agent: AgentRuntime, version: Option<ClientVersion>, hooks: usize) -> Option<String> {
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
