//! `requery hooks status`: shows whether the records of an agent arrive, and if not, at which step they stop.

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
use super::super::counted::{counted, number};
use super::super::forward::ServerAddress;
use super::agent::{self, SettingsScope};
use super::command::{self, InstalledCommand};
use super::edit;
use super::json::JsonNode;
use super::settings::SettingsFile;

/// The timeout for the server's answer. It is short because a person waits for it.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

/// The agents, the settings and the server to report on.
#[derive(clap::Args, Debug)]
pub struct HooksStatusArgs {
    /// Agent to report on [default: all agents]
    #[arg(long, value_parser = agent_runtime())]
    agent: Option<AgentRuntime>,
    /// Report only on your own settings.
    #[arg(long, conflicts_with = "project")]
    user: bool,
    /// Report only on the settings of the project in the current folder.
    #[arg(long)]
    project: bool,
    /// Server to ask [default: the server that the hooks send to]
    #[arg(long, env = "REQUERY_SERVER")]
    server: Option<String>,
    /// Folder for records that could not be delivered [default: requery/spool in your state folder]
    #[arg(long, env = "REQUERY_SPOOL", value_parser = crate::cli::serve::folder)]
    spool: Option<PathBuf>,
}

/// Prints the status.
pub async fn run(args: HooksStatusArgs) -> anyhow::Result<()> {
    let agents = args.agent.map_or_else(|| AgentRuntime::ALL.to_vec(), |agent| vec![agent]);
    let mut servers = BTreeSet::new();
    for agent in &agents {
        say!("{agent}");
        for (scope, name, left_out) in
            [(SettingsScope::User, "user", args.project), (SettingsScope::Project, "project", args.user)]
        {
            if left_out {
                continue;
            }
            let path = agent::settings(*agent, scope)?;
            let (summary, installed) = match installed(&path, *agent) {
                Ok(found) => found,
                Err(error) => (format!("{error:#}"), Vec::new()),
            };
            say!("  {name:<13} {summary}");
            for hook in installed {
                if !Path::new(&hook.program).is_file() {
                    say!("  {:<13} {} does not exist: install the hooks again", "", hook.program);
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
        print_server(&server, &agents).await?;
        let spool = ServerAddress::parse(&server).map(|server| Spool::of(&base, &server.host, server.port));
        say!("  {:<13} {}", "spooled", spool.map_or_else(|error| error.to_string(), |spool| waiting(&spool)));
    }
    Ok(())
}

/// Our hooks in a settings file: a summary in words, and each different command once.
fn installed(path: &Path, agent: AgentRuntime) -> anyhow::Result<(String, Vec<InstalledCommand>)> {
    let settings = SettingsFile::read(path)?;
    let ours = |command: &str| command::read(command, agent).is_some();
    let found = edit::find(settings.text(), ours).map_err(|flaw| settings.flaw(&flaw))?;
    let path = path.display();
    if found.is_empty() {
        let way = format!("`requery hooks install --agent {agent}` installs hooks");
        return Ok((format!("not installed ({path}); {way}"), Vec::new()));
    }
    let off = JsonNode::parse(settings.text()).ok().and_then(|root| root.get("disableAllHooks"));
    let off = off.is_some_and(|node| node.source == "true");
    let ignored = edit::check_read_by_agent(settings.text(), agent).err();
    let off = match ignored {
        Some(flaw) => format!(", but {}", flaw.reason),
        None if off => ", but disableAllHooks is set".to_owned(),
        None => String::new(),
    };
    let commands: BTreeSet<&str> = found.iter().map(|hook| hook.command.as_str()).collect();
    let installed = commands.into_iter().filter_map(|command| command::read(command, agent)).collect();
    Ok((format!("{} in {path}{off}", counted(found.len() as u64, "hook")), installed))
}

async fn print_server(server: &str, agents: &[AgentRuntime]) -> anyhow::Result<()> {
    let api = match Api::at(server) {
        Ok(api) => api,
        Err(error) => {
            say!("  {:<13} {error:#}", "answers");
            return Ok(());
        }
    };
    let heard = tokio::time::timeout(STATUS_TIMEOUT, last_heard(&api, agents)).await;
    match heard {
        Err(_) => say!("  {:<13} no, not within {} s", "answers", STATUS_TIMEOUT.as_secs()),
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

/// The time of each agent's last record.
async fn last_heard(api: &Api, agents: &[AgentRuntime]) -> Result<Vec<Option<String>>, super::super::api::CallError> {
    let answer = api.call(Method::GET, "api/v1/hooks", &Value::Null).await?;
    // A server whose answer has another form counts as one without records.
    let heard = serde_json::from_value(answer).map_or_else(|_| Vec::new(), |HooksHeard { agents, .. }| agents);
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
    let tally = match spool.tally(Instant::now() + STATUS_TIMEOUT) {
        Ok(tally) => tally,
        Err(error) => return format!("could not use {}: {error}", spool.folder().display()),
    };
    let mut text = match tally.waiting {
        0 => "no records wait".to_owned(),
        1 => "1 record waits".to_owned(),
        many => format!("{many} records wait"),
    };
    if tally.waiting > 0 {
        text += &format!(" ({} KiB in {})", tally.bytes.div_ceil(1024), spool.folder().display());
    }
    if tally.dropped > 0 {
        let was = if tally.dropped == 1 { "was" } else { "were" };
        text += &format!("; {} {was} dropped because the spool was full", number(tally.dropped));
    }
    if tally.aside > 0 {
        let aside = spool.folder().join("aside");
        let was = if tally.aside == 1 { "was" } else { "were" };
        let records = counted(tally.aside, "unreadable or rejected record");
        text += &format!("; {records} {was} moved to {}", aside.display());
    }
    if tally.unread > 0 {
        let was = if tally.unread == 1 { "was" } else { "were" };
        text += &format!("; {} {was} lost: too long, too late, or too many at once", counted(tally.unread, "input"));
    }
    text
}
