//! Finds the files with transcripts.

use std::fs::{self, FileType};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use requery::agent::runtime::AgentRuntime;

use super::super::agent_folder;

/// The number of folder levels that are searched. Claude Code stores transcripts at most four levels deep.
const MAX_FOLDER_DEPTH: usize = 8;
/// The search ends once it has found more files than this.
const MAX_FILES: usize = 100_000;

/// A transcript.
pub struct TranscriptFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The size of the file when it was found, in bytes.
    pub size: u64,
    /// Whether the person named the file, and not a folder around it.
    pub is_named: bool,
    modified: SystemTime,
}

/// The result of the search.
#[derive(Default)]
pub struct FoundTranscripts {
    /// The transcripts in the order of their last change: a session that continues another one comes after it.
    pub files: Vec<TranscriptFile>,
    /// The paths that could not be read, with the reason.
    pub unreadable: Vec<String>,
    /// The named folders without any file `*.jsonl`.
    pub without_transcript: Vec<PathBuf>,
}

/// The folder in which Claude Code stores transcripts.
pub fn default_folder() -> anyhow::Result<PathBuf> {
    let runtime = AgentRuntime::ClaudeCode;
    let folder = runtime.transcripts_folder().with_context(|| format!("{runtime} keeps no transcripts"))?;
    Ok(agent_folder(runtime)?.join(folder))
}

/// Finds the transcripts at `paths`: each path that is a file, and each file `*.jsonl` in a folder and its subfolders.
/// Symbolic links inside a folder are not followed. A file that was last changed before `since` is left out.
pub fn find(paths: &[PathBuf], since: Option<SystemTime>) -> FoundTranscripts {
    let mut found = FoundTranscripts::default();
    let mut folders = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                folders.push((path.clone(), 0));
                found.without_transcript.push(path.clone());
            }
            Ok(metadata) if metadata.is_file() => found.add(path.clone(), &metadata, since, true),
            Ok(_) => found.unreadable.push(format!("{} is neither a file nor a folder", path.display())),
            Err(error) => found.note_unreadable(path, &error),
        }
    }
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                found.note_unreadable(&folder, &error);
                found.without_transcript.retain(|named| !folder.starts_with(named));
                continue;
            }
        };
        for entry in entries {
            let looked = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
            let (path, kind): (PathBuf, FileType) = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    found.note_unreadable(&folder, &error);
                    break;
                }
            };
            if kind.is_dir() {
                if depth < MAX_FOLDER_DEPTH {
                    folders.push((path, depth + 1));
                }
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "jsonl") {
                found.without_transcript.retain(|named| !path.starts_with(named));
                match fs::symlink_metadata(&path) {
                    Ok(metadata) => found.add(path, &metadata, since, false),
                    Err(error) => found.note_unreadable(&path, &error),
                }
            }
        }
        if found.files.len() > MAX_FILES {
            found.unreadable.push(format!("more than {MAX_FILES} files: the remaining folders are left out"));
            break;
        }
    }
    found.files.sort_by(|a, b| (a.modified, &a.path, !a.is_named).cmp(&(b.modified, &b.path, !b.is_named)));
    found.files.dedup_by(|a, b| a.path == b.path);
    found
}

impl FoundTranscripts {
    fn add(&mut self, path: PathBuf, metadata: &fs::Metadata, since: Option<SystemTime>, is_named: bool) {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if since.is_none_or(|since| modified >= since) {
            self.files.push(TranscriptFile { path, size: metadata.len(), is_named, modified });
        }
    }

    fn note_unreadable(&mut self, path: &Path, error: &std::io::Error) {
        self.unreadable.push(format!("could not read {}: {error}", path.display()));
    }
}
