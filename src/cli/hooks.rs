//! `requery hooks`: puts our hooks into an agent's settings and takes them out again.
//!
//! The file is the person's. What they wrote stays as it is, byte for byte; a file that cannot be understood is not
//! touched; a backup is there before anything is changed; the change happens at once or not at all. Ours are known by
//! their command, which is `requery hook`, so taking them out needs no record of putting them in.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use requery::agent::runtime::AgentRuntime;

use super::agent_runtime::agent_runtime;
use super::forward::Server;

/// A line on the output. Whoever reads it may have had enough.
macro_rules! say {
    ($($text:tt)*) => {
        crate::cli::print(&format!("{}\n", format_args!($($text)*)))?
    };
}

pub mod agent;

mod settings;

mod edit;
mod json;

mod command;

mod diff;

mod status;

use agent::Scope;
use edit::{Hook, Kept};
use settings::{Backups, Settings};

/// How long a hook may take before its agent goes on without it, in seconds: ten times what it takes at most, and what
/// Codex allows for the end of a session.
const TIMEOUT: u32 = 3;
/// How often a file is tried again that somebody else writes at the same time.
const TRIES: usize = 5;

/// What to do with hooks.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Put our hooks into an agent's settings; again is nothing.
    Install(Install),
    /// Take our hooks out of an agent's settings, and leave the rest as it is.
    Uninstall(Uninstall),
    /// Say where hooks are installed, whether the server answers, when it last heard, and what waits.
    Status(status::Args),
}

#[derive(clap::Args, Debug)]
struct Which {
    /// Agent whose settings they are.
    #[arg(long, value_parser = agent_runtime())]
    agent: AgentRuntime,
    /// In the person's settings, for all projects; this is what is done unless --project is given.
    #[arg(long, conflicts_with = "project")]
    user: bool,
    /// In the settings of the project in the current folder, those that are not shared.
    #[arg(long)]
    project: bool,
    /// Change nothing; print what would be changed.
    #[arg(long)]
    dry_run: bool,
}

impl Which {
    fn scope(&self) -> Scope {
        if self.project { Scope::Project } else { Scope::User }
    }
}

