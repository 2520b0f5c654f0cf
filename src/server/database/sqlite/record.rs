//! The record in the lock file: the facts about the last run that must not be in the database itself.
//!
//! A copy of the database that is put back takes everything back that is *in* it. So the server writes beside the file
//! which files were open together, and how far the log was read. The next start compares both with the files that it
//! finds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use requery_entities::change;
use serde::{Deserialize, Serialize};

use super::file_id::{FileId, beside, length};
use super::files::unfinished_write;
use crate::server::database::error::OpenError;

/// The bytes of a record in the file. The length never changes, so that a full disk does not hinder a later record.
const RECORD_BYTES: usize = 1024;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::server::database) struct Record {
    /// The database file that was last open.
    pub(super) file: Option<FileId>,
    /// The write-ahead log that was open with it. None after a run that brought all changes into the file.
    pub(super) wal: Option<FileId>,
    /// The new name of that log, if the server moved it aside because the database file was moved.
    pub(super) aside: Option<PathBuf>,
    /// A database file and a write-ahead log that stood beside it without belonging to it.
    pub(super) refused: Option<(FileId, FileId)>,
    /// How far the log of the last run was read.
    pub(super) run: Option<RunMark>,
}

/// How far the change log of a run was read, and its newest row at that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunMark {
    pub(super) token: String,
    /// The first change that was not read.
    pub(super) next: i64,
    pub(super) newest: Option<RowMark>,
    /// The start of the machine in which the mark was written. A machine that loses power can lose the end of the log
    /// and the newest marks, each as it likes.
    pub(super) boot: Option<String>,
    /// Whether the run ended in order: the log and then this mark were brought to the disk.
    pub(super) ended: bool,
}

/// A row of the log: its number, and a hash of all its columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RowMark {
    pub(super) id: i64,
    print: u64,
}

impl RowMark {
    /// A later version may hash in another way. Then no client can resume once, which is safe.
    pub(super) fn of(row: &change::Model) -> Self {
        let mut hasher = DefaultHasher::new();
        format!("{row:?}").hash(&mut hasher);
        Self { id: row.id, print: hasher.finish() }
    }
}

impl Record {
    /// The record beside `database`, without taking the lock. No record is an empty one.
    pub(in crate::server::database) fn beside(database: &Path) -> Self {
        std::fs::read(beside(database, ".lock")).map(|bytes| Self::from_bytes(&bytes)).unwrap_or_default()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        if bytes.len() < RECORD_BYTES {
            bytes.resize(RECORD_BYTES, b' ');
        }
        bytes
    }

    /// Refuses files that do not belong together, before SQLite reads one of them: SQLite would bring the changes of
    /// the log into whatever database file has the name.
    ///
    /// The same file with a new log is normal, and so is the same file without a log: another writer has closed it. A
    /// copy that came with its own log is normal too. If neither the file nor a log of it is left, an empty database is
    /// wanted. A journal of the same file, or without a record of another file, is left to SQLite.
    pub(in crate::server::database) fn admit(&self, database: &Path) -> Result<(), OpenError> {
        let (path, log) = (database.to_owned(), beside(database, "-wal"));
        let file = FileId::at(database).filter(|_| length(database) > 0);
        let wal = FileId::at(&log).filter(|_| length(&log) > 0);
        let (aside, journal) = (self.log_aside(), unfinished_write(database));
        let Some(file) = file else {
            // SQLite deletes a log that stands beside an empty file.
            return match wal.map(|_| log).or(aside).or(journal) {
                Some(log) => Err(OpenError::LogWithoutFile { path, log }),
                None => Ok(()),
            };
        };
        let is_another = self.file.is_some_and(|served| served != file);
        match (wal, aside, journal) {
            // Also beside another log: a program has opened the file without its newest changes.
            (_, Some(aside), _) if !is_another => Err(OpenError::LogAside { path, log, aside }),
            (Some(wal), ..) if self.wal == Some(wal) && self.file != Some(file) => {
                Err(OpenError::LogOfAnother { path, log })
            }
            (Some(wal), ..) if self.refused == Some((file, wal)) => Err(OpenError::LogOfAnother { path, log }),
            (_, _, Some(journal)) if is_another => Err(OpenError::JournalOfAnother { path, journal }),
            _ => Ok(()),
        }
    }

    /// The log that the server moved aside, if it is still there and has changes.
    fn log_aside(&self) -> Option<PathBuf> {
        let aside = self.aside.as_ref().filter(|aside| self.wal.is_some() && FileId::at(aside) == self.wal);
        aside.filter(|aside| length(aside) > 0).cloned()
    }

    /// Whether a file was open here that is not there any more.
    pub(in crate::server::database) fn has_lost(&self, database: &Path) -> bool {
        self.file.is_some() && length(database) == 0
    }
}

/// The identity of this start of the machine. None where the system does not tell it: then only a run that ended in
/// order is continued.
pub(super) fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}
