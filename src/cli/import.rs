//! `requery import`: sends the transcripts that Claude Code stores to the server, which stores them as history.
//!
//! Each file is read line by line and sent in stretches of lines. Neither this process nor the server ever holds a
//! whole file, and an agent that reports during an import waits only for milliseconds. The server ignores lines that it
//! has imported before, so a run that was interrupted can simply be started again.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use requery::protocol::limits;
use requery::protocol::model::Imported;
use requery::server::agents::{TranscriptStretch, finished_part};
use tokio::fs::File;
use tokio::io::BufReader;
use tokio::time::Instant;

use super::api::{Api, CallError, Waits};
use super::lines::{BoundedLine, BoundedLines};
use super::progress::Progress;
use super::terminal_text::escape_control_characters;

mod files;

mod tally;

use files::TranscriptFile;
use tally::ImportTally;

/// The size of a stretch, in bytes and in lines. The server holds the write lock while it stores a stretch, and hooks
/// wait for the lock.
const STRETCH_BYTES: usize = 1024 * 1024;
const STRETCH_LINES: u64 = 1000;

/// The transcripts to import.
#[derive(clap::Args, Debug)]
pub struct ImportArgs {
    /// Transcripts, or folders with transcripts [default: the folder `projects` in $CLAUDE_CONFIG_DIR or ~/.claude]
    pub paths: Vec<PathBuf>,
    /// Server to send the transcripts to.
    #[arg(long, env = "REQUERY_SERVER", default_value = "http://127.0.0.1:7373")]
    pub server: String,
    /// Only import files that changed within this time, as in 30d.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub since: Option<Duration>,
    /// Read the files and print a summary, without sending them.
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for a server that cannot be reached.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub give_up_after: Duration,
}

/// Imports transcripts.
pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let api = if args.dry_run { None } else { Some(Api::at(&args.server)?) };
    let paths = if args.paths.is_empty() { vec![files::default_folder()?] } else { args.paths.clone() };
    if args.paths.is_empty() && paths.iter().all(|folder| !folder.exists()) {
        return no_transcripts(&paths);
    }
    let since = args.since.and_then(|since| SystemTime::now().checked_sub(since));
    let looked_at = paths.clone();
    let found = tokio::task::spawn_blocking(move || files::find(&paths, since)).await?;
    if found.files.is_empty() && found.unreadable.is_empty() {
        let ended = no_transcripts(&looked_at)?;
        return Ok(if found.without_transcript.is_empty() || args.paths.is_empty() {
            ended
        } else {
            ExitCode::FAILURE
        });
    }
    let progress = Progress::new(found.files.iter().map(|file| file.size).sum());
    found.unreadable.iter().for_each(|line| progress.print(&escape_control_characters(line)));
    anyhow::ensure!(!found.files.is_empty() || found.unreadable.is_empty(), "nothing could be read");

    let mut tally = ImportTally::default();
    tally.unreadable = found.unreadable.len() as u64;
    let sessions = HashSet::new();
    let mut import = Import { api, give_up_after: args.give_up_after, progress, tally, sessions, bytes_before: 0 };
    for folder in &found.without_transcript {
        import.tally.note_foreign(&escape_control_characters(&folder.display().to_string()), true);
    }
    let ended = tokio::select! {
        ended = import.import_files(&found.files) => Some(ended),
        () = super::asked_to_end() => None,
    };
    import.progress.bar.finish_and_clear();
    let interrupted = if ended.is_none() { "interrupted: " } else { "" };
    super::print(&format!("{interrupted}{}", import.tally.summary(import.api.is_none(), import.sessions.len())))?;
    match ended {
        // Shells report this code for a command that Ctrl-C ended.
        None => Ok(ExitCode::from(130)),
        Some(ended) => ended.map(|()| match import.tally.files {
            0 if import.tally.unreadable > 0 => ExitCode::FAILURE,
            _ if import.tally.is_named_path_foreign() => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        }),
    }
}

