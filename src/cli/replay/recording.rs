//! A recording of hooks: one line a record, read one at a time however long the file is.

use anyhow::Context;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest line in bytes. A record is at most half of it.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// A record of a recording.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// When it came, in milliseconds since the recording began; none: right after the one before.
    pub at_ms: Option<f64>,
    /// The runtime it came from, where the line says so.
    pub source: Option<String>,
    /// What the hook was given, exactly.
    pub body: String,
}

impl Line {
    fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Written<'a> {
            at_ms: Option<f64>,
            source: Option<String>,
            #[serde(borrow)]
            body: Option<&'a RawValue>,
        }
        let line: Written = serde_json::from_str(text).map_err(|error| format!("not a record: {error}"))?;
        let body = line.body.ok_or("not a record: it has no body")?;
        Ok(Self { at_ms: line.at_ms, source: line.source, body: body.get().to_owned() })
    }
}

/// The lines of a recording.
pub struct Recording<R> {
    reader: R,
    number: u64,
    /// How many bytes were read.
    pub read: u64,
}

impl<R: AsyncBufRead + Unpin> Recording<R> {
    /// The recording that this reads.
    pub fn new(reader: R) -> Self {
        Self { reader, number: 0, read: 0 }
    }

    /// The next line that is not blank, with its number; or what is wrong with it.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub async fn next(&mut self) -> anyhow::Result<Option<(u64, Result<Line, String>)>> {
        loop {
            self.number += 1;
            let Some(bytes) = self.bytes().await.with_context(|| format!("could not read line {}", self.number))?
            else {
                return Ok(None);
            };
            let line = match bytes {
                Some(bytes) if bytes.trim_ascii().is_empty() => continue,
                Some(bytes) => match std::str::from_utf8(&bytes) {
                    Ok(text) => Line::parse(text),
                    Err(error) => Err(format!("not UTF-8: {error}")),
                },
                None => Err(format!("longer than {} MiB", MAX_LINE >> 20)),
            };
            return Ok(Some((self.number, line)));
        }
    }

    /// The bytes of a line; of one that is too long none, and it is skipped without being kept.
    async fn bytes(&mut self) -> std::io::Result<Option<Option<Vec<u8>>>> {
        let (mut line, mut length) = (Vec::new(), 0);
        loop {
            let chunk = self.reader.fill_buf().await?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            if length + part.len() <= MAX_LINE {
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
                return Ok(Some((length <= MAX_LINE).then_some(line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINE, Recording};

    async fn check(text: &str, expected: &[&str]) {
        let mut recording = Recording::new(text.as_bytes());
        let mut lines = Vec::new();
        while let Some((number, line)) = recording.next().await.expect("readable") {
            lines.push(match line {
                Ok(line) => format!("{number} at {:?} from {:?}: {}", line.at_ms, line.source, line.body),
                Err(error) => format!("{number} {error}"),
            });
        }
        assert_eq!(lines, expected);
        assert_eq!(recording.read, text.len() as u64);
    }

    #[tokio::test]
    async fn a_body_is_sent_as_it_was_written() {
        check(
            "{\"at_ms\": 5, \"body\": {\"b\" : 1.0, \"a\": \"\\ud83d\"}}\r\n\n{\"source\":\"codex\",\"body\":[]}",
            &[r#"1 at Some(5.0) from None: {"b" : 1.0, "a": "\ud83d"}"#, r#"3 at None from Some("codex"): []"#],
        )
        .await;
    }

    #[tokio::test]
    async fn a_broken_line_is_told_and_the_next_is_read() {
        check(
            "{\"at_ms\": 5\n{\"at_ms\": 5}\n{\"body\": 1}\n",
            &[
                "1 not a record: EOF while parsing an object at line 1 column 11",
                "2 not a record: it has no body",
                "3 at None from None: 1",
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn a_line_without_end_is_skipped() {
        let long = format!("{}\n{{\"body\": 1}}\n", "x".repeat(MAX_LINE + 1));
        check(&long, &["1 longer than 16 MiB", "2 at None from None: 1"]).await;
    }
}
