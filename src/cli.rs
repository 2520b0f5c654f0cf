//! The command line: one file for each command.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use requery::agent::runtime::AgentRuntime;

mod serve;

mod watch;

mod replay;

mod import;

mod database;

mod demo;

mod bench;

mod openapi;

mod migrate;

mod copy;

mod grants;

pub mod forward;

mod hooks;

mod api;

mod lines;

mod agent_runtime;

mod counted;

mod progress;

mod signals;
use signals::asked_to_end;

mod terminal_text;
pub use terminal_text::escape_control_characters;

/// The address of the server unless `--server` names another one.
const DEFAULT_SERVER: &str = "http://127.0.0.1:7373";

/// Keeps every open screen true.
///
/// A server for the tasks of coding agents: it tells each open screen which data changed, and the screen fetches only
/// that data again. Without a command, `requery` runs `requery serve`.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server: the REST API, the streams and the API documents on one port.
    Serve(Box<serve::ServeArgs>),
    /// Show the tasks of a server in the terminal, and keep the display current.
    Watch(watch::WatchArgs),
    /// Send a recording of an agent's hooks to a server, at the recorded pace.
    Replay(replay::ReplayArgs),
    /// Import the transcripts that Claude Code stores: tasks, timelines and usage from before the hooks were installed.
    Import(import::ImportArgs),
    /// Run a server with a temporary database and a simulated team of agents.
    Demo(demo::DemoArgs),
    /// Measure a server under a load of streams, writes and reads, beside a bare broadcast.
    Bench(bench::BenchArgs),
    /// Forward the input of an agent's hook to the server; prints no output and always exits with 0.
    Hook(forward::HookArgs),
    /// Install hooks in an agent's settings, uninstall them, or show their status.
    Hooks(hooks::HooksArgs),
    /// Print the OpenAPI or the AsyncAPI document.
    Openapi(openapi::OpenapiArgs),
    /// Bring the schema of the database up to date, and exit.
    Migrate(migrate::MigrateArgs),
    /// Copy a whole database into an empty one: from SQLite to Postgres, or back.
    Copy(copy::CopyArgs),
    /// Print the SQL that gives a role of Postgres the rights that an agent needs.
    Grants(grants::GrantsArgs),
}

impl Cli {
    /// The log filter that applies unless `REQUERY_LOG` is set.
    pub fn default_log(&self) -> &'static str {
        match &self.command {
            None | Some(Command::Serve(_) | Command::Demo(_)) => "requery=info,warn",
            // The output tells the connection and each failure, and a line of the log would break the screen.
            Some(Command::Watch(_)) => "off",
            Some(_) => "requery=warn,error",
        }
    }

    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command.unwrap_or(Command::Serve(Box::new(self.serve))) {
            Command::Serve(args) => serve::run(*args).await,
            Command::Watch(args) => watch::run(args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Import(args) => import::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Bench(args) => bench::run(args).await,
            // `main` runs hooks before it parses the arguments of the other commands.
            Command::Hook(_) => Ok(ExitCode::SUCCESS),
            Command::Hooks(args) => hooks::run(args).await,
            Command::Openapi(args) => openapi::run(args).await,
            Command::Migrate(args) => migrate::run(args).await,
            Command::Copy(args) => copy::run(args).await,
            Command::Grants(args) => grants::run(args).await,
        }
    }
}

/// The default folder for the records that hooks could not deliver.
fn spool() -> anyhow::Result<PathBuf> {
    state_folder().map(|folder| folder.join("spool"))
}

/// The folder in which an agent keeps the user's files.
fn agent_folder(agent: AgentRuntime) -> anyhow::Result<PathBuf> {
    match std::env::var_os(agent.folder_variable()).filter(|folder| !folder.is_empty()) {
        Some(named) => Ok(named.into()),
        None => Ok(etcetera::home_dir().context("there is no home folder")?.join(agent.folder_name())),
    }
}

/// The folder for state that this machine keeps between two runs.
fn state_folder() -> anyhow::Result<PathBuf> {
    use etcetera::BaseStrategy;

    let folders = etcetera::choose_base_strategy().context("there is no home folder")?;
    Ok(folders.state_dir().unwrap_or_else(|| folders.data_dir()).join("requery"))
}

/// Writes a line to standard error. A closed one is no failure: the macros of the standard library panic there.
pub fn print_error(line: &str) {
    use std::io::Write;

    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes to standard output. A closed pipe is no failure: the reader, such as `head`, has read enough.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write;

    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
