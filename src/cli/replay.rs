//! `requery replay`: sends a recording of an agent's hooks to a server again.
//!
//! The records go to the endpoint that hooks use, so a replay tests the same code as a real agent. They are sent one at
//! a time and in order, because the status of a task depends on the order. If it is unknown whether a record arrived,
//! it is sent again with the same delivery id, and the server stores it once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use requery::agent::runtime::{AgentRuntime, UnknownRuntime};
use tokio::fs::File;
use tokio::io::{AsyncBufRead, BufReader};
use tokio::time::Instant;

use super::agent_runtime::agent_runtime;
use super::api::{Api, CallError, Waits};
use super::counted::counted;
use super::progress::Progress;

mod recording;

use recording::{RecordedLine, Recording};

/// How many lines are listed with the reason of their failure. A file that is no recording has a failure in each line.
const MAX_LISTED_FAILURES: u64 = 10;

/// How a recording is replayed.
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    /// Recording to replay, with one record per line, as in {"at_ms": 1200, "body": {...}}
    pub file: PathBuf,
    /// Speed factor: 1 keeps the recorded pace, 2 is twice as fast, 0 or max sends without pauses.
    #[arg(long, default_value = "1", value_parser = ReplaySpeed::parse)]
    pub speed: ReplaySpeed,
    /// Server to send the records to.
    #[arg(long, env = "REQUERY_SERVER", default_value = "http://127.0.0.1:7373")]
    pub server: String,
    /// Agent of the records that do not name one [default: the agent that the file name contains, else claude-code]
    #[arg(long, value_parser = agent_runtime())]
    pub source: Option<AgentRuntime>,
    /// How long to wait for a server that cannot be reached, as in 30s [default: no limit]
    #[arg(long, value_parser = humantime::parse_duration)]
    pub give_up_after: Option<Duration>,
}

/// The runtime that is named in the file name of a recording, else Claude Code. If the file name contains several, the
/// last one in [`AgentRuntime::ALL`] is taken.
fn runtime_of_file(path: &Path) -> AgentRuntime {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let said = AgentRuntime::ALL.into_iter().rev().find(|runtime| name.contains(runtime.as_str()));
    said.unwrap_or(AgentRuntime::ClaudeCode)
}

/// The speed factor. `None` sends without pauses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplaySpeed(Option<f64>);

impl ReplaySpeed {
    fn parse(text: &str) -> Result<Self, String> {
        match (text, text.parse::<f64>()) {
            ("max", _) => Ok(Self(None)),
            (_, Ok(0.0)) => Ok(Self(None)),
            (_, Ok(times)) if times.is_finite() && times > 0.0 => Ok(Self(Some(times))),
            _ => Err("expected a number such as 1, 0.5 or 20, or max".to_owned()),
        }
    }

    /// The time after the start of the replay at which a record is due.
    fn due(self, at_ms: Option<f64>) -> Duration {
        let seconds = self.0.zip(at_ms).map(|(times, at_ms)| at_ms / 1000.0 / times);
        seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default()
    }
}

/// Replays a recording.
pub async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let api = Api::at(&args.server)?;
    let open = async {
        let file = File::open(&args.file).await?;
        let size = file.metadata().await?.len();
        std::io::Result::Ok((file, size))
    };
    let (file, size) = open.await.with_context(|| format!("could not open {}", args.file.display()))?;
    let mut replay = Replay {
        api,
        speed: args.speed,
        runtime: args.source.unwrap_or_else(|| runtime_of_file(&args.file)),
        give_up_after: args.give_up_after,
        progress: Progress::new(size),
        tally: ReplayTally::default(),
    };
    let began = Instant::now();
    let interrupted = tokio::select! {
        played = replay.play(Recording::new(BufReader::new(file))) => {
            if let Err(error) = played {
                replay.progress.bar.finish_and_clear();
                super::print(&format!("{}\n", replay.tally.summary(began.elapsed())))?;
                return Err(error);
            }
            false
        }
        () = super::asked_to_end() => true,
    };
    replay.progress.bar.finish_and_clear();
    let interruption = if interrupted { "interrupted: " } else { "" };
    super::print(&format!("{interruption}{}\n", replay.tally.summary(began.elapsed())))?;
    Ok(match (interrupted, replay.tally.failed) {
        // Shells report this code for a command that Ctrl-C ended.
        (true, _) => ExitCode::from(130),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => ExitCode::FAILURE,
    })
}

