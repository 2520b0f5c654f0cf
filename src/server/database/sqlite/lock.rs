//! The locks of one server on its database: on the name, with a file beside it, and on the database file itself.
//!
//! The lock file has the canonical name of the database, so a symbolic link leads to the same lock. A hard link does
//! not, so the server locks the inode too. A file with a second name is served, as long as no other server has it: a
//! backup by `cp -l` is such a name. It is not served by one name while the log of the other name has changes.
//!
//! The lock on the inode takes care: when a process closes a file, the kernel drops all POSIX locks that the process
//! has on the inode, those of SQLite too. So [`HeldFile`] is opened before SQLite opens the file, and closed after
//! SQLite has closed it.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::file_id::{FileId, beside, length};
use super::record::Record;
use crate::protocol::limits;
use crate::server::database::error::OpenError;

/// How long a statement waits for another process that holds the write lock.
pub(in crate::server::database) const BUSY_TIMEOUT: Duration = limits::WRITE_LOCK_WAIT;
/// How long to wait for a lock. A server that is ending, or a child process that it has forked and that has not
/// executed its program yet, can still hold the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait for the programs that have a moved file open. A program that writes once is done within this time.
const OTHERS_TIMEOUT: Duration = Duration::from_millis(500);
/// The pause between two tries to take the lock.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The database files that this process holds. A second handle on one of them must not be opened at all, because
/// closing it would drop the locks of SQLite.
static HELD: Mutex<Vec<FileId>> = Mutex::new(Vec::new());

/// The lock on the name of a database, and the record in the lock file.
pub(in crate::server::database) struct NameLock {
    file: File,
    path: PathBuf,
    record: Mutex<Record>,
}

/// The open and locked database file.
pub(in crate::server::database) struct HeldFile {
    pub(super) id: FileId,
    pub(super) file: File,
}

/// The lock on an inode.
enum InodeLock {
    Taken,
    /// Another server has it.
    InUse,
    /// This system or this file system has no lock that leaves those of SQLite alone.
    Unknown,
}

impl NameLock {
    /// Locks the database at `path`. Fails if another server holds the lock.
    pub(in crate::server::database) async fn take(path: &Path) -> Result<Self, OpenError> {
        let lock_path = beside(path, ".lock");
        let file = File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(&lock_path);
        let mut file = file.map_err(io(&lock_path))?;
        wait_for(path, || match file.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(io(&lock_path)(source)),
        })
        .await?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io(&lock_path))?;
        Ok(Self { file, path: lock_path, record: Mutex::new(Record::from_bytes(&bytes)) })
    }

    /// The record as it is now.
    pub(in crate::server::database) fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the record. If the file cannot be written, it is emptied: an old record would vouch for a state that is
    /// no longer true.
    pub(super) fn update(&self, change: impl FnOnce(&mut Record)) -> Result<(), OpenError> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut record);
        let bytes = record.to_bytes();
        let written = self.file.write_all_at(&bytes, 0).and_then(|()| self.file.set_len(bytes.len() as u64));
        written.map_err(|why| {
            let _ = self.file.set_len(0);
            io(&self.path)(why)
        })
    }

    /// Brings the record to the disk.
    pub(super) fn sync(&self) {
        if let Err(error) = self.file.sync_data() {
            tracing::warn!(%error, path = %self.path.display(), "could not bring the lock file to the disk");
        }
    }
}

