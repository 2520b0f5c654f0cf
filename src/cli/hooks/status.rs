//! `requery hooks status`: shows whether the records of an agent arrive, and if not, at which step they stop.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use requery::agent::hook_catalogue::{ClientVersion, EVERY_VERSION, HookName, Registration};
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
use super::edit::{self, PlacedHook};
use super::settings::SettingsFile;
use super::switches;
use super::trust;

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
    let base = args.spool.clone().map_or_else(super::super::spool, Ok)?;
    // Each server with the spools that its hooks use.
    let mut servers: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for agent in &agents {
        say!("{agent}");
        let commands = print_agent(*agent, &args)?;
        for InstalledCommand { server, spool, .. } in commands {
            let spools = servers.entry(server.unwrap_or_else(|| super::super::DEFAULT_SERVER.to_owned())).or_default();
            spools.insert(spool.map_or_else(|| base.clone(), PathBuf::from));
        }
    }
    if let Some(server) = args.server {
        servers.retain(|installed, _| *installed == server);
        servers.entry(server).or_insert_with(|| BTreeSet::from([base.clone()]));
    } else if servers.is_empty() {
        servers.insert(super::super::DEFAULT_SERVER.to_owned(), BTreeSet::from([base.clone()]));
    }
    for (server, mut spools) in servers {
        say!("server {server}");
        print_server(&server, &agents).await?;
        if args.spool.is_some() {
            spools.insert(base.clone());
        }
        for spool in spools {
            let spool = ServerAddress::parse(&server).map(|server| Spool::of(&spool, &server.host, server.port));
            say!("  {:<13} {}", "spooled", spool.map_or_else(|error| error.to_string(), |spool| waiting(&spool)));
        }
    }
    Ok(())
}

/// Prints the hooks of an agent and the reasons why some of them do not run. Returns each different command once.
fn print_agent(agent: AgentRuntime, args: &HooksStatusArgs) -> anyhow::Result<Vec<InstalledCommand>> {
    let version = agent::version(agent);
    let off = switches::switched_off(agent)?;
    let (mut of_scopes, mut all) = (Vec::new(), Vec::new());
    for (scope, name, left_out) in
        [(SettingsScope::User, "user", args.project), (SettingsScope::Project, "project", args.user)]
    {
        let path = agent::settings(agent, scope)?;
        let is_same_file = scope == SettingsScope::Project && path == agent::settings(agent, SettingsScope::User)?;
        let found = if is_same_file { Ok(Vec::new()) } else { find_ours(&path, agent) };
        of_scopes.push(found.as_ref().map(|found| commands_of(found)).unwrap_or_default());
        if left_out {
            continue;
        }
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                say!("  {name:<13} {error:#}");
                continue;
            }
        };
        if found.is_empty() {
            let way = format!("`requery hooks install --agent {agent}` installs hooks");
            say!("  {name:<13} not installed ({}; {way})", path.display());
            continue;
        }
        let ignored = SettingsFile::read(&path)?;
        let ignored = edit::check_read_by_agent(ignored.text(), agent).err().map(|flaw| flaw.reason);
        let but = ignored.or_else(|| off.clone()).map_or_else(String::new, |reason| format!(", but {reason}"));
        say!("  {name:<13} {} in {}{but}", counted(found.len() as u64, "hook"), path.display());
        for note in notes(agent, &path, &found, version)? {
            say!("  {:<13} {note}", "");
        }
        all.extend(commands_of(&found).into_iter().filter_map(|command| command::read(&command, agent)));
    }
    if let [user, project] = of_scopes.as_slice()
        && !user.is_empty()
        && !project.is_empty()
    {
        // Claude Code runs a command once, in however many files it stands.
        if user != project || agent == AgentRuntime::Codex {
            let way = format!("`requery hooks uninstall --agent {agent} --project` removes one of the two");
            say!("  {:<13} {agent} runs the hooks of both files, so each row is there twice; {way}", "twice");
        }
    }
    Ok(all)
}

/// Our hooks in a settings file.
pub fn find_ours(path: &Path, agent: AgentRuntime) -> anyhow::Result<Vec<PlacedHook>> {
    let settings = SettingsFile::read(path)?;
    let ours = |command: &str| command::read(command, agent).is_some();
    edit::find(settings.text(), ours).map_err(|flaw| settings.flaw(&flaw))
}

fn commands_of(found: &[PlacedHook]) -> BTreeSet<String> {
    found.iter().map(|placed| placed.hook.command.clone()).collect()
}

/// The faults of the hooks in one file, each with the way on.
fn notes(
    agent: AgentRuntime,
    path: &Path,
    found: &[PlacedHook],
    version: Option<ClientVersion>,
) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    let again = format!("`requery hooks install --agent {agent}` installs them again");
    for command in commands_of(found).iter().filter_map(|command| command::read(command, agent)) {
        if !Path::new(&command.program).is_file() {
            notes.push(format!("{} does not exist, so no hook runs; {again}", command.program));
        }
    }
    let known = HookName::registered(agent, version);
    let installed: Vec<&str> = found.iter().map(|placed| placed.hook.event.as_str()).collect();
    let missing: Vec<String> = known
        .iter()
        .filter(|hook| !installed.contains(&hook.as_str()))
        .map(|hook| match hook.registration(agent) {
            Registration::Since(since @ [major, minor, patch]) if since != EVERY_VERSION => {
                format!("{hook} (since {major}.{minor}.{patch})", hook = hook.as_str())
            }
            _ => hook.as_str().to_owned(),
        })
        .collect();
    if !missing.is_empty() {
        notes.push(format!("missing: {}; {again}", missing.join(", ")));
    }
    let unknown: Vec<&str> =
        installed.iter().copied().filter(|event| !known.iter().any(|hook| hook.as_str() == *event)).collect();
    if let Some([major, minor, patch]) = version
        && !unknown.is_empty()
    {
        let (product, names) = (agent.product(), unknown.join(", "));
        notes.push(format!("{product} {major}.{minor}.{patch} does not know {names}, or they are not needed; {again}"));
    }
    let events: BTreeSet<&str> = installed.iter().copied().collect();
    let twice: Vec<&str> =
        events.iter().copied().filter(|event| installed.iter().filter(|other| *other == event).count() > 1).collect();
    if !twice.is_empty() {
        notes.push(format!("twice in this file: {}; {again}", twice.join(", ")));
    }
    let untrusted = trust::untrusted(agent, path, found)?;
    if !untrusted.is_empty() {
        let (some, product) = (Vec::from_iter(untrusted.iter().copied()).join(", "), agent.product());
        let names = if untrusted.len() == events.len() { "all of them" } else { some.as_str() };
        notes
            .push(format!("not trusted: {names}; {product} runs them after you trust them: enter /hooks in {product}"));
    }
    Ok(notes)
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

/// The minute of each agent's last record.
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
    // The server tells the minute of the record.
    match (chrono::Utc::now() - time.to_utc()).num_minutes().max(0) {
        0 => "less than a minute ago".to_owned(),
        minutes => {
            format!("{} ago ({at})", humantime::format_duration(Duration::from_secs(minutes.unsigned_abs() * 60)))
        }
    }
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
