//! One record as a file: a line about it, then its body.

/// What the line begins with: the format and its version.
const HEADER: &str = "requery-spool-1";
/// The same of a record that says which process it is of.
const HEADER_WITH_PROCESS: &str = "requery-spool-2";
/// The longest line.
const MAX_HEADER_BYTES: usize = 512;

/// What a hook was given, and what it needs to be delivered later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpooledRecord {
    /// The runtime, as the server's endpoint has it.
    pub source: String,
    /// The delivery: the same at every try.
    pub delivery: String,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: i64,
    /// The process of the agent, as it is named to the server, where it is known: a text without spaces.
    pub process: Option<String>,
    /// What the hook was given.
    pub body: Vec<u8>,
}

/// A file that is no record, or not all of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a whole record")]
pub struct BrokenRecord;

impl SpooledRecord {
    /// As a file.
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

    /// From a file.
    ///
    /// # Errors
    /// It is not one, or something is missing or changed.
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

    /// FNV-1a over everything, eight bytes at a time: it tells a torn file, not a forged one.
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
