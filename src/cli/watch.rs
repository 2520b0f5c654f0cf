//! `requery watch`: keeps a copy of the server's read models and shows it on a screen, or prints one line per change.
//!
//! On a terminal the copy is a screen with pages and keys. If the output is not a terminal, each change is one line.

mod connection_words;
mod content;
mod draw;
mod explained;
mod json;
mod lines;
mod output;
mod redraws;
mod rows;
mod screen;
mod shown;
mod state;
mod terminal;
mod words;

use std::io::{self, IsTerminal};
use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::Context;
use requery::client::{Client, ClientConfig, Status};
use requery::protocol::{ReadModel, TaskId};

use json::JsonLines;
use lines::TextLines;
use output::Output;

/// The read models to watch, and the form of the output.
#[derive(Clone, Debug, clap::Args)]
pub struct WatchArgs {
    /// Server to watch.
    #[arg(long, env = "REQUERY_SERVER", default_value = "http://127.0.0.1:7373")]
    pub server: String,
    /// Limit the output to this project.
    #[arg(long)]
    pub project: Option<String>,
    /// Also watch this task; may be given several times. A screen opens with its page.
    #[arg(long, value_name = "ID")]
    pub task: Vec<TaskId>,
    /// Also watch the bookmarks. A screen opens with their page.
    #[arg(long)]
    pub bookmarks: bool,
    /// Print each change of the connection and of a watched read model as a JSON object on one line.
    #[arg(long)]
    pub json: bool,
    /// Add the whole read model to each line with a new one; only with --json.
    #[arg(long, requires = "json")]
    pub body: bool,
    /// Say why each read model is stale, since when, and what its next fetch waits for.
    #[arg(long)]
    pub explain: bool,
    /// End after this many lost connections and failed attempts in a row. By default the command tries on for ever.
    #[arg(long, value_name = "N")]
    pub attempts: Option<NonZeroU32>,
}

/// Watches until a person or a signal ends the command, until the reader of the output closes it, or until the client
/// connects no more. The last is a failure.
pub async fn run(args: WatchArgs) -> anyhow::Result<ExitCode> {
    let asked_to_end = super::asked_to_end();
    let mut config = ClientConfig::new(args.server.clone());
    config.project.clone_from(&args.project);
    config.settings.attempts = args.attempts;
    let client = Client::connect(config)?;
    let output = Output::start()?;
    let term = std::env::var_os("TERM");
    let shown = if !args.json && io::stdout().is_terminal() && screen::is_possible(term.as_deref()) {
        screen::show(&client, &args, output, asked_to_end).await
    } else {
        tokio::select! {
            printed = print(&client, &args, output) => printed.map(|()| WatchEnd::Client),
            () = asked_to_end => Ok(WatchEnd::Asked),
        }
    };
    let (status, has_ended) = (client.status(), client.is_closed());
    client.close().await;
    match (shown, status) {
        (Err(error), _) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        (Err(error), _) => Err(error).context("could not write the output"),
        (Ok(WatchEnd::Asked), _) => Ok(ExitCode::SUCCESS),
        (Ok(WatchEnd::Client), Status::Closed { reason }) => anyhow::bail!(connection_words::closed(&client, &reason)),
        (Ok(WatchEnd::Client), _) if has_ended => anyhow::bail!("the client has ended by a fault of its own"),
        (Ok(WatchEnd::Client), _) => Ok(ExitCode::SUCCESS),
    }
}

/// Why the command ends without a failure of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WatchEnd {
    /// A signal asked for it.
    Asked,
    /// A person quit, or the client connects no more. The status of the client tells which.
    Client,
}

async fn print(client: &Client, args: &WatchArgs, output: Output) -> io::Result<()> {
    let clock = client.clone();
    let json = JsonLines { body: args.body, now: Box::new(move || clock.now()) };
    let printed = async {
        match args.json {
            true => lines::print(client, models(args), &json, args.explain, &output).await,
            false => lines::print(client, models(args), &TextLines, args.explain, &output).await,
        }
    };
    tokio::select! {
        printed = printed => printed,
        () = tell_of_unknown_project(client, args.project.as_deref()) => Ok(()),
    }
}

fn models(args: &WatchArgs) -> Vec<ReadModel> {
    let tasks = args.task.iter().cloned().map(ReadModel::Task);
    std::iter::once(ReadModel::Overview).chain(tasks).chain(args.bookmarks.then_some(ReadModel::Bookmarks)).collect()
}

/// Prints a line on standard error when the server does not know the project: a person may have mistyped the name.
async fn tell_of_unknown_project(client: &Client, project: Option<&str>) {
    let mut changes = client.changes();
    let mut was_known = true;
    loop {
        let is_known = client.is_project_known();
        if was_known && !is_known {
            super::print_error(&words::unknown_project(project));
        }
        was_known = is_known;
        if !changes.next().await {
            return;
        }
    }
}
