//! What could not be delivered, kept in files until it can be.
//!
//! A hook that finds no server leaves its record here; the server, or the next hook, takes the records in. They are in
//! the order in which they came, over all sessions, so none overtakes another of its session: whoever finds records
//! waiting puts its own behind them. A record is delivered under the same delivery every time, so that trying again after
//! any interruption adds nothing.
//!
//! One file is one record, moved into the queue when it is whole, and it carries its length and a checksum: what a crash
//! left half-written is told from what was meant. Files are not synced: a power cut may lose the newest. There is no
//! thread, no network and no database here.

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

/// The most that waits, in bytes of disk; beyond it the oldest is dropped and counted. Two days of a busy agent.
pub const MAX_SPOOL_BYTES: u64 = 64 * 1024 * 1024;
/// What is left when records are dropped: many at once, so that it happens seldom.
const BYTES_AFTER_DROPPING: u64 = MAX_SPOOL_BYTES / 8 * 7;
/// What a file takes at least.
const DISK_BLOCK_BYTES: u64 = 4096;
/// How many records that nobody can read are kept for a person to look at.
const MAX_RECORDS_ASIDE: usize = 100;
/// How old what was never moved into the queue is before it is taken for a crash's.
const UNFINISHED_FILE_AGE: Duration = Duration::from_secs(600);
/// How long to wait before trying again for a lock. Nobody holds it for longer than it takes to name a file.
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(1);

/// The records that wait for one server.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

/// How much waits, and what became of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolTally {
    /// Records that wait.
    pub waiting: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records dropped, ever, because too much waited.
    pub dropped: u64,
    /// Records put aside, ever, because nobody could read them or the server refused them.
    pub aside: u64,
}

impl Spool {
    /// What waits in `base` for the server at `host` and `port`. All names of this machine are one.
    pub fn of(base: &Path, host: &str, port: u16) -> Self {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let own = host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified());
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
        let host = if own { "local".to_owned() } else { host.chars().take(200).map(plain).collect() };
        Self { folder: base.join(format!("{host}-{port}")) }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        fs::read_dir(self.queue()).map_or(true, |mut entries| entries.next().is_none())
    }

    /// Puts a record behind all that wait, unless that takes longer than `until`.
    ///
    /// # Errors
    /// The folder cannot be written, or somebody else holds it for too long. Nothing waits then that did not before.
    pub fn put(&self, record: &SpooledRecord, until: Instant) -> io::Result<()> {
        let text = record.encode();
        // Prompts and files of the person's are in it.
        DirBuilder::new().recursive(true).mode(0o700).create(self.queue())?;
        let part = self.folder.join(format!("part-{}", record.delivery));
        let put = write(&part, &text).and_then(|()| self.enqueue(&part, disk_bytes(text.len() as u64), until));
        if put.is_err() {
            let _ = fs::remove_file(&part);
        }
        put
    }

    fn enqueue(&self, part: &Path, size: u64, until: Instant) -> io::Result<()> {
        let mut count = self.count(until)?;
        if count.bytes + size > MAX_SPOOL_BYTES {
            self.drop_oldest(&mut count, size)?;
        }
        let place = count.next;
        count.next += 1;
        count.bytes += size;
        // Saved first: a place is never given twice, whenever this ends.
        count.save()?;
        fs::rename(part, self.queue().join(format!("{place:016}")))
    }

    fn drop_oldest(&self, count: &mut CountFile, size: u64) -> io::Result<()> {
        let waiting = self.names()?;
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

    /// Claims what waits: as long as it is held nobody else takes any of it. None: somebody else does.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn claim(&self) -> io::Result<Option<SpoolClaim>> {
        let file = open(&self.folder.join("claim"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(SpoolClaim { spool: self.clone(), _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// How much waits.
    pub fn tally(&self, until: Instant) -> io::Result<SpoolTally> {
        if !self.folder.is_dir() {
            return Ok(SpoolTally::default());
        }
        let names = self.names()?;
        let count = self.count(until)?;
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

    /// Whether the server lately did not answer in time.
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

    fn names(&self) -> io::Result<Vec<String>> {
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

    fn count(&self, until: Instant) -> io::Result<CountFile> {
        let file = open(&self.folder.join("count"))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_RETRY_PAUSE),
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        CountFile::read(file, || {
            let names = self.names()?;
            let last = names.iter().filter_map(|name| name.parse::<u64>().ok()).max();
            Ok((last.map_or(1, |last| last + 1), names.iter().map(|name| disk_bytes(self.size(name))).sum()))
        })
    }
}

/// What waits, taken by one at a time.
#[derive(Debug)]
pub struct SpoolClaim {
    spool: Spool,
    _lock: File,
}

impl SpoolClaim {
    /// What waits, by name, the oldest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn waiting(&self) -> io::Result<Vec<String>> {
        self.spool.names()
    }

    /// Reads one. None: it was dropped meanwhile.
    ///
    /// # Errors
    /// The file cannot be read, which says nothing about the next time.
    pub fn read(&self, name: &str) -> io::Result<Option<Result<SpooledRecord, BrokenRecord>>> {
        match fs::read(self.spool.queue().join(name)) {
            Ok(text) => Ok(Some(SpooledRecord::decode(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // Somebody put it there; no record is a folder.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(Some(Err(BrokenRecord))),
            Err(error) => Err(error),
        }
    }

    /// Removes those that were delivered, and puts aside those that never can be.
    ///
    /// # Errors
    /// One is still there: it would be delivered again, which is harmless, and again.
    pub fn settle(&self, delivered: &[&str], hopeless: &[&str], until: Instant) -> io::Result<()> {
        let queue = self.spool.queue();
        let mut freed = 0;
        for name in delivered {
            freed += disk_bytes(self.spool.size(name));
            ignore_missing(fs::remove_file(queue.join(name)))?;
        }
        let aside = self.spool.folder.join("aside");
        for name in hopeless {
            freed += disk_bytes(self.spool.size(name));
            DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
            if fs::read_dir(&aside)?.count() < MAX_RECORDS_ASIDE || queue.join(name).is_dir() {
                ignore_missing(fs::rename(queue.join(name), aside.join(name)))?;
            } else {
                ignore_missing(fs::remove_file(queue.join(name)))?;
            }
        }
        let mut count = self.spool.count(until)?;
        count.aside += hopeless.len() as u64;
        count.bytes = if self.spool.is_empty() { 0 } else { count.bytes.saturating_sub(freed) };
        count.save()
    }

    /// Removes what was begun long ago and never moved into the queue.
    pub fn sweep(&self) {
        for entry in fs::read_dir(&self.spool.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("part-") && self.spool.age(&name).is_some_and(|age| age > UNFINISHED_FILE_AGE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text)
}

/// What is gone already is as good as removed.
fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// What a file of so many bytes takes on a disk.
fn disk_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(DISK_BLOCK_BYTES).max(1) * DISK_BLOCK_BYTES
}

#[cfg(test)]
mod tests;
