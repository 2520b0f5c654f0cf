//! `requery hooks status`: whether what an agent does arrives, and if not, where it stops.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use requery::agent::runtime::AgentRuntime;
use requery::agent::spool::Spool;
use requery::protocol::model::HooksHeard;
use reqwest::Method;
use serde_json::Value;

use super::super::agent_runtime::agent_runtime;
use super::super::api::Api;
use super::super::forward::Server;
use super::agent::{self, Scope};
use super::command::{self, Installed};
use super::edit;
use super::json::Node;
use super::settings::Settings;

/// How long the server may take: a person waits for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whose hooks.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Agent whose hooks they are [default: all]
    #[arg(long, value_parser = agent_runtime())]
    agent: Option<AgentRuntime>,
    /// Only the person's settings.
    #[arg(long, conflicts_with = "project")]
    user: bool,
    /// Only the settings of the project in the current folder.
    #[arg(long)]
    project: bool,
    /// Server to ask [default: the one the hooks send to]
    #[arg(long, env = "REQUERY_SERVER")]
    server: Option<String>,
    /// Folder for what could not be delivered [default: requery/spool in your state folder]
    #[arg(long, env = "REQUERY_SPOOL")]
    spool: Option<PathBuf>,
}

/// Says it.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let agents = args.agent.map_or_else(|| AgentRuntime::ALL.to_vec(), |agent| vec![agent]);
    let mut servers = BTreeSet::new();
    for agent in &agents {
        say!("{agent}");
        for (scope, name, left_out) in [(Scope::User, "user", args.project), (Scope::Project, "project", args.user)] {
            if left_out {
                continue;
            }
            let path = agent::settings(*agent, scope)?;
            let (told, installed) = match installed(&path, *agent) {
                Ok(found) => found,
                Err(error) => (format!("{error:#}"), Vec::new()),
            };
            say!("  {name:<13} {told}");
            for hook in installed {
                if !Path::new(&hook.program).is_file() {
                    say!("  {:<13} {} is gone: install again", "", hook.program);
                }
                servers.extend(hook.server.or_else(|| Some(super::super::DEFAULT_SERVER.to_owned())));
            }
        }
    }
    if let Some(server) = args.server {
        servers = BTreeSet::from([server]);
    } else if servers.is_empty() {
        servers.insert(super::super::DEFAULT_SERVER.to_owned());
    }
    let base = args.spool.map_or_else(super::super::spool, Ok)?;
    for server in servers {
        say!("server {server}");
        tell_server(&server, &agents).await?;
        let spool = Server::parse(&server).map(|server| Spool::of(&base, &server.host, server.port));
        say!("  {:<13} {}", "spooled", spool.map_or_else(|error| error.to_string(), |spool| waiting(&spool)));
    }
    Ok(())
}

/// What is in a file: in words, and each command once.
fn installed(path: &Path, agent: AgentRuntime) -> anyhow::Result<(String, Vec<Installed>)> {
    let settings = Settings::read(path)?;
    let ours = |command: &str| command::read(command, agent).is_some();
    let found = edit::find(settings.text(), ours).map_err(|flaw| settings.flaw(&flaw))?;
    let path = path.display();
    if found.is_empty() {
        return Ok((format!("not installed ({path})"), Vec::new()));
    }
    let off = Node::parse(settings.text()).ok().is_some_and(|root| {
        let node = root.get("disableAllHooks");
        node.is_some_and(|node| &settings.text()[node.start..node.end] == "true")
    });
    let off = if off { ", but disableAllHooks is set" } else { "" };
    let commands: BTreeSet<&str> = found.iter().map(|hook| hook.command.as_str()).collect();
    let installed = commands.into_iter().filter_map(|command| command::read(command, agent)).collect();
    Ok((format!("{} hooks in {path}{off}", found.len()), installed))
}

async fn tell_server(server: &str, agents: &[AgentRuntime]) -> anyhow::Result<()> {
    let api = match Api::at(server) {
        Ok(api) => api,
        Err(error) => {
            say!("  {:<13} {error:#}", "answers");
            return Ok(());
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard(&api, agents)).await;
    match heard {
        Err(_) => say!("  {:<13} no, not within {} s", "answers", PATIENCE.as_secs()),
        Ok(Err(error)) => say!("  {:<13} no: {error}", "answers"),
        Ok(Ok(heard)) => {
            say!("  {:<13} yes", "answers");
            for (agent, at) in agents.iter().zip(heard) {
                say!("  {:<13} {agent}: {}", "last heard", at.as_deref().map_or("never".to_owned(), ago));
            }
        }
    }
    Ok(())
}

/// When each agent was last heard of.
async fn heard(api: &Api, agents: &[AgentRuntime]) -> Result<Vec<Option<String>>, super::super::api::CallError> {
    let answer = api.call(Method::GET, "api/v1/hooks", &Value::Null).await?;
    // A server whose answer is of another form has not heard of any.
    let heard = serde_json::from_value(answer).map_or_else(|_| Vec::new(), |HooksHeard { agents }| agents);
    let at =
        |agent: &AgentRuntime| heard.iter().find(|one| one.agent == agent.as_str()).map(|one| one.heard_at.to_string());
    Ok(agents.iter().map(at).collect())
}

fn ago(at: &str) -> String {
    let Ok(time) = chrono::DateTime::parse_from_rfc3339(at) else { return at.to_owned() };
    let seconds = (chrono::Utc::now() - time.to_utc()).num_seconds().max(0);
    format!("{} ago ({at})", humantime::format_duration(Duration::from_secs(seconds.unsigned_abs())))
}

fn waiting(spool: &Spool) -> String {
    let tally = match spool.tally(Instant::now() + PATIENCE) {
        Ok(tally) => tally,
        Err(error) => return format!("could not use {}: {error}", spool.folder().display()),
    };
    let mut told = match tally.waiting {
        0 => "nothing".to_owned(),
        1 => "1 record waits".to_owned(),
        many => format!("{many} records wait"),
    };
    if tally.waiting > 0 {
        told += &format!(" ({} KiB in {})", tally.bytes.div_ceil(1024), spool.folder().display());
    }
    if tally.dropped > 0 {
        told += &format!("; {} were dropped because too many waited", tally.dropped);
    }
    if tally.aside > 0 {
        told += &format!("; {} that nobody can read are in {}", tally.aside, spool.folder().join("aside").display());
    }
    told
}
