//! Where transcripts are.

use std::fs::{self, FileType};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use requery::agent::runtime::AgentRuntime;

use super::super::hooks::agent;

/// How deep folders are looked into. Claude Code has its transcripts up to four deep.
const MAX_DEPTH: usize = 8;
/// How many files are taken in one run.
const MAX_FILES: usize = 100_000;

/// A transcript.
pub struct Transcript {
    /// Where it is.
    pub path: PathBuf,
    /// How long it was when it was found.
    pub size: u64,
    modified: SystemTime,
}

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Transcripts, those that changed last at the end: a session that goes on from another one comes behind it.
    pub files: Vec<Transcript>,
    /// What could not be looked at, in words.
    pub unreadable: Vec<String>,
}

/// Where Claude Code keeps them.
pub fn default_folder() -> anyhow::Result<PathBuf> {
    let runtime = AgentRuntime::ClaudeCode;
    let folder = runtime.transcripts_folder().with_context(|| format!("{runtime} keeps no transcripts"))?;
    Ok(agent::folder(runtime)?.join(folder))
}

/// The transcripts at these paths: files as they are, of folders every `*.jsonl` below them. Links that are met on the
/// way are not followed.
pub fn find(paths: &[PathBuf], since: Option<SystemTime>) -> Found {
    let mut found = Found::default();
    let mut folders = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => folders.push((path.clone(), 0)),
            Ok(metadata) if metadata.is_file() => found.add(path.clone(), &metadata, since),
            Ok(_) => found.unreadable.push(format!("{} is neither a file nor a folder", path.display())),
            Err(error) => found.refuse(path, &error),
        }
    }
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                found.refuse(&folder, &error);
                continue;
            }
        };
        for entry in entries {
            let looked = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
            let (path, kind): (PathBuf, FileType) = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    found.refuse(&folder, &error);
                    break;
                }
            };
            if kind.is_dir() {
                if depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                }
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "jsonl") {
                match fs::symlink_metadata(&path) {
                    Ok(metadata) => found.add(path, &metadata, since),
                    Err(error) => found.refuse(&path, &error),
                }
            }
        }
        if found.files.len() > MAX_FILES {
            found.unreadable.push(format!("more than {MAX_FILES} files: the rest is left out"));
            break;
        }
    }
    found.files.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
    found.files.dedup_by(|a, b| a.path == b.path);
    found
}

impl Found {
    fn add(&mut self, path: PathBuf, metadata: &fs::Metadata, since: Option<SystemTime>) {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if since.is_none_or(|since| modified >= since) {
            self.files.push(Transcript { path, size: metadata.len(), modified });
        }
    }

    fn refuse(&mut self, path: &Path, error: &std::io::Error) {
        self.unreadable.push(format!("could not read {}: {error}", path.display()));
    }
}
