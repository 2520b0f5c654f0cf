//! The files of an open database, and the departure from them when their names lead elsewhere.
//!
//! A database is three files: its rows, its write-ahead log (`-wal`) and the index of that log (`-shm`). SQLite finds
//! the last two by the name of the first. So a file that is moved to the name of another one meets the log of that
//! other one, and SQLite brings the changes of that log into the wrong file. The server therefore gives the old log
//! another name as soon as it sees the move.
//!
//! A name can change at any time, also between a check and the step after it. These windows remain:
//! - From the move until the next check (5 ms while the log grows, otherwise 40 ms) another program that opens the name
//!   meets the old log. The server itself opens no connection then: all its connections are opened at the start of the
//!   run, and use the files and not the names.
//! - Between the check and the renaming, some microseconds. The renamed file is checked again and gets its name back if
//!   it was the log of another database.
//! - A connection that is replaced after a failed write uses the name. So a write that fails within the first window
//!   opens the wrong file as another program would.
//! - A program that has the file open for more than half a second after the move keeps the server from bringing the log
//!   into it. When such a file is back, the log gets its name back within a second. A program that opens the file
//!   before does not find the newest changes, and the server refuses the file then.
//! - A file whose bytes are overwritten in place keeps its identity. The watchdog looks for that.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file_id::{FileId, beside, length};

/// The files that are open.
#[derive(Clone, Debug)]
pub(in crate::server::database) struct OpenFiles {
    path: PathBuf,
    file: FileId,
    wal: Option<FileId>,
    shm: Option<FileId>,
}

/// How the names differ from the open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::database) enum Displacement {
    /// No file has the name.
    Missing,
    /// Another file has the name.
    Replaced,
    /// The file is in place, and its log is missing or replaced.
    LogLost,
}

impl Displacement {
    /// The reason for a client: without a path.
    pub(in crate::server::database) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "the file was moved away or deleted",
            Self::Replaced => "the file was replaced by another one",
            Self::LogLost => "the write-ahead log beside the file was moved, deleted or replaced",
        }
    }
}

/// The log of a file that was moved, under its new name.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    pub(super) wal: PathBuf,
    shm: PathBuf,
}

/// A file that the server has left, in case that it comes back.
#[derive(Debug)]
pub(in crate::server::database) struct LeftFile {
    pub(super) files: OpenFiles,
    pub(super) aside: Aside,
    /// The length of the file and the time of its last write when the server left it.
    pub(super) stamp: Option<(u64, SystemTime)>,
}

impl OpenFiles {
    /// The files that have the name `path` now. None if there is no database file.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let id = |suffix| FileId::at(&beside(path, suffix));
        Some(Self { path: path.to_owned(), file: FileId::at(path)?, wal: id("-wal"), shm: id("-shm") })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> FileId {
        self.file
    }

    pub(super) fn wal(&self) -> Option<FileId> {
        self.wal
    }

    /// The difference between the names and the open files.
    pub(in crate::server::database) fn displacement(&self) -> Option<Displacement> {
        // A name that cannot be looked up, because of a fault of the disk or a missing right, is no sign of a move.
        let Ok(file) = FileId::lookup(&self.path) else { return None };
        match file {
            None => Some(Displacement::Missing),
            Some(file) if file != self.file => Some(Displacement::Replaced),
            // While a connection is open, no other program deletes the log in an orderly way.
            Some(_) => match FileId::lookup(&self.log()) {
                Ok(wal) if self.wal.is_some() && wal != self.wal => Some(Displacement::LogLost),
                _ => None,
            },
        }
    }

    /// Gives the log of the moved file another name, and the index of the log too. None if the log is not there.
    ///
    /// The log is never deleted: it can have the only copy of the newest changes.
    pub(super) fn set_log_aside(&self) -> Option<Aside> {
        let suffix = |kind: &str, number: u32| match number {
            0 => format!("-{kind}.of-moved-file-{}", self.file.inode()),
            number => format!("-{kind}.of-moved-file-{}-{number}", self.file.inode()),
        };
        let is_free =
            |number: &u32| ["wal", "shm"].iter().all(|kind| !exists(&beside(&self.path, &suffix(kind, *number))));
        let number = (0..1000).find(is_free)?;
        let [wal, shm] = ["wal", "shm"].map(|kind| beside(&self.path, &suffix(kind, number)));
        rename_if(&self.log(), &wal, self.wal).then(|| {
            rename_if(&beside(&self.path, "-shm"), &shm, self.shm);
            Aside { wal, shm }
        })
    }

