//! `requery watch`: keeps a copy of the server's read models and shows it in a terminal, or prints one line per change.
//!
//! On a terminal the whole screen is drawn again after each change, and once a second because the ages change. If the
//! output is not a terminal, each change is one line.

mod screen;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use console::Term;
use requery::client::{AgentBody, Client, ClientConfig, HeldState, View, WatchHandle};
use requery::protocol::{ReadModel, TaskId};
use tokio::time::MissedTickBehavior;

/// The read models to watch, and the form of the output.
#[derive(Clone, Debug, clap::Args)]
pub struct WatchArgs {
    /// Server to watch.
    #[arg(long, env = "REQUERY_SERVER", default_value = "http://127.0.0.1:7373")]
    pub server: String,
    /// Limit the output to this project.
    #[arg(long)]
    pub project: Option<String>,
    /// Also watch this task; may be given several times.
    #[arg(long, value_name = "ID")]
    pub task: Vec<TaskId>,
    /// Also watch the bookmarks.
    #[arg(long)]
    pub bookmarks: bool,
    /// Print each change of a watched read model as a JSON object on one line.
    #[arg(long)]
    pub json: bool,
    /// Add the whole read model to each line; only with --json.
    #[arg(long, requires = "json")]
    pub body: bool,
}

/// Watches until a signal ends the process, or until the reader of the output closes it.
pub async fn run(args: WatchArgs) -> anyhow::Result<()> {
    let mut config = ClientConfig::new(args.server.clone());
    config.project.clone_from(&args.project);
    let client = Client::connect(config)?;
    let mut watches: Vec<WatchHandle<AgentBody>> = models(&args).into_iter().map(|model| client.watch(model)).collect();
    let asked_to_end = super::asked_to_end();
    let project = args.project.as_deref();
    let shown = async {
        if !args.json && io::stdout().is_terminal() {
            return draw(&client, &args.server, project, &watches).await;
        }
        let shown = async {
            if args.json {
                print_json(&client, &mut watches, args.body).await
            } else {
                print_lines(&client, &mut watches).await
            }
        };
        tokio::select! {
            shown = shown => shown,
            () = tell_of_unknown_project(&client, project) => Ok(()),
        }
    };
    let shown = tokio::select! {
        shown = shown => shown,
        () = asked_to_end => Ok(()),
    };
    match shown {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        shown => shown.context("could not write the output"),
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
            super::print_error(&screen::unknown_project(project));
        }
        was_known = is_known;
        if !changes.next().await {
            return;
        }
    }
}

async fn print_json(client: &Client, watches: &mut [WatchHandle<AgentBody>], body: bool) -> io::Result<()> {
    let mut changes = client.changes();
    loop {
        for watch in &mut *watches {
            // A view that only became stale has the same body as before. The line follows with the next answer.
            if let Some(view) =
                watch.view_if_changed().filter(|view| view.state != HeldState::Stale || view.error.is_some())
            {
                print(&json_line(watch.model(), &view, body))?;
            }
        }
        if !changes.next().await {
            return Ok(());
        }
    }
}

/// One line of `--json`. The body stays JSON: parsing it into this crate's types would drop unknown fields.
fn json_line(model: &ReadModel, view: &View<AgentBody>, body: bool) -> String {
    let mut line = serde_json::json!({
        "read_model": model,
        "cursor": view.cursor,
        "why": view.why,
        "age_ms": view.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        "state": view.state.as_str(),
    });
    if let Some(error) = &view.error {
        line["error"] = serde_json::Value::String(error.to_string());
    }
    if body {
        let part =
            |at: usize| view.parts.get(at).and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
        let part: &dyn Fn(usize) -> serde_json::Value = &part;
        line["body"] = match model {
            ReadModel::Overview if !view.parts.is_empty() => serde_json::json!({"overview": part(0), "tasks": part(1)}),
            _ => part(0),
        };
    }
    line.to_string()
}

async fn print_lines(client: &Client, watches: &mut [WatchHandle<AgentBody>]) -> io::Result<()> {
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

async fn draw(
    client: &Client,
    server: &str,
    project: Option<&str>,
    watches: &[WatchHandle<AgentBody>],
) -> io::Result<()> {
    let mut changes = client.changes();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let _restored = screen::AlternateScreen::enter()?;
    let mut drawn = String::new();
    loop {
        let (rows, columns) = Term::stdout().size();
        let now_ms = chrono::Utc::now().timestamp_millis();
        let context = screen::ScreenContext { rows: rows.into(), columns: columns.into(), now_ms };
        let picture = screen::picture(client, server, project, watches, context);
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
