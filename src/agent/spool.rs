//! The spool: undelivered hook records, kept in files until the server takes them in.
//!
//! A hook that does not reach the server leaves its record here. The server, or the next hook, delivers the waiting
//! records. The queue holds all sessions in order of arrival. A hook that finds records waiting puts its own record
//! behind them, so no record overtakes an earlier one of its session. Every attempt uses the same delivery id, so a
//! repeated delivery has no effect.
//!
//! One file holds one record. The file moves into the queue when it is complete, and it carries a length and a
//! checksum, so a reader recognizes a file that a crash left incomplete. Files are not synced: a power cut may lose the
//! newest. This code starts no thread and uses no network and no database.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

mod count_file;
mod record;

use count_file::CountFile;
pub use record::{BrokenRecord, SpooledRecord};

/// The largest size of a queue, in bytes of disk. Beyond it the oldest records are dropped and counted. It holds the
/// records of a busy agent for two days.
pub const MAX_SPOOL_BYTES: u64 = 64 * 1024 * 1024;
/// The size to which dropping shrinks the queue. Each pass drops many records, so that a pass is rare.
const BYTES_AFTER_DROPPING: u64 = MAX_SPOOL_BYTES / 8 * 7;
/// The block size of the disk: a file takes at least one block.
const DISK_BLOCK_BYTES: u64 = 4096;
/// How many records that cannot be delivered are kept in `aside` for a person to inspect.
const MAX_RECORDS_ASIDE: usize = 100;
/// The age at which a partial file outside the queue is taken for the remains of a crash.
const UNFINISHED_FILE_AGE: Duration = Duration::from_secs(600);
/// The pause between two attempts to take the lock. The lock is held for about as long as a rename takes.
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(1);

/// The records that wait for one server.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

/// The figures of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolTally {
    /// Records in the queue.
    pub waiting: u64,
    /// The sum of the sizes of their files, in bytes.
    pub bytes: u64,
    /// Records dropped since the spool exists because the queue was full.
    pub dropped: u64,
    /// Records put aside since the spool exists because they were unreadable or the server refused them.
    pub aside: u64,
}