    /// Gives a log that is not the open one another name until the connections are closed: the last connection that
    /// closes deletes the file with the name of its log.
    pub(super) fn hide_foreign_log(&self) -> Option<ForeignLog> {
        let id = FileId::at(&self.log()).filter(|id| Some(*id) != self.wal)?;
        let hidden = (0..1000).map(|number| beside(&self.path, &format!("-wal.of-unknown-file-{number}")));
        let hidden = hidden.into_iter().find(|path| !exists(path))?;
        rename_if(&self.log(), &hidden, Some(id)).then(|| ForeignLog { id, hidden, name: self.log() })
    }

    fn log(&self) -> PathBuf {
        beside(&self.path, "-wal")
    }
}

/// A log that stood beside the file without belonging to it.
pub(super) struct ForeignLog {
    pub(super) id: FileId,
    hidden: PathBuf,
    name: PathBuf,
}

impl ForeignLog {
    /// Gives the log its name back if it begins as a log does: it can belong to a file that comes after it. A file
    /// without that beginning was made by a program that found the old index and no log: no SQLite can read it, so it
    /// keeps its new name. Returns whether the log is back.
    pub(super) fn show_again(&self) -> bool {
        let begins = beginning_of(&self.hidden).map(u32::from_be_bytes);
        begins.is_some_and(|begins| begins | 1 == 0x377f_0683) && rename_if(&self.hidden, &self.name, Some(self.id))
    }
}

impl LeftFile {
    /// Gives the log its name back if its file has its name back, and no program has written the file meanwhile.
    pub(super) fn bring_back(&self) -> bool {
        let OpenFiles { path, file, wal, shm } = &self.files;
        let is_back = FileId::at(path) == Some(*file) && stamp(path) == self.stamp && self.stamp.is_some();
        let [log, index] = ["-wal", "-shm"].map(|suffix| beside(path, suffix));
        if !is_back || exists(&log) || exists(&index) {
            return false;
        }
        // The index first: a program that opens the file in between finds a log only together with its index.
        rename_if(&self.aside.shm, &index, *shm);
        rename_if(&self.aside.wal, &log, *wal)
    }

    /// Deletes the index of a log that is no longer needed.
    pub(super) fn forget_index(&self) {
        if FileId::at(&self.aside.shm) == self.files.shm {
            let _ = std::fs::remove_file(&self.aside.shm);
        }
    }
}

/// The length of the file at `path` and the time of its last write.
pub(super) fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    std::fs::metadata(path).ok().and_then(|file| Some((file.len(), file.modified().ok()?)))
}

/// The journal beside the file, if it can have a write that did not end. A program that does not use a write-ahead log
/// keeps the old pages there until its transaction ends.
pub(in crate::server::database) fn unfinished_write(path: &Path) -> Option<PathBuf> {
    const BEGINNING: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let journal = beside(path, "-journal");
    (beginning_of(&journal) == Some(BEGINNING)).then_some(journal)
}

/// The first bytes of a log or a journal. SQLite takes no POSIX lock on such a file, so it may be opened and closed
/// here.
fn beginning_of<const N: usize>(path: &Path) -> Option<[u8; N]> {
    let mut begins = [0; N];
    std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut begins)).ok()?;
    Some(begins)
}

/// Whether there is a log with changes at the name of the log.
pub(super) fn has_log(path: &Path) -> bool {
    length(&beside(path, "-wal")) > 0
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Renames `from` if it is the file `id`. If another file took the name in the instant before, it gets the name back.
fn rename_if(from: &Path, to: &Path, id: Option<FileId>) -> bool {
    if id.is_none() || FileId::at(from) != id || std::fs::rename(from, to).is_err() {
        return false;
    }
    if FileId::at(to) == id {
        return true;
    }
    if !exists(from) {
        let _ = std::fs::rename(to, from);
    }
    false
}
