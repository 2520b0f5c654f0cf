//! `requery watch`: what the server holds, kept true in the terminal, or told line by line to a program.
//!
//! The whole screen is drawn again when something changed, and once a second for the ages. Where the output is not a
//! terminal, each change is one line.

mod screen;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use console::Term;
use requery::client::{Body, Client, ClientConfig, View, ViewState, WatchHandle};
use requery::protocol::{ReadModel, TaskId};
use tokio::time::MissedTickBehavior;

/// Shows what a server holds, and keeps it true.
#[derive(Clone, Debug, clap::Args)]
pub struct WatchArgs {
    /// The server's address.
    #[arg(long, env = "REQUERY_SERVER", default_value = "http://127.0.0.1:7373")]
    pub server: String,
    /// Only this project.
    #[arg(long)]
    pub project: Option<String>,
    /// Watch this task too; may be given more than once.
    #[arg(long, value_name = "ID")]
    pub task: Vec<TaskId>,
    /// Watch the bookmarks too.
    #[arg(long)]
    pub bookmarks: bool,
    /// Print one JSON object a line, for each change of what is held.
    #[arg(long)]
    pub json: bool,
    /// With --json: what is held, too.
    #[arg(long, requires = "json")]
    pub body: bool,
}

/// Watches until interrupted, or until nobody reads the output any more.
pub async fn run(args: WatchArgs) -> anyhow::Result<()> {
    let mut config = ClientConfig::new(args.server.clone());
    config.project.clone_from(&args.project);
    let client = Client::connect(config)?;
    let mut watches: Vec<WatchHandle> = models(&args).into_iter().map(|model| client.watch(model)).collect();
    let shown = async {
        if args.json {
            print_json(&client, &mut watches, args.body).await
        } else if io::stdout().is_terminal() {
            draw(&client, &args.server, &watches).await
        } else {
            print_lines(&client, &mut watches).await
        }
    };
    let shown = tokio::select! {
        shown = shown => shown,
        () = super::asked_to_end() => Ok(()),
    };
    match shown {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => shown.context("could not write what is watched"),
    }
}

fn models(args: &WatchArgs) -> Vec<ReadModel> {
    let tasks = args.task.iter().cloned().map(ReadModel::Task);
    std::iter::once(ReadModel::Overview).chain(tasks).chain(args.bookmarks.then_some(ReadModel::Bookmarks)).collect()
}

async fn print_json(client: &Client, watches: &mut [WatchHandle], body: bool) -> io::Result<()> {
    let mut changes = client.changes();
    loop {
        for watch in &mut *watches {
            // That an answer is in doubt is no change of what is held: the line comes with the answer that ends the doubt.
            if let Some(view) =
                watch.view_if_changed().filter(|view| view.state != ViewState::Stale || view.error.is_some())
            {
                print(&json_line(watch.model(), &view, body))?;
            }
        }
        if !changes.next().await {
            return Ok(());
        }
    }
}

/// The JSON of a body is not read, only put in place.
fn json_line(model: &ReadModel, view: &View, body: bool) -> String {
    let mut line = serde_json::json!({
        "read_model": model,
        "cursor": view.cursor,
        "why": view.why.map(|why| why.to_string()),
        "age_ms": view.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        "state": view.state.as_str(),
    });
    if let Some(error) = &view.error {
        line["error"] = serde_json::Value::String(error.to_string());
    }
    if body {
        let parse = |json: bytes::Bytes| serde_json::from_slice(&json).unwrap_or_default();
        line["body"] = view.body.as_ref().map(Body::to_json).map(parse).unwrap_or_default();
    }
    line.to_string()
}

async fn print_lines(client: &Client, watches: &mut [WatchHandle]) -> io::Result<()> {
    let mut changes = client.changes();
    let mut status = String::new();
    loop {
        let now = screen::status(client);
        if now != status {
            print(&now)?;
            status = now;
        }
        for watch in &mut *watches {
            if let Some(view) = watch.view_if_changed() {
                print(&screen::line(watch.model(), &view))?;
            }
        }
        if !changes.next().await {
            return Ok(());
        }
    }
}

async fn draw(client: &Client, server: &str, watches: &[WatchHandle]) -> io::Result<()> {
    let mut changes = client.changes();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let _restored = screen::AlternateScreen::enter()?;
    let mut drawn = String::new();
    loop {
        let (rows, columns) = Term::stdout().size();
        let now_ms = chrono::Utc::now().timestamp_millis();
        let context = screen::ScreenContext { rows: rows.into(), columns: columns.into(), now_ms };
        let picture = screen::picture(client, server, watches, context);
        if picture != drawn {
            print_raw(&picture)?;
            drawn = picture;
        }
        tokio::select! {
            changed = changes.next() => if !changed { return Ok(()) },
            _ = second.tick() => {}
        }
    }
}

fn print(line: &str) -> io::Result<()> {
    print_raw(&format!("{line}\n"))
}

fn print_raw(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
