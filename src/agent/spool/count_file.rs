//! The file `count`: it holds the figures of a spool, and it is the lock of the queue.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The size of the file: four numbers of twenty digits, each followed by a space or the end of the line.
const FILE_BYTES: usize = 84;

/// The figures. The file stays locked until this value is dropped.
#[derive(Debug)]
pub struct CountFile {
    file: File,
    /// The number of the next record in the queue.
    pub next: u64,
    /// The bytes of disk that the waiting records take.
    pub bytes: u64,
    /// Records dropped since the spool exists.
    pub dropped: u64,
    /// Records put aside since the spool exists.
    pub aside: u64,
}

impl CountFile {
    /// Reads the figures from the locked file. If the file is empty or damaged, `found` works out `next` and `bytes`
    /// from the queue, and the other two start at 0.
    pub fn read(file: File, found: impl FnOnce() -> io::Result<(u64, u64)>) -> io::Result<Self> {
        let mut text = [0; FILE_BYTES];
        let read = file.read_at(&mut text, 0).unwrap_or_default();
        let numbers = str::from_utf8(&text[..read]).ok().filter(|_| read == FILE_BYTES);
        let numbers: Option<Vec<u64>> =
            numbers.and_then(|text| text.split_whitespace().map(|number| number.parse().ok()).collect());
        let (next, bytes, dropped, aside) = match numbers.as_deref() {
            Some([next, bytes, dropped, aside]) => (*next, *bytes, *dropped, *aside),
            _ => {
                let (next, bytes) = found()?;
                (next, bytes, 0, 0)
            }
        };
        Ok(Self { file, next, bytes, dropped, aside })
    }

    /// Writes the figures.
    pub fn save(&self) -> io::Result<()> {
        let Self { file, next, bytes, dropped, aside } = self;
        let text = format!("{next:020} {bytes:020} {dropped:020} {aside:020}\n");
        file.write_all_at(text.as_bytes(), 0)
    }
}
