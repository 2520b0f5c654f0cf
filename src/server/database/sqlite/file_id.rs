//! The identity of a file. One name can lead to another file later, and one file can have several names.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// The identity of a file: its device, its inode and the time of its birth. A file system gives the number of a deleted
/// inode to a new file, and the time of birth tells the two apart. Not every file system stores that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server::database) struct FileId {
    device: u64,
    inode: u64,
    born: Option<u64>,
}

impl FileId {
    /// The identity of the file at `path`. None if there is no file.
    pub(in crate::server::database) fn at(path: &Path) -> Option<Self> {
        Self::lookup(path).ok().flatten()
    }

    /// The same. Fails if the name cannot be looked up.
    pub(super) fn lookup(path: &Path) -> std::io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(file) => Ok(Some(Self::of(&file))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn of(file: &Metadata) -> Self {
        let born = file.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|at| u64::try_from(at.as_nanos()).ok());
        Self { device: file.dev(), inode: file.ino(), born }
    }

    /// The number of the inode, for a file name.
    pub(super) fn inode(self) -> u64 {
        self.inode
    }
}

/// The path of the file beside the database that has this suffix, such as `-wal`.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The length of the file at `path`; 0 if there is no file.
pub(super) fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
