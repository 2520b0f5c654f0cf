//! The spool: undelivered hook records, kept in files until the server takes them in.
//!
//! A hook that does not reach the server leaves its record here. The server, or the next hook, delivers the waiting
//! records. The queue holds all sessions in the order in which their hooks took their places. A hook that finds records
//! waiting puts its own record among them, so no record overtakes an earlier one of its session. Every attempt uses the
//! same delivery id, so a repeated delivery has no effect.
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
mod place;
mod record;

use count_file::CountFile;
pub use place::{MAX_WAIT_BEHIND_MS, PlaceName, SpoolPlace};
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
/// How many places one millisecond has. After a clock was set back, the numbers go on from the last one.
const NUMBERS_PER_MS: u64 = 1000;
/// How many processes read late input at the same time, over all agents. Each takes some memory, and an agent that
/// never writes the input of its hooks would start one with every hook.
const MAX_LATE_READERS: usize = 64;
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
    /// Inputs lost since the spool exists: too long, too late, or more late ones at once than there are readers.
    pub unread: u64,
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

    /// Takes the next place in the order of the queue. Numbers follow the clock, so the place is the right one even if
    /// another process holds the lock until `until`; then only two hooks of the same moment may change places.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn take_place(
        &self,
        agent_process: &str,
        delivery: &str,
        at_ms: i64,
        until: Instant,
    ) -> io::Result<SpoolPlace> {
        // The folders exist for all hooks but the first.
        if !self.places().is_dir() {
            self.create_folders()?;
        }
        let from_clock = u64::try_from(at_ms).unwrap_or_default().saturating_mul(NUMBERS_PER_MS);
        let take = |number| {
            let name = PlaceName { number, agent: place::agent_checksum(agent_process), at_ms };
            SpoolPlace::take(&self.places(), &self.folder.join(format!("part-place-{delivery}")), name)
        };
        match self.lock_count(until) {
            Ok(mut count) => {
                // The lock is held until the place exists, so a later number finds each earlier place.
                let place = take(count.next.max(from_clock))?;
                count.next = place.name.number + 1;
                count.save()?;
                Ok(place)
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let file = open_or_create(&self.folder.join("count"))?;
                take(CountFile::read(file, || Ok((1, 0)))?.next.max(from_clock))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes over a place from the process that started this one, and returns the input that it has read so far.
    ///
    /// # Errors
    /// The file of the place cannot be read.
    pub fn take_over(&self, name: PlaceName) -> io::Result<(SpoolPlace, Vec<u8>)> {
        SpoolPlace::take_over(&self.places(), name)
    }

    /// Whether an earlier place of the same agent process is still open.
    pub fn is_behind(&self, place: &SpoolPlace, now_ms: i64) -> bool {
        let record_name = place.name.record_name();
        place::open_places(&self.places()).iter().any(|earlier| earlier.holds_up(&record_name, now_ms))
    }

    /// Puts a record into the queue, at its place. The record is in the queue even if the lock is not free until
    /// `until`; the next process that takes the lock then counts the queue anew.
    ///
    /// # Errors
    /// The folder cannot be written. The record is then not in the queue.
    pub fn put(&self, record: &SpooledRecord, place: &SpoolPlace, until: Instant) -> io::Result<()> {
        self.create_folders()?;
        let size = self.write_to(&self.queue().join(place.name.record_name()), record)?;
        // A full queue drops records after the new one is in it: the lock must not decide whether a record is kept.
        let counted = self.lock_count(until).and_then(|mut count| {
            count.bytes += size;
            count.next = count.next.max(place.name.number + 1);
            if count.bytes > MAX_SPOOL_BYTES {
                self.drop_oldest(&mut count)?;
            }
            count.save()
        });
        if counted.is_err() {
            let _ = write(&self.folder.join("uncounted"), b"");
        }
        Ok(())
    }

    /// Puts aside a record that the server refused for good.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn put_aside(&self, record: &SpooledRecord, place: &SpoolPlace, until: Instant) -> io::Result<()> {
        let aside = self.folder.join("aside");
        DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
        if fs::read_dir(&aside)?.count() < MAX_RECORDS_ASIDE {
            self.write_to(&aside.join(place.name.record_name()), record)?;
        }
        let mut count = self.lock_count(until)?;
        count.aside += 1;
        count.save()
    }

    /// Counts an input that is lost. It needs no lock, because a lock that is not free would hide the loss: the file
    /// has one byte for each input.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn count_unread(&self) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.unread())?.write_all(b".")
    }

    /// The right to read late input: a file that its holder keeps locked. None: as many processes as allowed have it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn late_reader(&self) -> io::Result<Option<File>> {
        let folder = self.folder.join("late");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        for number in 0..MAX_LATE_READERS {
            let file = open_or_create(&folder.join(number.to_string()))?;
            if file.try_lock().is_ok() {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Writes the file of a record, and returns how many bytes of disk it takes.
    fn write_to(&self, path: &Path, record: &SpooledRecord) -> io::Result<u64> {
        let text = record.encode();
        let partial = self.folder.join(format!("part-{}", record.delivery));
        let written = write(&partial, &text).and_then(|()| fs::rename(&partial, path));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written.map(|()| disk_bytes(text.len() as u64))
    }

    /// Creates the folders. Records contain the person's prompts and files: other users must not read them.
    fn create_folders(&self) -> io::Result<()> {
        for folder in [self.queue(), self.places()] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(())
    }

    fn drop_oldest(&self, count: &mut CountFile) -> io::Result<()> {
        let waiting = self.queued_names()?;
        let sizes: Vec<u64> = waiting.iter().map(|name| disk_bytes(self.size(name))).collect();
        count.bytes = sizes.iter().sum();
        if count.bytes <= MAX_SPOOL_BYTES {
            return Ok(());
        }
        for (name, freed) in waiting.iter().zip(sizes) {
            if count.bytes <= BYTES_AFTER_DROPPING {
                break;
            }
            ignore_missing(fs::remove_file(self.queue().join(name)))?;
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
            unread: fs::metadata(self.unread()).map_or(0, |file| file.len()),
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

    fn places(&self) -> PathBuf {
        self.folder.join("places")
    }

    fn unread(&self) -> PathBuf {
        self.folder.join("unread")
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
        let bytes = |names: &[String]| names.iter().map(|name| disk_bytes(self.size(name))).sum();
        let mut count = CountFile::read(file, || {
            let names = self.queued_names()?;
            let places = fs::read_dir(self.places()).into_iter().flatten().flatten();
            let taken =
                places.filter_map(|place| PlaceName::parse(place.file_name().to_str()?).map(|name| name.number));
            let numbers = names.iter().filter_map(|name| name.split('-').next()?.parse::<u64>().ok());
            Ok((numbers.chain(taken).max().map_or(1, |last| last + 1), bytes(&names)))
        })?;
        let uncounted = self.folder.join("uncounted");
        if uncounted.exists() {
            let _ = fs::remove_file(uncounted);
            count.bytes = bytes(&self.queued_names()?);
        }
        Ok(count)
    }
}

/// The right to deliver the records of a spool, which one process holds at a time.
#[derive(Debug)]
pub struct SpoolClaim {
    spool: Spool,
    _lock: File,
}

impl SpoolClaim {
    /// The file names of the records to deliver now, the oldest first: all but those behind an open place.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn waiting(&self, now_ms: i64) -> io::Result<Vec<String>> {
        // The places are read before the queue: a place that closes in between has its record in the queue.
        let open = place::open_places(&self.spool.places());
        let mut names = self.spool.queued_names()?;
        names.retain(|name| !open.iter().any(|place| place.holds_up(name, now_ms)));
        Ok(names)
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
