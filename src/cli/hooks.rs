//! `requery hooks`: adds our hooks to an agent's settings and removes them again.
//!
//! The settings file belongs to its user. The user's text stays as it is, byte for byte. A file that is not JSON is not
//! touched. A backup exists before the first change, and a change replaces the whole file or does not happen. Our hooks
//! are recognised by their command, `requery hook`, so an uninstall needs no record of the install.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use requery::agent::runtime::AgentRuntime;

use super::agent_runtime::agent_runtime;
use super::counted::counted;
use super::forward::ServerAddress;

/// Prints a line. A reader that closed the output early is no failure.
macro_rules! say {
    ($($text:tt)*) => {
        crate::cli::print(&format!("{}\n", format_args!($($text)*)))?
    };
}

pub mod agent;
mod command;
mod diff;
mod edit;
mod exclude;
mod json;
mod registration;
mod settings;
mod status;
mod switches;
mod trust;

use agent::SettingsScope;
use edit::{HookCommand, KeptContainers};
use settings::{SettingsBackups, SettingsFile};

/// How long a hook may take before its agent goes on without it, in seconds: ten times the forwarder's own deadline,
/// and the time that Codex allows for the end of a session.
const HOOK_TIMEOUT_SECONDS: u32 = 3;
/// How often a change is tried again while another program writes the same file.
const MAX_WRITE_ATTEMPTS: usize = 5;

/// The action on the hooks of an agent.
#[derive(clap::Args, Debug)]
pub struct HooksArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Add the hooks to an agent's settings, or bring the installed hooks up to date.
    Install(Install),
    /// Remove the hooks from an agent's settings, and keep the rest of the file unchanged.
    Uninstall(Uninstall),
    /// Show the installed hooks, whether the server answers, when each agent last reported, and the records that wait.
    Status(status::HooksStatusArgs),
}

#[derive(clap::Args, Debug)]
struct SettingsChoice {
    /// Agent whose settings to change.
    #[arg(long, value_parser = agent_runtime())]
    agent: AgentRuntime,
    /// Change your own settings, which apply to all projects; this is the default.
    #[arg(long, conflicts_with = "project")]
    user: bool,
    /// Change the settings of the project in the current folder, in the file that is not shared if the agent has one.
    #[arg(long)]
    project: bool,
    /// Print the changes without making them.
    #[arg(long)]
    dry_run: bool,
}

impl SettingsChoice {
    fn scope(&self) -> SettingsScope {
        if self.project { SettingsScope::Project } else { SettingsScope::User }
    }
}