/// Says that there is no transcript. Without a named path that is no failure: Claude Code may have had no session yet.
fn no_transcripts(paths: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let paths = escape_control_characters(&paths.join(", "));
    super::print(&format!("no transcript in {paths}; name other files or folders to import them\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a line has a field that every record of a transcript has, or that only a record of a transcript has.
fn has_field_of_transcript(line: &[u8]) -> bool {
    let fields: [&[u8]; 3] = [b"\"sessionId\"", b"\"leafUuid\"", b"\"messageId\""];
    fields.iter().any(|field| line.windows(field.len()).any(|bytes| bytes == *field))
}

struct Import {
    /// `None` for a dry run.
    api: Option<Api>,
    give_up_after: Duration,
    progress: Progress,
    tally: ImportTally,
    /// The sessions that a dry run has seen.
    sessions: HashSet<String>,
    /// The total size of the files before the current one, for the progress bar.
    bytes_before: u64,
}

impl Import {
    async fn import_files(&mut self, files: &[TranscriptFile]) -> anyhow::Result<()> {
        for file in files {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.progress.bar.set_message(escape_control_characters(&name));
            self.import_file(file).await?;
            self.bytes_before += file.size;
            self.progress.bar.set_position(self.bytes_before);
        }
        Ok(())
    }

    async fn import_file(&mut self, file: &TranscriptFile) -> anyhow::Result<()> {
        let name = escape_control_characters(&file.path.display().to_string());
        let opened = match File::open(&file.path).await {
            Ok(opened) => opened,
            Err(error) => {
                self.unreadable(&name, &error);
                return Ok(());
            }
        };
        let mut lines = BoundedLines::new(BufReader::new(opened), limits::LONG_BODY_BYTES);
        let mut stretch = Vec::new();
        let (mut first, mut is_transcript) = (1, false);
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
                // The agent is still writing the end of the last line. The next import sends it.
                BoundedLine::Line(mut line) if !lines.ended => {
                    line.truncate(finished_part(&line).len());
                    if line.is_empty() {
                        break;
                    }
                    line
                }
                BoundedLine::Line(line) => line,
                BoundedLine::TooLong => {
                    self.tally.skip_too_long(
                        &name,
                        lines.number,
                        &format!("longer than {} MiB", limits::LONG_BODY_BYTES >> 20),
                    );
                    // An empty line takes its place, so that the following lines keep their numbers.
                    Vec::new()
                }
            };
            is_transcript = is_transcript || has_field_of_transcript(&line);
            if !stretch.is_empty() && stretch.len() + line.len() >= STRETCH_BYTES {
                self.send(&name, first, std::mem::take(&mut stretch)).await?;
                first = lines.number;
            }
            stretch.extend_from_slice(&line);
            if lines.number + 1 - first >= STRETCH_LINES || stretch.len() >= STRETCH_BYTES {
                self.send(&name, first, std::mem::take(&mut stretch)).await?;
                first = lines.number + 1;
            } else {
                stretch.push(b'\n');
            }
            self.progress.bar.set_position(self.bytes_before + lines.read.min(file.size));
        }
        self.tally.files += 1;
        self.tally.bytes += lines.read;
        if !is_transcript && (file.is_named || lines.read > 0) {
            self.tally.note_foreign(&name, file.is_named);
        }
        self.send(&name, first, stretch).await
    }

    fn unreadable(&mut self, name: &str, error: &std::io::Error) {
        self.tally.unreadable += 1;
        self.progress.print(&format!("could not read {name}: {error}"));
    }

    /// Sends lines of a file. `first` is the number of the first line.
    async fn send(&mut self, name: &str, first: u64, lines: Vec<u8>) -> anyhow::Result<()> {
        if lines.trim_ascii().is_empty() {
            return Ok(());
        }
        let imported = match self.api.clone() {
            Some(api) => self.deliver(&api, lines.into()).await?,
            None => self.dry_run_answer(&lines)?,
        };
        for skipped in &imported.reasons {
            self.tally.skip(name, first + skipped.line - 1, &escape_control_characters(&skipped.reason));
        }
        self.tally.add(&imported);
        Ok(())
    }

    async fn deliver(&mut self, api: &Api, lines: bytes::Bytes) -> anyhow::Result<Imported> {
        let (mut waits, mut away_since) = (Waits::default(), None);
        loop {
            match api.import(lines.clone()).await {
                Ok(imported) => {
                    if away_since.is_some() {
                        self.progress.print("the server is back");
                    }
                    return Ok(imported);
                }
                Err(refused @ CallError::Refused { .. }) => {
                    return Err(refused).with_context(|| format!("{} does not take transcripts", api.base()));
                }
                Err(CallError::Away { why, after }) => {
                    if away_since.is_none() {
                        self.progress.print(&format!("waiting for the server: {}", escape_control_characters(&why)));
                    }
                    let since = *away_since.get_or_insert_with(Instant::now);
                    anyhow::ensure!(
                        since.elapsed() < self.give_up_after,
                        "gave up: {} {}",
                        api.base(),
                        escape_control_characters(&why)
                    );
                    let rest = self.give_up_after.saturating_sub(since.elapsed());
                    tokio::time::sleep(waits.next(after).min(rest)).await;
                }
            }
        }
    }

    /// The answer of a server with an empty database, for a dry run.
    fn dry_run_answer(&mut self, lines: &[u8]) -> anyhow::Result<Imported> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let stretch = TranscriptStretch::read(lines, i64::try_from(now).unwrap_or(i64::MAX))?;
        self.sessions.extend(stretch.session_ids().map(str::to_owned));
        Ok(stretch.imported())
    }
}
