//! The command line: one file a command.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use requery::server::database::Location;

mod serve;

mod watch;

mod replay;

mod import;

mod demo;

mod openapi;

mod migrate;

pub mod forward;

mod hooks;

mod api;

mod lines;

mod agent_runtime;

mod told;

mod harmless;
pub use harmless::harmless;

/// Where the server is unless it is said.
const DEFAULT_SERVER: &str = "http://127.0.0.1:7373";

/// Keeps every open screen true.
///
/// Without a command it serves: `requery` is `requery serve`.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Serve: REST, streams and the documents on one port.
    Serve(serve::Args),
    /// Watch in the terminal what changes, as it changes.
    Watch(watch::Args),
    /// Feed a recording of an agent's hooks through the API, at its own pace.
    Replay(replay::Args),
    /// Take in the transcripts that Claude Code keeps: tasks, timelines and usage from before the hooks.
    Import(import::Args),
    /// Serve a temporary database with a simulated team of agents at work.
    Demo(demo::Args),
    /// Hand on what an agent's hook is given on standard input; prints nothing and always succeeds.
    Hook(forward::Args),
    /// Put the hooks into an agent's settings, take them out again, or say how they are.
    Hooks(hooks::Args),
    /// Print the document of the API.
    Openapi(openapi::Args),
    /// Bring the database's schema up to date and end.
    Migrate(migrate::Args),
}

impl Cli {
    /// What is logged unless `REQUERY_LOG` says otherwise.
    pub fn default_log(&self) -> &'static str {
        match &self.command {
            None | Some(Command::Serve(_) | Command::Demo(_)) => "requery=info,warn",
            Some(_) => "requery=warn,error",
        }
    }

    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(args) => serve::run(args).await,
            Command::Watch(args) => watch::run(args).await.map(|()| ExitCode::SUCCESS),
            Command::Replay(args) => replay::run(args).await,
            Command::Import(args) => import::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            // Its arguments were read before: see `main`.
            Command::Hook(_) => Ok(ExitCode::SUCCESS),
            Command::Hooks(args) => hooks::run(args).await,
            Command::Openapi(args) => openapi::run(args).await,
            Command::Migrate(args) => migrate::run(args).await,
        }
    }
}

/// Where the database is unless it is said: a file in the user's data folder.
fn database(url: Option<&str>) -> anyhow::Result<Location> {
    use etcetera::BaseStrategy;

    match url {
        Some(url) => url.parse().with_context(|| format!("--database-url {url}")),
        None => {
            let folders = etcetera::choose_base_strategy()
                .context("there is no home folder to keep the database in; --database-url names a file")?;
            let file: PathBuf = folders.data_dir().join("requery").join("requery.db");
            Ok(file.into())
        }
    }
}

/// Where hooks leave what they could not deliver unless it is said.
fn spool() -> anyhow::Result<PathBuf> {
    state_folder().map(|folder| folder.join("spool"))
}

/// What is kept on this machine between two runs.
fn state_folder() -> anyhow::Result<PathBuf> {
    use etcetera::BaseStrategy;

    let folders = etcetera::choose_base_strategy().context("there is no home folder")?;
    Ok(folders.state_dir().unwrap_or_else(|| folders.data_dir()).join("requery"))
}

/// Writes to the output. Whoever reads it may have had enough: that is no failure.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write;

    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Until the person or the system asks the process to end.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};

    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
