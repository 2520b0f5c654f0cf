//! The file of one record: a header line, then the body.

/// The first word of the header: the format and its version.
const HEADER: &str = "requery-spool-1";
/// The first word of the header of a record that names its process.
const HEADER_WITH_PROCESS: &str = "requery-spool-2";
/// The longest header.
const MAX_HEADER_BYTES: usize = 512;

/// The record of a hook, with the facts that a later delivery needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpooledRecord {
    /// The name of the runtime, as in the server's endpoint.
    pub source: String,
    /// The delivery id, the same at every attempt.
    pub delivery: String,
    /// When the hook ran, in milliseconds since 1970.
    pub at_ms: i64,
    /// The name of the agent's process, if it is known: a text without spaces.
    pub process: Option<String>,
    /// The record as the agent gave it to the hook.
    pub body: Vec<u8>,
}

/// A file that is no record, or only part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file is not a complete record")]
pub struct BrokenRecord;

impl SpooledRecord {
    /// The content of the record's file.
    pub fn encode(&self) -> Vec<u8> {
        let Self { source, delivery, at_ms, process, body } = self;
        let (length, sum) = (body.len(), self.checksum());
        let line = match process {
            Some(process) => {
                format!("{HEADER_WITH_PROCESS} {source} {delivery} {at_ms} {process} {length} {sum:016x}\n")
            }
            None => format!("{HEADER} {source} {delivery} {at_ms} {length} {sum:016x}\n"),
        };
        let mut text = line.into_bytes();
        text.extend_from_slice(body);
        text
    }

    /// Reads a record from the content of its file.
    ///
    /// # Errors
    /// The file is no record, or a part of it is missing or altered.
    pub fn decode(text: &[u8]) -> Result<Self, BrokenRecord> {
        let end = text.iter().take(MAX_HEADER_BYTES).position(|byte| *byte == b'\n').ok_or(BrokenRecord)?;
        let line = str::from_utf8(&text[..end]).map_err(|_| BrokenRecord)?;
        let (source, delivery, at_ms, process, length, sum) = match line.split(' ').collect::<Vec<_>>()[..] {
            [HEADER, source, delivery, at_ms, length, sum] => (source, delivery, at_ms, None, length, sum),
            [HEADER_WITH_PROCESS, source, delivery, at_ms, process, length, sum] => {
                (source, delivery, at_ms, Some(process.to_owned()), length, sum)
            }
            _ => return Err(BrokenRecord),
        };
        let body = text[end + 1..].to_vec();
        let record = Self {
            source: source.to_owned(),
            delivery: delivery.to_owned(),
            at_ms: at_ms.parse().map_err(|_| BrokenRecord)?,
            process,
            body,
        };
        let whole = length == record.body.len().to_string() && sum == format!("{:016x}", record.checksum());
        if whole { Ok(record) } else { Err(BrokenRecord) }
    }

    /// A variant of FNV-1a over all fields, eight bytes at a time. It detects an incomplete file, not a forged one.
    fn checksum(&self) -> u64 {
        let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        let bytes = |sum, bytes: &[u8]| {
            bytes.chunks(8).fold(sum, |sum, chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                mix(sum, u64::from_le_bytes(word))
            })
        };
        let mut head = 0xcbf2_9ce4_8422_2325;
        for text in [Some(&self.source), Some(&self.delivery), self.process.as_ref()].into_iter().flatten() {
            head = bytes(head, text.as_bytes());
        }
        bytes(mix(mix(head, self.at_ms.cast_unsigned()), self.body.len() as u64), &self.body)
    }
}
