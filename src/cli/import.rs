//! `requery import`: the transcripts that Claude Code keeps, taken in as history.
//!
//! Files are read a line at a time and sent in stretches, so that neither this nor the server ever holds a whole one,
//! and the agents that report meanwhile wait for milliseconds. The server takes nothing twice: a run that was ended
//! half-way is simply begun again.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use requery::protocol::model::Imported;
use requery::server::agents::TranscriptStretch;
use serde::de::IgnoredAny;
use tokio::fs::File;
use tokio::io::BufReader;
use tokio::time::Instant;

use super::api::{Api, CallError, Waits};
use super::harmless::harmless;
use super::lines::{Lines, Read};
use super::told::Told;

mod files;

mod tally;

use files::Transcript;
use tally::Tally;

/// The longest line in bytes, and the longest body that the server takes.
const MAX_LINE: usize = 8 * 1024 * 1024;
/// When a stretch is sent, in bytes and in lines: the server holds its write lock for it, and a hook waits for that.
const STRETCH: usize = 1024 * 1024;
const STRETCH_LINES: u64 = 1000;

/// What is imported.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Transcripts, or folders of them [default: projects in $CLAUDE_CONFIG_DIR or ~/.claude]
    pub paths: Vec<PathBuf>,
    /// Server to send them to.
    #[arg(long, env = "REQUERY_SERVER", default_value = "http://127.0.0.1:7373")]
    pub server: String,
    /// Only files that changed since then, as in 30d
    #[arg(long, value_parser = humantime::parse_duration)]
    pub since: Option<Duration>,
    /// Read the files and tell what is in them, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for a server that is away
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub give_up_after: Duration,
}

/// Imports transcripts.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let api = if args.dry_run { None } else { Some(Api::at(&args.server)?) };
    let paths = if args.paths.is_empty() { vec![files::default_folder()?] } else { args.paths };
    let since = args.since.and_then(|since| SystemTime::now().checked_sub(since));
    let found = tokio::task::spawn_blocking(move || files::find(&paths, since)).await?;
    let told = Told::new(found.files.iter().map(|file| file.size).sum());
    found.unreadable.iter().for_each(|line| told.tell(&harmless(line)));
    anyhow::ensure!(!found.files.is_empty() || found.unreadable.is_empty(), "nothing could be read");

    let mut tally = Tally::default();
    tally.unreadable = found.unreadable.len() as u64;
    let sessions = HashSet::new();
    let mut import = Import { api, give_up_after: args.give_up_after, told, tally, sessions, before: 0 };
    let ended = tokio::select! {
        ended = import.take_all(&found.files) => Some(ended),
        () = super::asked_to_end() => None,
    };
    import.told.bar.finish_and_clear();
    let interrupted = if ended.is_none() { "interrupted: " } else { "" };
    super::print(&format!("{interrupted}{}", import.tally.summary(import.api.is_none(), import.sessions.len())))?;
    match ended {
        // What shells use for a command that Ctrl-C ended.
        None => Ok(ExitCode::from(130)),
        Some(ended) => ended.map(|()| match import.tally.files {
            0 if import.tally.unreadable > 0 => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        }),
    }
}

struct Import {
    /// None: nothing is sent.
    api: Option<Api>,
    give_up_after: Duration,
    told: Told,
    tally: Tally,
    /// Of a run that sends nothing, the sessions that were seen.
    sessions: HashSet<String>,
    /// How many bytes there were before this file.
    before: u64,
}

impl Import {
    async fn take_all(&mut self, files: &[Transcript]) -> anyhow::Result<()> {
        for file in files {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.told.bar.set_message(harmless(&name));
            self.take(file).await?;
            self.before += file.size;
            self.told.bar.set_position(self.before);
        }
        Ok(())
    }

    async fn take(&mut self, file: &Transcript) -> anyhow::Result<()> {
        let name = harmless(&file.path.display().to_string());
        let opened = match File::open(&file.path).await {
            Ok(opened) => opened,
            Err(error) => {
                self.unreadable(&name, &error);
                return Ok(());
            }
        };
        let mut lines = Lines::new(BufReader::new(opened), MAX_LINE);
        let mut stretch = Vec::new();
        let mut first = 1;
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    self.unreadable(&name, &error);
                    break;
                }
            };
            let line = match line {
                // It is being written: the next time it will be whole.
                Read::Line(line) if !lines.ended && serde_json::from_slice::<IgnoredAny>(&line).is_err() => break,
                Read::Line(line) => line,
                Read::TooLong => {
                    self.tally.skip_too_long(&name, lines.number, &format!("longer than {} MiB", MAX_LINE >> 20));
                    // In its place, so that the others keep their numbers.
                    Vec::new()
                }
            };
            if !stretch.is_empty() && stretch.len() + line.len() >= STRETCH {
                self.send(&name, first, std::mem::take(&mut stretch)).await?;
                first = lines.number;
            }
            stretch.extend_from_slice(&line);
            if lines.number + 1 - first >= STRETCH_LINES || stretch.len() >= STRETCH {
                self.send(&name, first, std::mem::take(&mut stretch)).await?;
                first = lines.number + 1;
            } else {
                stretch.push(b'\n');
            }
            self.told.bar.set_position(self.before + lines.read.min(file.size));
        }
        self.tally.files += 1;
        self.tally.bytes += lines.read;
        self.send(&name, first, stretch).await
    }

    fn unreadable(&mut self, name: &str, error: &std::io::Error) {
        self.tally.unreadable += 1;
        self.told.tell(&format!("could not read {name}: {error}"));
    }

    /// Sends lines of a file, the first of them of this number.
    async fn send(&mut self, name: &str, first: u64, lines: Vec<u8>) -> anyhow::Result<()> {
        if lines.trim_ascii().is_empty() {
            return Ok(());
        }
        let imported = match self.api.clone() {
            Some(api) => self.deliver(&api, lines.into()).await?,
            None => self.read(&lines)?,
        };
        for skipped in &imported.reasons {
            self.tally.skip(name, first + skipped.line - 1, &harmless(&skipped.reason));
        }
        self.tally.add(&imported);
        Ok(())
    }

    async fn deliver(&mut self, api: &Api, lines: bytes::Bytes) -> anyhow::Result<Imported> {
        let (mut waits, mut gone) = (Waits::default(), None);
        loop {
            match api.import(lines.clone()).await {
                Ok(imported) => {
                    if gone.is_some() {
                        self.told.tell("the server is back");
                    }
                    return Ok(imported);
                }
                Err(refused @ CallError::Refused { .. }) => {
                    return Err(refused).with_context(|| format!("{} does not take transcripts", api.base()));
                }
                Err(CallError::Away { why, after }) => {
                    if gone.is_none() {
                        self.told.tell(&format!("waiting for the server: {}", harmless(&why)));
                    }
                    let since = *gone.get_or_insert_with(Instant::now);
                    anyhow::ensure!(since.elapsed() < self.give_up_after, "gave up: {} {}", api.base(), harmless(&why));
                    let rest = self.give_up_after.saturating_sub(since.elapsed());
                    tokio::time::sleep(waits.next(after).min(rest)).await;
                }
            }
        }
    }

    /// What a server that knows nothing would answer.
    fn read(&mut self, lines: &[u8]) -> anyhow::Result<Imported> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let stretch = TranscriptStretch::read(lines, i64::try_from(now).unwrap_or(i64::MAX))?;
        self.sessions.extend(stretch.session_ids().map(str::to_owned));
        Ok(stretch.imported())
    }
}
