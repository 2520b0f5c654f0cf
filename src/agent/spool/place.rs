//! The place of a hook in the order of the spool, which the hook takes before it reads its input.
//!
//! An input can come late, and the session of a record is not known before its input is read. So a later hook of the
//! same agent process waits behind each earlier place that is still open. A place is a file with a number, and its
//! holder keeps the file locked: the system takes the lock from a process that ends in any way, so a killed hook holds
//! up no other hook. The file holds the input that was read so far when another process takes the place over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::agent::checksum;

/// How long later hooks of the same agent process wait behind an open place, in milliseconds. An agent that writes no
/// input for so long is rare, and its later records must not wait for ever.
pub const MAX_WAIT_BEHIND_MS: i64 = 10_000;

/// The number of a place, the hook that took it, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceName {
    /// The number of the record in the queue.
    pub number: u64,
    /// A checksum of the name of the agent process. Only places of one agent process wait for each other.
    pub agent: u64,
    /// When the hook ran, in milliseconds since 1970.
    pub at_ms: i64,
}

/// A place that this process holds.
#[derive(Debug)]
pub struct SpoolPlace {
    /// The name.
    pub name: PlaceName,
    path: PathBuf,
    lock: Option<File>,
}

impl PlaceName {
    /// The name of the record's file in the queue. Names sort as the numbers do.
    pub fn record_name(&self) -> String {
        format!("{:016}-{:016x}", self.number, self.agent)
    }

    /// The name of the place's file, for [`Self::parse`].
    pub fn file_name(&self) -> String {
        format!("{}-{}", self.record_name(), self.at_ms)
    }

    /// Parses the name of a place's file.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let number = parts.next()?.parse().ok()?;
        let agent = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some(Self { number, agent, at_ms: parts.next()?.parse().ok()? })
    }

    /// Whether a record has to wait for this place. The name of a record that took no place has no checksum, and such a
    /// record waits for no place.
    pub fn holds_up(&self, record_name: &str, now_ms: i64) -> bool {
        let Some((number, agent)) = record_name.split_once('-') else { return false };
        let is_earlier = number.parse::<u64>().is_ok_and(|number| self.number < number);
        let is_of_same_agent = u64::from_str_radix(agent, 16).is_ok_and(|agent| self.agent == agent);
        is_earlier && is_of_same_agent && now_ms.saturating_sub(self.at_ms) < MAX_WAIT_BEHIND_MS
    }
}

impl SpoolPlace {
    /// Takes the first free place from `name` on: `unnamed` is the path at which its file is made. The file is locked
    /// before it gets its name, because an unlocked place counts as left by a killed process.
    pub fn take(folder: &Path, unnamed: &Path, name: PlaceName) -> io::Result<Self> {
        Self::take_by(|from, to| fs::hard_link(from, to), folder, unnamed, name)
    }

    /// Takes a place as [`Self::take`] does, with the function that makes a hard link.
    pub(super) fn take_by(
        link: impl Fn(&Path, &Path) -> io::Result<()>,
        folder: &Path,
        unnamed: &Path,
        mut name: PlaceName,
    ) -> io::Result<Self> {
        let lock = OpenOptions::new().append(true).create(true).mode(0o600).open(unnamed)?;
        lock.lock()?;
        let named = loop {
            let path = folder.join(name.file_name());
            match link(unnamed, &path) {
                Ok(()) => break Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => name.number += 1,
                // The file system has no hard links. A rename replaces a file, so the name has to be free.
                Err(_) if path.exists() => name.number += 1,
                Err(_) => break fs::rename(unnamed, &path).map(|()| path),
            }
        };
        let _ = fs::remove_file(unnamed);
        Ok(Self { name, path: named?, lock: Some(lock) })
    }

    /// Takes over the place from the process that started this one, and returns the input that was read so far. This
    /// process inherited the lock.
    ///
    /// # Errors
    /// The file of the place cannot be read.
    pub fn take_over(folder: &Path, name: PlaceName) -> io::Result<(Self, Vec<u8>)> {
        let path = folder.join(name.file_name());
        let input = fs::read(&path)?;
        Ok((Self { name, path, lock: None }, input))
    }

    /// Keeps the input that was read so far, and returns a copy of the lock for the process that takes the place over.
    ///
    /// # Errors
    /// The input cannot be written.
    pub fn prepare_hand_over(&mut self, input: &[u8]) -> io::Result<Option<File>> {
        let Some(lock) = &mut self.lock else { return Ok(None) };
        lock.write_all(input)?;
        lock.try_clone().map(Some)
    }

    /// Leaves the place to the process that took it over.
    pub fn hand_over(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for SpoolPlace {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The places in a folder that a process holds. The files of killed processes are removed.
pub fn open_places(folder: &Path) -> Vec<PlaceName> {
    let mut open = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some(name) = entry.file_name().to_str().and_then(PlaceName::parse) else { continue };
        match File::open(entry.path()).map(|file| file.try_lock_shared()) {
            Ok(Ok(())) => drop(fs::remove_file(entry.path())),
            Ok(Err(_)) => open.push(name),
            Err(_) => {}
        }
    }
    open
}

/// The checksum of the name of an agent process.
pub fn agent_checksum(agent_process: &str) -> u64 {
    checksum::carry_on(checksum::BEGINNING, agent_process.as_bytes())
}