#[derive(clap::Args, Debug)]
struct Install {
    #[command(flatten)]
    choice: SettingsChoice,
    /// Server that the hooks send to.
    #[arg(long, env = "REQUERY_SERVER", default_value = super::DEFAULT_SERVER)]
    server: String,
    /// Folder for records that could not be delivered [default: requery/spool in your state folder]
    #[arg(long)]
    spool: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct Uninstall {
    #[command(flatten)]
    choice: SettingsChoice,
}

/// Runs the chosen action.
pub async fn run(args: HooksArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Install(args) => install(&args).await?,
        Action::Uninstall(args) => uninstall(&args.choice).await?,
        Action::Status(args) => status::run(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn install(args: &Install) -> anyhow::Result<()> {
    let SettingsChoice { agent, dry_run, .. } = args.choice;
    let scope = args.choice.scope();
    let path = agent::settings(agent, scope)?;
    let backups = SettingsBackups::of(&path, elsewhere(scope)?.as_deref())?;
    let version = agent::version(agent);
    let (events, note) = agent::events(agent, version);
    let command = command_of(agent, args)?;
    let wanted: Vec<HookCommand> = events
        .into_iter()
        .map(|hook| HookCommand {
            event: hook.as_str().to_owned(),
            command: command.clone(),
            timeout: HOOK_TIMEOUT_SECONDS,
        })
        .collect();
    let ours = |command: &str| command::read(command, agent).is_some();
    let done = change(&path, dry_run, Some(&backups), |before| {
        let text = before.text();
        let mut found: Vec<_> = edit::find(text, ours)?.into_iter().map(|placed| placed.hook).collect();
        edit::check_read_by_agent(text, agent)?;
        let order = |hook: &HookCommand| wanted.iter().position(|wanted| wanted.event == hook.event);
        found.sort_by_key(order);
        if found == wanted {
            return Ok(None);
        }
        // A container that only held our hooks goes with them; the user's containers stay, empty or not.
        let others = edit::remove(text, ours, &KeptContainers::default())?;
        edit::add(if found.is_empty() { text } else { &others }, &wanted).map(|text| Some(Change::Text(text)))
    })?;
    let (count, path) = (wanted.len(), path.display());
    match done {
        ChangeOutcome::Nothing => say!("the hooks for {agent} are already installed in {path}"),
        ChangeOutcome::Shown => {}
        ChangeOutcome::Changed { backup } => {
            say!("installed {} for {agent} in {path}", counted(count as u64, "hook"));
            if let Some(backup) = backup {
                say!("  backup                {}", backup.display());
            }
            say!("  command               {command}");
            if scope == SettingsScope::Project
                && let Some(exclude) = exclude::keep_out_of_git(&agent::settings(agent, scope)?)?
            {
                say!("  kept out of git       by a line in {exclude}");
            }
            for line in agent::advice(agent, scope, &agent::settings(agent, scope)?).into_iter().chain(note) {
                say!("  {line}");
            }
        }
    }
    if !dry_run && let Some(untold) = registration::tell(&args.server, agent, version).await {
        say!("  {untold}");
    }
    Ok(())
}

async fn uninstall(choice: &SettingsChoice) -> anyhow::Result<()> {
    let (agent, scope) = (choice.agent, choice.scope());
    let path = agent::settings(agent, scope)?;
    let ours = |command: &str| command::read(command, agent).is_some();
    let without_ours = |text: &str| edit::find(text, ours).is_ok_and(|found| found.is_empty());
    let backup = SettingsBackups::of(&path, elsewhere(scope)?.as_deref())?.newest(without_ours);
    let original = backup.as_ref().map(|(_, text)| text.as_str());
    let mut restored = false;
    let mut server = None;
    let done = change(&path, choice.dry_run, None, |before| {
        let text = before.text();
        let found: Vec<_> = edit::find(text, ours)?.into_iter().map(|placed| placed.hook).collect();
        if found.is_empty() {
            return Ok(None);
        }
        server = found.iter().find_map(|hook| command::read(&hook.command, agent)?.server);
        // The file is exactly as our install left it, so the text of the backup can be restored.
        if let Some(original) = original
            && edit::add(original, &found).as_deref() == Ok(text)
        {
            restored = true;
            return Ok(Some(Change::Text(original.to_owned())));
        }
        if edit::add("", &found).as_deref() == Ok(text) {
            return Ok(Some(Change::Gone));
        }
        let rest = edit::remove(text, ours, &original.map(KeptContainers::of).unwrap_or_default())?;
        restored = original == Some(rest.as_str());
        // If there is no backup, our install created the file.
        let made_for_ours = original.is_none() && edit::is_empty(&rest);
        Ok(Some(if made_for_ours { Change::Gone } else { Change::Text(rest) }))
    })?;
    match done {
        ChangeOutcome::Nothing => say!("no hooks of requery for {agent} are installed in {}", path.display()),
        ChangeOutcome::Shown => {}
        ChangeOutcome::Changed { .. } => {
            say!("removed the hooks for {agent} from {}", path.display());
            if let Some((backup, _)) = backup.filter(|_| restored) {
                // The file has the text of the backup again, so the backup is no longer needed.
                let _ = std::fs::remove_file(backup);
            }
            if scope == SettingsScope::Project
                && let Some(folder) = path.parent()
            {
                // Only an empty folder can be removed, and an empty one was made for the file.
                let _ = std::fs::remove_dir(folder);
            }
            let server = server.as_deref().unwrap_or(super::DEFAULT_SERVER);
            if let Some(untold) = registration::tell(server, agent, agent::version(agent)).await {
                say!("  {untold}");
            }
        }
    }
    Ok(())
}

/// The new state of a file.
enum Change {
    Text(String),
    Gone,
}

/// The result of a change.
enum ChangeOutcome {
    Nothing,
    Shown,
    Changed { backup: Option<PathBuf> },
}

/// Reads a file, changes its text and replaces it. Starts again if another program has written the file meanwhile.
fn change(
    path: &Path,
    dry_run: bool,
    backups: Option<&SettingsBackups>,
    mut new: impl FnMut(&SettingsFile) -> Result<Option<Change>, json::SettingsFlaw>,
) -> anyhow::Result<ChangeOutcome> {
    for _ in 0..MAX_WRITE_ATTEMPTS {
        let settings = SettingsFile::read(path)?;
        let changed =
            new(&settings).map_err(|flaw| anyhow::anyhow!("{}; nothing was changed", settings.flaw(&flaw)))?;
        let Some(change) = changed else { return Ok(ChangeOutcome::Nothing) };
        let text = match &change {
            Change::Text(text) => Some(text.as_str()),
            Change::Gone => None,
        };
        if dry_run {
            let name = path.display();
            let of = |there| if there { name.to_string() } else { "/dev/null".to_owned() };
            say!("--- {}\n+++ {}", of(settings.is_there()), of(text.is_some()));
            super::print(&diff::unified(settings.text(), text.unwrap_or_default()))?;
            return Ok(ChangeOutcome::Shown);
        }
        settings.check_writable()?;
        let backup = match backups {
            Some(backups) => settings.back_up(backups)?,
            None => None,
        };
        if settings.replace(text)? {
            return Ok(ChangeOutcome::Changed { backup });
        }
    }
    anyhow::bail!("{}: another program writes this file all the time; nothing was changed", path.display())
}

/// The folder of backups that do not lie beside their file: a project's folder is shared, and its settings may hold
/// secrets.
fn elsewhere(scope: SettingsScope) -> anyhow::Result<Option<PathBuf>> {
    match scope {
        SettingsScope::User => Ok(None),
        SettingsScope::Project => Ok(Some(super::state_folder()?.join("backups"))),
    }
}

fn command_of(agent: AgentRuntime, args: &Install) -> anyhow::Result<String> {
    ServerAddress::parse(&args.server)?;
    let program = std::env::current_exe().context("could not find the path of this program")?;
    let spool = match &args.spool {
        Some(spool) => Some(std::path::absolute(spool).with_context(|| format!("--spool {}", spool.display()))?),
        None => None,
    };
    let mut options = Vec::new();
    if args.server != super::DEFAULT_SERVER {
        options.push(("--server", args.server.as_str()));
    }
    if let Some(spool) = &spool {
        options.push(("--spool", spool.to_str().context("--spool: the path is not UTF-8")?));
    }
    command::write(&program, agent, &options)
}
