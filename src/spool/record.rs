//! One record as a file: a line about it, then its body.

/// What the line begins with: the format and its version.
const MAGIC: &str = "requery-spool-1";
/// The longest line.
const LINE: usize = 256;

/// What a hook was given, and what it needs to be delivered later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The runtime, as the server's endpoint has it.
    pub source: String,
    /// The delivery: the same at every try.
    pub delivery: String,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: i64,
    /// What the hook was given.
    pub body: Vec<u8>,
}

/// A file that is no record, or not all of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a whole record")]
pub struct Broken;

impl Record {
    /// As a file.
    pub fn encode(&self) -> Vec<u8> {
        let Self { source, delivery, at_ms, body } = self;
        let (length, sum) = (body.len(), self.checksum());
        let mut text = format!("{MAGIC} {source} {delivery} {at_ms} {length} {sum:016x}\n").into_bytes();
        text.extend_from_slice(body);
        text
    }

    /// From a file.
    ///
    /// # Errors
    /// It is not one, or something is missing or changed.
    pub fn decode(text: &[u8]) -> Result<Self, Broken> {
        let end = text.iter().take(LINE).position(|byte| *byte == b'\n').ok_or(Broken)?;
        let line = str::from_utf8(&text[..end]).map_err(|_| Broken)?;
        let [MAGIC, source, delivery, at_ms, length, sum] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(Broken);
        };
        let body = text[end + 1..].to_vec();
        let record = Self {
            source: source.to_owned(),
            delivery: delivery.to_owned(),
            at_ms: at_ms.parse().map_err(|_| Broken)?,
            body,
        };
        let whole = length == record.body.len().to_string() && sum == format!("{:016x}", record.checksum());
        if whole { Ok(record) } else { Err(Broken) }
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
        let head = bytes(bytes(0xcbf2_9ce4_8422_2325, self.source.as_bytes()), self.delivery.as_bytes());
        bytes(mix(mix(head, self.at_ms.cast_unsigned()), self.body.len() as u64), &self.body)
    }
}
