//! The figures of a spool, in the file that is its lock.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Four numbers of twenty digits, each with a blank or the end of the line behind it.
const FILE_BYTES: usize = 84;

/// The figures, locked as long as this is there.
#[derive(Debug)]
pub struct CountFile {
    file: File,
    /// The place of the next record.
    pub next: u64,
    /// What waits takes so many bytes of disk.
    pub bytes: u64,
    /// Records dropped, ever.
    pub dropped: u64,
    /// Records put aside, ever.
    pub aside: u64,
}

impl CountFile {
    /// Reads them from the file, which is locked; where it says nothing, from what is there: `next` and `bytes`.
    pub fn read(file: File, found: impl FnOnce() -> io::Result<(u64, u64)>) -> io::Result<Self> {
        let mut text = [0; FILE_BYTES];
        let read = file.read_exact_at(&mut text, 0).ok().and_then(|()| {
            let numbers = str::from_utf8(&text).ok()?.split_whitespace().map(|number| number.parse().ok());
            <[u64; 4]>::try_from(numbers.collect::<Option<Vec<u64>>>()?).ok()
        });
        let [next, bytes, dropped, aside] = match read {
            Some(numbers) => numbers,
            None => {
                let (next, bytes) = found()?;
                [next, bytes, 0, 0]
            }
        };
        Ok(Self { file, next, bytes, dropped, aside })
    }

    /// Writes them.
    pub fn save(&self) -> io::Result<()> {
        let Self { file, next, bytes, dropped, aside } = self;
        file.write_all_at(format!("{next:020} {bytes:020} {dropped:020} {aside:020}\n").as_bytes(), 0)
    }
}