struct Replay {
    api: Api,
    speed: ReplaySpeed,
    runtime: AgentRuntime,
    give_up_after: Option<Duration>,
    progress: Progress,
    tally: ReplayTally,
}

/// The number of lines by outcome.
#[derive(Debug, Default, PartialEq, Eq)]
struct ReplayTally {
    sent: u64,
    failed: u64,
    retried: u64,
}

impl ReplayTally {
    fn summary(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64();
        let sent = counted(self.sent, "line");
        format!("{sent} sent, {} failed, {} retried in {seconds:.1} s", self.failed, self.retried)
    }
}

impl Replay {
    async fn play<R: AsyncBufRead + Unpin>(&mut self, mut recording: Recording<R>) -> anyhow::Result<()> {
        let mut began = Instant::now();
        while let Some((number, line)) = recording.next().await? {
            let sent = match line {
                Ok(line) => {
                    tokio::time::sleep_until(began + self.speed.due(line.at_ms)).await;
                    let (sent, away) = self.send(number, line).await?;
                    // The remaining records keep their pace, instead of catching up in a burst.
                    began += away;
                    sent
                }
                Err(error) => Err(error),
            };
            match sent {
                Ok(()) => self.tally.sent += 1,
                Err(error) => {
                    self.tally.failed += 1;
                    match self.tally.failed {
                        ..=MAX_LISTED_FAILURES => self.progress.print(&format!("line {number}: {error}")),
                        _ if self.tally.failed == MAX_LISTED_FAILURES + 1 => {
                            self.progress.print("further failures are only counted");
                        }
                        _ => {}
                    }
                }
            }
            self.progress.bar.set_position(recording.read());
            self.progress.bar.set_message(format!("line {number}"));
        }
        Ok(())
    }

    /// Sends a record until the server accepts or rejects it. Returns the outcome, and how long the server was away.
    async fn send(&mut self, number: u64, line: RecordedLine) -> anyhow::Result<(Result<(), String>, Duration)> {
        let runtime = match line.source.as_deref().map(str::parse) {
            Some(Ok(runtime)) => runtime,
            Some(Err(UnknownRuntime(_))) => {
                let known = AgentRuntime::ALL.map(AgentRuntime::as_str).join(" nor ");
                return Ok((Err(format!("its source is neither {known}")), Duration::ZERO));
            }
            None => self.runtime,
        };
        let delivery = uuid::Uuid::now_v7().hyphenated().to_string();
        let (mut waits, mut away_since) = (Waits::default(), None);
        loop {
            match self.api.hook(runtime.as_str(), &delivery, line.body.clone()).await {
                Ok(()) => {
                    let away = away_since.map(|since: Instant| since.elapsed()).unwrap_or_default();
                    if away_since.is_some() {
                        self.progress.print("the server is back");
                    }
                    return Ok((Ok(()), away));
                }
                Err(CallError::Refused { status, detail }) => {
                    let away = away_since.map(|since: Instant| since.elapsed()).unwrap_or_default();
                    return Ok((Err(format!("refused with {status}: {detail}")), away));
                }
                Err(CallError::Away { why, after }) => {
                    if away_since.is_none() {
                        self.progress.print(&format!("line {number} waits for the server: {why}"));
                    }
                    let since = *away_since.get_or_insert_with(Instant::now);
                    if self.give_up_after.is_some_and(|limit| since.elapsed() >= limit) {
                        anyhow::bail!("gave up at line {number}: {} {why}", self.api.base());
                    }
                    tokio::time::sleep(waits.next(after)).await;
                    self.tally.retried += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
