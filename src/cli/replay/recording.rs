//! A recording of hooks: a file with one record per line. It is read line by line, so it may have any length.

use anyhow::Context;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::AsyncBufRead;

use crate::cli::lines::{BoundedLine, BoundedLines};

/// The longest accepted line, in bytes: twice the largest record that the server accepts.
const MAX_RECORDED_LINE_BYTES: usize = 16 * 1024 * 1024;

/// A record of a recording.
#[derive(Debug, PartialEq)]
pub struct RecordedLine {
    /// The time of the record, in milliseconds since the start of the recording. `None`: directly after the previous
    /// one.
    pub at_ms: Option<f64>,
    /// The runtime that reported the record, if the line names it.
    pub source: Option<String>,
    /// The input of the hook, byte for byte.
    pub body: String,
}

impl RecordedLine {
    fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Written<'a> {
            at_ms: Option<f64>,
            source: Option<String>,
            #[serde(borrow)]
            body: Option<&'a RawValue>,
        }
        let line: Written = serde_json::from_str(text).map_err(|error| match error.is_data() {
            true => "not a record: expected an object such as {\"at_ms\": 1200, \"body\": {...}}".to_owned(),
            false => format!("not a record: {error}"),
        })?;
        let body = line.body.ok_or("not a record: it has no body")?;
        Ok(Self { at_ms: line.at_ms, source: line.source, body: body.get().to_owned() })
    }
}

/// The lines of a recording.
pub struct Recording<R>(BoundedLines<R>);

impl<R: AsyncBufRead + Unpin> Recording<R> {
    /// A recording that is read from `reader`.
    pub fn new(reader: R) -> Self {
        Self(BoundedLines::new(reader, MAX_RECORDED_LINE_BYTES))
    }

    /// The next line that is not blank, with its number: the record, or the reason why the line is not a record.
    ///
    /// # Errors
    /// Reading the file failed.
    pub async fn next(&mut self) -> anyhow::Result<Option<(u64, Result<RecordedLine, String>)>> {
        loop {
            let next = self.0.next().await;
            let number = self.0.number;
            let line = match next.with_context(|| format!("could not read line {number}"))? {
                None => return Ok(None),
                Some(BoundedLine::Line(bytes)) if bytes.trim_ascii().is_empty() => continue,
                Some(BoundedLine::Line(bytes)) => match std::str::from_utf8(&bytes) {
                    Ok(text) => RecordedLine::parse(text),
                    Err(error) => Err(format!("not UTF-8: {error}")),
                },
                Some(BoundedLine::TooLong) => Err(format!("longer than {} MiB", MAX_RECORDED_LINE_BYTES >> 20)),
            };
            return Ok(Some((number, line)));
        }
    }

    /// The number of bytes that were read.
    pub fn read(&self) -> u64 {
        self.0.read
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_RECORDED_LINE_BYTES, Recording};

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
        assert_eq!(recording.read(), text.len() as u64);
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
    async fn a_broken_line_is_reported_and_the_next_is_read() {
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
    async fn a_line_that_is_too_long_is_skipped() {
        let long = format!("{}\n{{\"body\": 1}}\n", "x".repeat(MAX_RECORDED_LINE_BYTES + 1));
        check(&long, &["1 longer than 16 MiB", "2 at None from None: 1"]).await;
    }
}