#[derive(clap::Args, Debug)]
struct Install {
    #[command(flatten)]
    which: Which,
    /// Server the hooks send to.
    #[arg(long, env = "REQUERY_SERVER", default_value = super::DEFAULT_SERVER)]
    server: String,
    /// Folder for what could not be delivered [default: requery/spool in your state folder]
    #[arg(long)]
    spool: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct Uninstall {
    #[command(flatten)]
    which: Which,
}

/// Does it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Install(args) => install(&args)?,
        Action::Uninstall(args) => uninstall(&args.which)?,
        Action::Status(args) => status::run(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn install(args: &Install) -> anyhow::Result<()> {
    let Which { agent, dry_run, .. } = args.which;
    let scope = args.which.scope();
    let path = agent::settings(agent, scope)?;
    let backups = Backups::of(&path, elsewhere(scope)?.as_deref())?;
    let (events, note) = agent::events(agent);
    let command = command_of(agent, args)?;
    let wanted: Vec<Hook> = events
        .into_iter()
        .map(|hook| Hook { event: hook.as_str().to_owned(), command: command.clone(), timeout: TIMEOUT })
        .collect();
    let ours = |command: &str| command::read(command, agent).is_some();
    let done = change(&path, dry_run, Some(&backups), |before| {
        let text = before.text();
        let mut found = edit::find(text, ours)?;
        let order = |hook: &Hook| wanted.iter().position(|wanted| wanted.event == hook.event);
        found.sort_by_key(order);
        if found == wanted {
            return Ok(None);
        }
        // What is ours and empty goes; what else is there stays, empty or not.
        let others = edit::remove(text, ours, &Kept::default())?;
        edit::add(if found.is_empty() { text } else { &others }, &wanted).map(|text| Some(Change::Text(text)))
    })?;
    let (count, path) = (wanted.len(), path.display());
    match done {
        Done::Nothing => say!("the hooks of {agent} are in {path} already"),
        Done::Shown => {}
        Done::Changed { backup } => {
            say!("{count} hooks of {agent} are in {path} now");
            if let Some(backup) = backup {
                say!("  as it was before      {}", backup.display());
            }
            say!("  what they run         {command}");
            for line in agent::advice(agent, scope, &agent::settings(agent, scope)?).into_iter().chain(note) {
                say!("  {line}");
            }
        }
    }
    Ok(())
}

fn uninstall(which: &Which) -> anyhow::Result<()> {
    let (agent, scope) = (which.agent, which.scope());
    let path = agent::settings(agent, scope)?;
    let ours = |command: &str| command::read(command, agent).is_some();
    let without_ours = |text: &str| edit::find(text, ours).is_ok_and(|found| found.is_empty());
    let backup = Backups::of(&path, elsewhere(scope)?.as_deref())?.newest(without_ours);
    let original = backup.as_ref().map(|(_, text)| text.as_str());
    let mut restored = false;
    let done = change(&path, which.dry_run, None, |before| {
        let text = before.text();
        let found = edit::find(text, ours)?;
        if found.is_empty() {
            return Ok(None);
        }
        // If nobody has touched it since, it is again what it was.
        if let Some(original) = original
            && edit::add(original, &found).as_deref() == Ok(text)
        {
            restored = true;
            return Ok(Some(Change::Text(original.to_owned())));
        }
        if edit::add("", &found).as_deref() == Ok(text) {
            return Ok(Some(Change::Gone));
        }
        let rest = edit::remove(text, ours, &original.map(Kept::of).unwrap_or_default())?;
        restored = original == Some(rest.as_str());
        // Without a backup the file was made for our hooks.
        let made_for_ours = original.is_none() && edit::is_empty(&rest);
        Ok(Some(if made_for_ours { Change::Gone } else { Change::Text(rest) }))
    })?;
    match done {
        Done::Nothing => say!("there are no hooks of {agent} of ours in {}", path.display()),
        Done::Shown => {}
        Done::Changed { .. } => {
            say!("the hooks of {agent} are out of {} again", path.display());
            if let Some((backup, _)) = backup.filter(|_| restored) {
                // The file says the same.
                let _ = std::fs::remove_file(backup);
            }
            if scope == Scope::Project
                && let Some(folder) = path.parent()
            {
                // If it was made for the file, nothing else is in it.
                let _ = std::fs::remove_dir(folder);
            }
        }
    }
    Ok(())
}

/// What is to become of a file.
enum Change {
    Text(String),
    Gone,
}

/// What became of a file.
enum Done {
    Nothing,
    Shown,
    Changed { backup: Option<PathBuf> },
}

/// Reads a file, changes it and puts it in its place; again if somebody else has written it meanwhile.
fn change(
    path: &Path,
    dry_run: bool,
    backups: Option<&Backups>,
    mut new: impl FnMut(&Settings) -> Result<Option<Change>, json::Flaw>,
) -> anyhow::Result<Done> {
    for _ in 0..TRIES {
        let settings = Settings::read(path)?;
        let changed =
            new(&settings).map_err(|flaw| anyhow::anyhow!("{}; nothing was changed", settings.flaw(&flaw)))?;
        let Some(change) = changed else { return Ok(Done::Nothing) };
        let text = match &change {
            Change::Text(text) => Some(text.as_str()),
            Change::Gone => None,
        };
        if dry_run {
            let name = path.display();
            let of = |there| if there { name.to_string() } else { "/dev/null".to_owned() };
            say!("--- {}\n+++ {}", of(settings.is_there()), of(text.is_some()));
            super::print(&diff::unified(settings.text(), text.unwrap_or_default()))?;
            return Ok(Done::Shown);
        }
        settings.check_writable()?;
        let backup = match backups {
            Some(backups) => settings.back_up(backups)?,
            None => None,
        };
        if settings.replace(text)? {
            return Ok(Done::Changed { backup });
        }
    }
    anyhow::bail!("{}: somebody else writes it all the time; nothing was changed", path.display())
}

/// Where backups go if not beside the file: a project's folder is shared, and what is in its settings may be secret.
fn elsewhere(scope: Scope) -> anyhow::Result<Option<PathBuf>> {
    match scope {
        Scope::User => Ok(None),
        Scope::Project => Ok(Some(super::state_folder()?.join("backups"))),
    }
}

fn command_of(agent: AgentRuntime, args: &Install) -> anyhow::Result<String> {
    Server::parse(&args.server)?;
    let program = std::env::current_exe().context("could not find out where this program is")?;
    let spool = match &args.spool {
        Some(spool) => Some(std::path::absolute(spool).with_context(|| format!("--spool {}", spool.display()))?),
        None => None,
    };
    let mut options = Vec::new();
    if args.server != super::DEFAULT_SERVER {
        options.push(("--server", args.server.as_str()));
    }
    if let Some(spool) = &spool {
        options.push(("--spool", spool.to_str().context("--spool: not UTF-8, so no settings file can hold it")?));
    }
    command::write(&program, agent, &options)
}
