//! `requery bench`: measures a server under a load that the user describes, beside a baseline in the same run.
//!
//! The command opens streams, writes into a project of its own and reads the overview of that project. It deletes the
//! tasks of the project at the end, also after Ctrl-C. The baseline is a bare broadcast in this process: the same
//! number of connections and the same frames, at the pace at which the server sent them.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use requery::protocol::limits;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::{Api, CallError};
use super::progress::Progress;

mod baseline;
mod delays;
mod figures;
mod load;
mod mix;
mod times;
mod watchers;

use figures::{Answers, Report};
use load::Load;
use mix::Mix;
use watchers::Watchers;

/// How long the last frames may take after the last write.
const CONVERGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many requests delete the tasks at the end at the same time.
const DELETIONS: usize = 4;

/// The load, and the form of the output.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Server to measure.
    #[arg(long, visible_alias = "url", env = "REQUERY_SERVER", default_value = super::DEFAULT_SERVER)]
    pub server: String,
    /// How many streams are open, each a WebSocket.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=limits::STREAMS as i64))]
    pub watchers: u32,
    /// How many writers send requests, each one at a time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub writers: u32,
    /// How many readers fetch the overview four times a second, with the tag of their last answer.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=256))]
    pub readers: u32,
    /// How many tasks the writers change in turn.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub tasks: u32,
    /// The shares of the writes: events are logged, statuses are changed, bookmarks are saved.
    #[arg(long, default_value = "events=80,status=15,bookmarks=5", value_parser = Mix::parse)]
    pub mix: Mix,
    /// How many writes all writers send in a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rate: u32,
    /// How many seconds the load lasts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,
    /// Print the figures as a JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Measures, prints the figures and deletes the tasks.
pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let asked_to_end = super::asked_to_end();
    let api = Api::at(&args.server)?;
    super::serve::raise_open_files();
    reach(&api, &args).await?;
    // The time makes the name readable, the number makes it unique.
    let project = format!("requery-bench-{}-{:08x}", chrono::Utc::now().format("%H%M%S"), fastrand::u32(..));
    let progress = Progress::new(u64::from(args.seconds) * 1000);
    let measured = tokio::select! {
        measured = measure(&api, &args, &project, &progress) => Some(measured),
        () = asked_to_end => None,
    };
    progress.bar.set_message("deleting the tasks");
    let deleted = delete_tasks(&api, &project).await;
    progress.bar.finish_and_clear();
    if let Err(error) = &deleted {
        super::print_error(&format!("the tasks of the project {project} are left: {error:#}"));
    }
    let Some(measured) = measured else {
        super::print("interrupted\n")?;
        // Shells report this code for a command that Ctrl-C ended.
        return Ok(ExitCode::from(130));
    };
    let report = measured?;
    super::print(&if args.json { report.json() } else { report.table() })?;
    Ok(if report.has_errors() || deleted.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Fails with a clear sentence if the server does not answer as a server of requery does.
async fn reach(api: &Api, args: &BenchArgs) -> anyhow::Result<()> {
    let server = &args.server;
    match api.call(Method::GET, "api/v1/overview", &Value::Null).await {
        Ok(overview) if overview["stats"].is_object() => Ok(()),
        Ok(_) => anyhow::bail!("{server} is no server of requery: its answer is no overview"),
        Err(CallError::Refused { status, detail }) => {
            anyhow::bail!("{server} refuses to answer: {status}: {detail}")
        }
        Err(CallError::Away { why, .. }) => anyhow::bail!(
            "{server} cannot be reached ({why}); start a server with `requery serve`, or name another one with --server"
        ),
    }
}

async fn measure(api: &Api, args: &BenchArgs, project: &str, progress: &Progress) -> anyhow::Result<Report> {
    progress.bar.set_message("starting tasks");
    let mut tasks = Vec::new();
    for number in 0..args.tasks {
        let body = json!({"title": format!("requery bench, task {number}"), "project": project});
        let task = api.call(Method::POST, "api/v1/tasks", &body).await.context("could not start a task")?;
        tasks.push(task["task_id"].as_str().context("the answer has no task_id")?.to_owned());
    }
    progress.bar.set_message("opening streams");
    let mut stream = api.base().join("ws")?;
    stream.query_pairs_mut().append_pair("project", project);
    let watchers = Watchers::open(&stream, args.watchers, true, u64::from(args.rate) * u64::from(args.seconds)).await?;
    progress.bar.set_message("writing");
    let answered = Answers::of(api).await;
    let began = Instant::now();
    let ticks = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            watchers.delays().settle();
            progress.bar.set_position(began.elapsed().as_millis() as u64);
        }
    };
    let load = tokio::select! {
        load = Load::run(api, args, project, &tasks, watchers.delays()) => load,
        () = ticks => anyhow::bail!("the ticks of the progress bar ended"),
    };
    let took = began.elapsed();
    let answered = Answers::of(api).await.zip(answered).map(|(after, before)| after.since(before));
    if let Some((last, _)) = &load.last {
        watchers.wait_for(last, CONVERGE_TIMEOUT).await;
    }
    progress.bar.set_message("measuring the baseline");
    let watched = watchers.end();
    let baseline = baseline::measure(args, &watched, took).await?;
    Ok(Report { args: args.clone(), took, watched, load, answered, baseline })
}

/// Deletes every task of the project.
async fn delete_tasks(api: &Api, project: &str) -> anyhow::Result<()> {
    use futures_util::{StreamExt, TryStreamExt, stream};

    // Each turn deletes a page, and the writers have ended, so the turns come to an end.
    loop {
        let page = api.call(Method::GET, &format!("api/v1/tasks?project={project}&limit=200"), &Value::Null).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let ids: Vec<String> = items.iter().filter_map(|task| task["task_id"].as_str().map(str::to_owned)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let deletions = stream::iter(ids).map(|id| async move {
            match api.call(Method::DELETE, &format!("api/v1/tasks/{id}"), &Value::Null).await {
                Err(CallError::Refused { status, .. }) if status == reqwest::StatusCode::NOT_FOUND => Ok(()),
                deleted => deleted.map(drop),
            }
        });
        deletions.buffer_unordered(DELETIONS).try_collect::<Vec<()>>().await?;
    }
}
