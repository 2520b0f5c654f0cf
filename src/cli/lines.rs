//! Lines of files of any length, one at a time.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The lines that a reader gives.
pub struct BoundedLines<R> {
    reader: R,
    longest: usize,
    /// The number of the line that was read last; the first is 1.
    pub number: u64,
    /// Whether that line had an end, and not just the file.
    pub ended: bool,
    /// How many bytes were read.
    pub read: u64,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub enum BoundedLine {
    /// Its bytes, without its end.
    Line(Vec<u8>),
    /// It is longer than any may be; none of it was kept.
    TooLong,
}

impl<R: AsyncBufRead + Unpin> BoundedLines<R> {
    /// Lines of at most `longest` bytes.
    pub fn new(reader: R, longest: usize) -> Self {
        Self { reader, longest, number: 0, ended: false, read: 0 }
    }

    /// The next line.
    ///
    /// # Errors
    /// The reader cannot read on.
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