impl Spool {
    /// The spool in `base` for the server at `host` and `port`. All names of this machine lead to one spool.
    pub fn of(base: &Path, host: &str, port: u16) -> Self {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let is_this_machine = host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified());
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
        let host = if is_this_machine { "local".to_owned() } else { host.chars().take(200).map(plain).collect() };
        Self { folder: base.join(format!("{host}-{port}")) }
    }

    /// The folder of the spool.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        fs::read_dir(self.queue()).map_or(true, |mut entries| entries.next().is_none())
    }

    /// Puts a record at the end of the queue. Gives up at `until`.
    ///
    /// # Errors
    /// The folder cannot be written, or another process holds the lock until `until`. The record is then not in the
    /// queue, but old records may have been dropped to make room.
    pub fn put(&self, record: &SpooledRecord, until: Instant) -> io::Result<()> {
        let text = record.encode();
        // Records contain the person's prompts and files: other users must not read them.
        DirBuilder::new().recursive(true).mode(0o700).create(self.queue())?;
        let partial = self.folder.join(format!("part-{}", record.delivery));
        let put = write(&partial, &text).and_then(|()| self.enqueue(&partial, disk_bytes(text.len() as u64), until));
        if put.is_err() {
            let _ = fs::remove_file(&partial);
        }
        put
    }

    fn enqueue(&self, partial: &Path, size: u64, until: Instant) -> io::Result<()> {
        let mut count = self.lock_count(until)?;
        if count.bytes + size > MAX_SPOOL_BYTES {
            self.drop_oldest(&mut count, size)?;
        }
        let number = count.next;
        count.next += 1;
        count.bytes += size;
        // The count is saved before the rename: a crash between the two wastes a number, but never gives it out twice.
        count.save()?;
        fs::rename(partial, self.queue().join(format!("{number:016}")))
    }

    fn drop_oldest(&self, count: &mut CountFile, size: u64) -> io::Result<()> {
        let waiting = self.queued_names()?;
        let sizes: Vec<u64> = waiting.iter().map(|name| disk_bytes(self.size(name))).collect();
        count.bytes = sizes.iter().sum();
        if count.bytes + size <= MAX_SPOOL_BYTES {
            return Ok(());
        }
        for (name, freed) in waiting.iter().zip(sizes) {
            if count.bytes + size <= BYTES_AFTER_DROPPING {
                break;
            }
            fs::remove_file(self.queue().join(name))?;
            count.bytes -= freed;
            count.dropped += 1;
        }
        Ok(())
    }

    /// Claims the queue for delivery. While the claim exists, no other process delivers its records. None: another
    /// process holds the claim.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn claim(&self) -> io::Result<Option<SpoolClaim>> {
        let file = open_or_create(&self.folder.join("claim"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(SpoolClaim { spool: self.clone(), _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The figures of this spool.
    pub fn tally(&self, until: Instant) -> io::Result<SpoolTally> {
        if !self.folder.is_dir() {
            return Ok(SpoolTally::default());
        }
        let names = self.queued_names()?;
        let count = self.lock_count(until)?;
        Ok(SpoolTally {
            waiting: names.len() as u64,
            bytes: names.iter().map(|name| self.size(name)).sum(),
            dropped: count.dropped,
            aside: count.aside,
        })
    }

    /// Notes that the server did not answer in time.
    pub fn note_silence(&self) {
        let _ = write(&self.folder.join("silent"), b"");
    }

    /// Whether the server failed to answer in time within this period.
    pub fn was_silent(&self, within: Duration) -> bool {
        self.age("silent").is_some_and(|age| age < within)
    }

    fn age(&self, name: &str) -> Option<Duration> {
        let changed = fs::metadata(self.folder.join(name)).and_then(|file| file.modified()).ok()?;
        SystemTime::now().duration_since(changed).ok()
    }

    fn queue(&self) -> PathBuf {
        self.folder.join("queue")
    }

    fn queued_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(self.queue()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn size(&self, name: &str) -> u64 {
        fs::metadata(self.queue().join(name)).map_or(0, |file| file.len())
    }

    fn lock_count(&self, until: Instant) -> io::Result<CountFile> {
        let file = open_or_create(&self.folder.join("count"))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_RETRY_PAUSE),
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        CountFile::read(file, || {
            let names = self.queued_names()?;
            let last = names.iter().filter_map(|name| name.parse::<u64>().ok()).max();
            Ok((last.map_or(1, |last| last + 1), names.iter().map(|name| disk_bytes(self.size(name))).sum()))
        })
    }
}

/// The right to deliver the records of a spool, which one process holds at a time.
#[derive(Debug)]
pub struct SpoolClaim {
    spool: Spool,
    _lock: File,
}

impl SpoolClaim {
    /// The file names of the waiting records, the oldest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn waiting(&self) -> io::Result<Vec<String>> {
        self.spool.queued_names()
    }

    /// Reads one record. None: the record was dropped meanwhile.
    ///
    /// # Errors
    /// The file cannot be read now. A later attempt may succeed.
    pub fn read(&self, name: &str) -> io::Result<Option<Result<SpooledRecord, BrokenRecord>>> {
        match fs::read(self.spool.queue().join(name)) {
            Ok(text) => Ok(Some(SpooledRecord::decode(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // A record is never a folder: a person or another program made this one.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(Some(Err(BrokenRecord))),
            Err(error) => Err(error),
        }
    }

    /// Removes the delivered records, and puts aside the records that can never be delivered.
    /// When `aside` is full, it removes the latter as well.
    ///
    /// # Errors
    /// A record is still in the queue. It is delivered again, which is harmless: the server takes each delivery id
    /// once.
    pub fn settle(&self, delivered: &[&str], undeliverable: &[&str], until: Instant) -> io::Result<()> {
        let queue = self.spool.queue();
        let mut freed = 0;
        for name in delivered {
            freed += disk_bytes(self.spool.size(name));
            ignore_missing(fs::remove_file(queue.join(name)))?;
        }
        let aside = self.spool.folder.join("aside");
        for name in undeliverable {
            freed += disk_bytes(self.spool.size(name));
            DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
            if fs::read_dir(&aside)?.count() < MAX_RECORDS_ASIDE || queue.join(name).is_dir() {
                ignore_missing(fs::rename(queue.join(name), aside.join(name)))?;
            } else {
                ignore_missing(fs::remove_file(queue.join(name)))?;
            }
        }
        let mut count = self.spool.lock_count(until)?;
        count.aside += undeliverable.len() as u64;
        count.bytes = if self.spool.is_empty() { 0 } else { count.bytes.saturating_sub(freed) };
        count.save()
    }

    /// Removes old partial files that never moved into the queue.
    pub fn sweep(&self) {
        for entry in fs::read_dir(&self.spool.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("part-") && self.spool.age(&name).is_some_and(|age| age > UNFINISHED_FILE_AGE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text)
}

/// Treats a file that is already missing as removed.
fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// How many bytes of disk a file of this size takes.
fn disk_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(DISK_BLOCK_BYTES).max(1) * DISK_BLOCK_BYTES
}

#[cfg(test)]
mod tests;
