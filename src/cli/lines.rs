//! Reads a file of any length one line at a time, with a bound for the length of a line.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The lines of a reader.
pub struct BoundedLines<R> {
    reader: R,
    longest: usize,
    /// The number of the line that the last call of [`BoundedLines::next`] read. The first line has the number 1.
    pub number: u64,
    /// Whether the last line that was read ended with a line feed, and not with the end of the file.
    pub ended: bool,
    /// The number of bytes that were read.
    pub read: u64,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub enum BoundedLine {
    /// The bytes of the line, without the line feed.
    Line(Vec<u8>),
    /// The line exceeds the bound. Its bytes were skipped.
    TooLong,
}

impl<R: AsyncBufRead + Unpin> BoundedLines<R> {
    /// Reads lines of at most `longest` bytes.
    pub fn new(reader: R, longest: usize) -> Self {
        Self { reader, longest, number: 0, ended: false, read: 0 }
    }

    /// Reads the next line. `None` at the end of the file.
    ///
    /// # Errors
    /// Reading failed.
    pub async fn next(&mut self) -> std::io::Result<Option<BoundedLine>> {
        self.number += 1;
        let (mut line, mut length) = (Vec::new(), 0);
        loop {
            let chunk = self.reader.fill_buf().await?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            if length + part.len() <= self.longest {
                line.extend_from_slice(part);
            } else {
                line = Vec::new();
            }
            length += part.len();
            let taken = end.map_or(part.len(), |end| end + 1);
            self.reader.consume(taken);
            self.read += taken as u64;
            if taken == 0 && length == 0 {
                return Ok(None);
            }
            if end.is_some() || taken == 0 {
                self.ended = end.is_some();
                return Ok(Some(if length <= self.longest { BoundedLine::Line(line) } else { BoundedLine::TooLong }));
            }
        }
    }
}