impl HeldFile {
    /// Opens the database file, creates it if `create`, and locks its inode. `known` is the file that was last open
    /// here.
    pub(in crate::server::database) async fn hold(
        path: &Path,
        create: bool,
        known: Option<FileId>,
    ) -> Result<Self, OpenError> {
        let held = wait_for(path, || {
            let id = FileId::at(path);
            let mut all = HELD.lock().unwrap_or_else(PoisonError::into_inner);
            if id.is_some_and(|id| all.contains(&id)) {
                return Ok(None);
            }
            let mut options = File::options();
            // SQLite gives its other files the mode of this one.
            options.read(true).write(true).mode(0o600);
            let file = match options.create_new(create && id.is_none()).open(path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(OpenError::Missing(path.to_owned()));
                }
                file => file.map_err(io(path))?,
            };
            let opened = FileId::of(&file.metadata().map_err(io(path))?);
            // The name led to another file in between. If that file is held, closing `file` here drops the locks of its
            // owner in this process. That takes two databases in one process and a move within microseconds.
            if id.is_some_and(|id| id != opened) {
                return Ok(None);
            }
            let lock = lock_inode(&file);
            if matches!(lock, InodeLock::InUse) {
                return Ok(None);
            }
            all.push(opened);
            Ok(Some((Self { id: opened, file }, lock)))
        });
        let (held, lock) = held.await?;
        let names = held.file.metadata().map_or(1, |file| file.nlink());
        if names > 1 {
            if matches!(lock, InodeLock::Unknown) && known != Some(held.id) {
                return Err(OpenError::Linked(path.to_owned()));
            }
            if let Some(log) = held.log_of_another_name(path) {
                return Err(OpenError::LogOfOtherName { path: path.to_owned(), log });
            }
            tracing::warn!(
                path = %path.display(),
                "the database file has a second name, a hard link: a program that opens it by that name destroys it"
            );
        }
        Ok(held)
    }

    /// A log with changes, or a journal, beside another name that this file has in the folder of `path`. The other
    /// names of a file are known only where a folder lists them, so a name in another folder is not found.
    fn log_of_another_name(&self, path: &Path) -> Option<PathBuf> {
        let names = std::fs::read_dir(path.parent()?).ok()?.filter_map(Result::ok);
        let others = names.filter(|name| name.ino() == self.id.inode()).map(|name| name.path());
        let others = others.filter(|other| other.file_name() != path.file_name() && self.has_name(other));
        let logs = others.flat_map(|other| ["-wal", "-journal"].map(|suffix| (suffix, beside(&other, suffix))));
        // A backup by `cp -l` can have a link to the log too.
        let mut foreign =
            logs.filter(|(suffix, log)| length(log) > 0 && FileId::at(log) != FileId::at(&beside(path, suffix)));
        foreign.next().map(|(_, log)| log)
    }

    /// Whether `path` leads to this file.
    pub(super) fn has_name(&self, path: &Path) -> bool {
        FileId::at(path) == Some(self.id)
    }

    /// Waits a moment until no other program has the file open, and keeps it so until the lock on all bytes is given
    /// up. False if a program has it open for longer, or wrote it meanwhile.
    pub(super) async fn is_alone(&self) -> bool {
        let before = self.stamp();
        let until = tokio::time::Instant::now() + OTHERS_TIMEOUT;
        // SQLite has a lock on the file as long as a connection is open. Its own locks in this process do not count.
        while rustix::fs::fcntl_lock(&self.file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            if tokio::time::Instant::now() > until {
                return false;
            }
            tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
        }
        self.stamp() == before
    }

    /// The length of the file and the time of its last write, whatever its name is now.
    pub(super) fn stamp(&self) -> Option<(u64, SystemTime)> {
        self.file.metadata().ok().and_then(|file| Some((file.len(), file.modified().ok()?)))
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| *id != self.id);
    }
}

/// Creates the folder of the database at `path`, which only its owner can enter. The mode of a folder that exists is
/// never changed.
pub(in crate::server::database) fn create_folder(path: &Path) -> Result<(), OpenError> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io(folder)),
        None => Ok(()),
    }
}

/// Takes the lock on the inode, which does not meet the locks of SQLite.
///
/// On a network such a lock is a POSIX lock on the whole file and would stop SQLite; on other systems than Linux it
/// meets POSIX locks too. There a file with two names is refused, unless it was served by this name before.
#[cfg(target_os = "linux")]
fn lock_inode(file: &File) -> InodeLock {
    /// NFS, SMB, CIFS, SMB2, Ceph, 9p and FUSE.
    const REMOTE: [i64; 7] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x00c3_6400, 0x0102_1997, 0x6573_5546];
    #[allow(clippy::useless_conversion, reason = "the type differs between machines")]
    let is_remote = rustix::fs::fstatfs(file).is_ok_and(|of| REMOTE.contains(&i64::from(of.f_type)));
    if is_remote {
        return InodeLock::Unknown;
    }
    match file.try_lock() {
        Ok(()) => InodeLock::Taken,
        Err(TryLockError::WouldBlock) => InodeLock::InUse,
        Err(TryLockError::Error(_)) => InodeLock::Unknown,
    }
}

#[cfg(not(target_os = "linux"))]
fn lock_inode(_: &File) -> InodeLock {
    InodeLock::Unknown
}

/// Tries until there is a result. Fails as in use after a while.
async fn wait_for<T>(path: &Path, mut attempt: impl FnMut() -> Result<Option<T>, OpenError>) -> Result<T, OpenError> {
    let until = tokio::time::Instant::now() + LOCK_TIMEOUT;
    loop {
        match attempt()? {
            Some(result) => return Ok(result),
            None if tokio::time::Instant::now() < until => tokio::time::sleep(LOCK_RETRY_INTERVAL).await,
            None => return Err(OpenError::InUse(path.to_owned())),
        }
    }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |why| OpenError::Io { path: path.clone(), why }
}
