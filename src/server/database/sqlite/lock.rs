//! The lock of one server on its file, and the identity of the file.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::protocol::limits;
use crate::server::database::error::OpenError;

/// How long a statement waits for another process that holds the write lock.
pub(in crate::server::database) const BUSY_TIMEOUT: Duration = limits::WRITE_LOCK_WAIT;
/// How long to wait for the lock file. A server that is ending, or a child process that it has forked and that has not
/// executed its program yet, can still hold the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between two tries to take the lock.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The identity of a file: its device and its inode.
pub(in crate::server::database) type FileId = (u64, u64);

/// Locks the database at `path`, and creates its folder. Fails if another server holds the lock.
pub(in crate::server::database) async fn lock(path: &Path) -> Result<File, OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        |why| OpenError::Io { path, why }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io(folder))?;
    }
    // The lock is a file beside the database. Locking the database itself would be wrong: when a process closes a file,
    // all its locks on that file are dropped, SQLite's too.
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(&beside).map_err(io(&beside))?;
    let until = tokio::time::Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => {
                create(path).map_err(io(path))?;
                return Ok(file);
            }
            Err(std::fs::TryLockError::WouldBlock) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(std::fs::TryLockError::Error(source)) => return Err(io(&beside)(source)),
        }
    }
}

/// Creates a missing database file, which only its owner can read. SQLite gives its other files the mode of this one,
/// and the mode of a file that exists is never changed.
fn create(path: &Path) -> std::io::Result<()> {
    match File::options().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        created => created.map(drop),
    }
}

/// The identity of the file at `path`. None if there is no file.
pub(in crate::server::database) fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}
