//! Cursors: texts that name a set of changes.
//!
//! A cursor is `"<epoch>:<xmin>:<xmax>:<xip,...>"`. The epoch names one history of one database. The rest is the
//! database's own snapshot, in the text form of Postgres' `pg_snapshot`: it contains all transactions below `xmin`, and
//! the transactions below `xmax` that are not listed. SQLite uses the same text format with a plain counter, because it
//! has one writer: `<n>:<n>:`, with n one more than the newest change id ever given.
//!
//! Cursors have no order. The only question is whether one [covers](Cursor::covers) another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::protocol::limits;

/// A set of changes of one history of one database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(Arc<Content>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Content {
    epoch: Box<str>,
    snapshot: Snapshot,
}

/// A set of transactions: all below `xmin`, and all below `xmax` that are not in `xip`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    xmin: u64,
    xmax: u64,
    /// Ascending, each at least `xmin` and below `xmax`.
    xip: Box<[u64]>,
}

/// The reason why a text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError(&'static str);

impl Cursor {
    /// The cursor of all changes below `next`, for a database in which changes become visible in the order of their
    /// numbers.
    pub fn counter(epoch: impl Into<Box<str>>, next: u64) -> Self {
        Self::new(epoch, Snapshot::counter(next))
    }

    /// The cursor of `snapshot` in the history `epoch`.
    pub fn new(epoch: impl Into<Box<str>>, snapshot: Snapshot) -> Self {
        Self(Arc::new(Content { epoch: epoch.into(), snapshot }))
    }

    /// The history to which this cursor belongs.
    pub fn epoch(&self) -> &str {
        &self.0.epoch
    }

    /// The changes that this cursor contains.
    pub fn snapshot(&self) -> &Snapshot {
        &self.0.snapshot
    }

    /// Whether the text that this cursor was read from does not say what the cursor contains: too many transactions were
    /// open.
    pub fn is_of_crowd(&self) -> bool {
        self.epoch().starts_with(CROWD)
    }

    /// Whether this cursor contains every change that `other` contains. Different epochs never cover each other.
    pub fn covers(&self, other: &Cursor) -> bool {
        self.epoch() == other.epoch() && self.snapshot().covers(other.snapshot())
    }

    /// The cursor that contains every change of both. None: they have different epochs.
    pub fn joined(&self, other: &Cursor) -> Option<Cursor> {
        let joined = || Cursor::new(self.epoch(), self.snapshot().joined(other.snapshot()));
        (self.epoch() == other.epoch()).then(joined)
    }
}

impl Snapshot {
    /// The snapshot of all changes below `next`, for a database in which changes become visible in the order of their
    /// numbers.
    pub fn counter(next: u64) -> Self {
        Self { xmin: next, xmax: next, xip: Box::new([]) }
    }

    /// All transactions below this number are contained.
    pub fn xmin(&self) -> u64 {
        self.xmin
    }

    /// No transaction from this number on is contained.
    pub fn xmax(&self) -> u64 {
        self.xmax
    }

    /// The transactions between the two that are not contained, ascending.
    pub fn xip(&self) -> &[u64] {
        &self.xip
    }

    /// The snapshot of this one, and the transactions of the later snapshot `now` up to `id`.
    pub fn up_to(&self, now: &Snapshot, id: u64) -> Snapshot {
        let xmax = self.xmax.max(now.xmax.min(id.saturating_add(1)));
        // Of the transactions that this snapshot lacks, those remain that `now` lacks or that are behind `id`.
        let lacked = self.xip.iter().copied().filter(|one| *one > id || !now.contains(*one));
        let behind = now.xip.iter().copied().filter(|one| (self.xmax..xmax).contains(one));
        let xip: Box<[u64]> = lacked.chain(behind).collect();
        Snapshot { xmin: xip.first().copied().unwrap_or(xmax), xmax, xip }
    }

    /// This snapshot with one transaction more.
    pub fn with(&self, id: u64) -> Snapshot {
        let xmax = self.xmax.max(id.saturating_add(1));
        let xip: Box<[u64]> = self.xip.iter().copied().chain(self.xmax..xmax).filter(|one| *one != id).collect();
        Snapshot { xmin: xip.first().copied().unwrap_or(xmax), xmax, xip }
    }

    /// Parses the text of a snapshot, without the epoch.
    fn parse(text: &[u8]) -> Result<Self, CursorError> {
        let mut bytes = text.iter();
        let ((xmin, after_xmin), (xmax, after_xmax)) = (number(&mut bytes)?, number(&mut bytes)?);
        if (after_xmin, after_xmax) != (Some(b':'), Some(b':')) {
            return Err(FORM);
        }
        let mut xip = Vec::new();
        let mut more = !bytes.as_slice().is_empty();
        let mut ordered = xmin <= xmax;
        while more {
            let (id, after) = number(&mut bytes)?;
            ordered &= id < xmax && xip.last().map_or(id >= xmin, |last| *last < id);
            xip.push(id);
            more = after == Some(b',');
            if after.is_some() && !more {
                return Err(FORM);
            }
        }
        if !ordered {
            return Err(CursorError("the numbers are out of order"));
        }
        Ok(Snapshot { xmin, xmax, xip: xip.into() })
    }

    /// Whether this snapshot contains transaction `id`.
    fn contains(&self, id: u64) -> bool {
        id < self.xmax && self.xip.binary_search(&id).is_err()
    }

    /// The snapshot that contains every transaction of both.
    pub fn joined(&self, other: &Snapshot) -> Snapshot {
        let (longer, shorter) = if self.xmax < other.xmax { (other, self) } else { (self, other) };
        let mut xip = longer.xip.to_vec();
        xip.retain(|id| !shorter.contains(*id));
        let xmin = if xip.len() == longer.xip.len() { longer.xmin } else { *xip.first().unwrap_or(&longer.xmax) };
        Snapshot { xmin, xmax: longer.xmax, xip: xip.into() }
    }

    /// Whether this snapshot contains every transaction of `other`.
    pub fn covers(&self, other: &Snapshot) -> bool {
        // `other` must contain no transaction from our xmax on.
        let beyond = other.xmax.saturating_sub(self.xmax);
        let listed = other.xip.iter().filter(|id| **id >= self.xmax).count() as u64;
        // Each transaction below the xmax of `other` that we lack, `other` must lack too.
        beyond == listed && self.xip.iter().filter(|id| **id < other.xmax).all(|id| other.xip.binary_search(id).is_ok())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() > limits::CURSOR_BYTES {
            return Err(CursorError("longer than 8 KiB"));
        }
        let colon = text.bytes().position(|byte| byte == b':');
        let (Some(epoch), Some(rest)) =
            (colon.and_then(|colon| text.get(..colon)), colon.and_then(|colon| text.as_bytes().get(colon + 1..)))
        else {
            return Err(FORM);
        };
        if epoch.is_empty() || !epoch.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(CursorError("the epoch is letters, digits, `-` and `_`"));
        }
        Ok(Self::new(epoch, Snapshot::parse(rest)?))
    }
}

/// The beginning of the epoch in the text of a cursor that is too long to be written.
const CROWD: &str = "crowd-";
/// So many open transactions have a text that is shorter than the limit: a number has at most 20 digits.
const SURELY_SHORT: usize = 300;

const FORM: CursorError = CursorError("expected <epoch>:<xmin>:<xmax>:<xip>");

/// The number before the next byte that is no digit, and that byte. The parser of the standard library would also take
/// a sign.
fn number(bytes: &mut std::slice::Iter<'_, u8>) -> Result<(u64, Option<u8>), CursorError> {
    let mut number = None;
    for byte in bytes {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return Ok((number.ok_or(CursorError("not a number"))?, Some(*byte)));
        }
        let before: u64 = number.unwrap_or(0);
        if before > u64::MAX / 10 || before == u64::MAX / 10 && digit > u64::MAX % 10 {
            return Err(CursorError("a number is too large"));
        }
        number = Some(before * 10 + digit);
    }
    Ok((number.ok_or(CursorError("not a number"))?, None))
}

impl FromStr for Snapshot {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        Self::parse(text.as_bytes())
    }
}

/// The text of a cursor. A cursor with more open transactions than [`limits::CURSOR_BYTES`] holds has a text that names
/// it and does not say what it contains: no cursor covers it, so a client that sends it gets a snapshot.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        if snapshot.xip.len() < SURELY_SHORT {
            return write!(f, "{}:{snapshot}", self.epoch());
        }
        let text = format!("{}:{snapshot}", self.epoch());
        if text.len() <= limits::CURSOR_BYTES {
            return f.write_str(&text);
        }
        // FNV-1a, since its result is the same in every version of the program.
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        write!(f, "{CROWD}{hash:016x}:{xmax}:{xmax}:", xmax = snapshot.xmax)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (at, id) in self.xip.iter().enumerate() {
            write!(f, "{}{id}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a cursor: {}", self.0)
    }
}

impl std::error::Error for CursorError {}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "server")]
super::openapi_text!(Cursor, "cursor");

#[cfg(test)]
mod tests {
    use super::{Cursor, Snapshot};

    fn cursor(text: &str) -> Cursor {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn text_round_trips() {
        for text in ["a:1:1:", "run-1:5:9:5,7", "E_2:0:0:", "x:18446744073709551615:18446744073709551615:"] {
            assert_eq!(cursor(text).to_string(), text);
        }
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in [
            "",
            "a",
            "a:1",
            "a:1:1",
            "a:1:1::",
            ":1:1:",
            "a:2:1:",
            "a:1:3:3",
            "a:1:4:3,2",
            "a:+1:1:",
            "a:1:3:,",
            "ä:1:1:",
            "a:::",
            "a:1:99999999999999999999:",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
        assert!(format!("a:1:1:{}", " ".repeat(9000)).parse::<Cursor>().is_err());
    }

    /// Compares every pair of small snapshots with the definition: each number that `b` contains is contained in `a`.
    #[test]
    fn covers_is_set_inclusion() {
        let mut all = Vec::new();
        for xmin in 0..5u64 {
            for xmax in xmin..5 {
                for bits in 0..(1u64 << (xmax - xmin)) {
                    let xip: Vec<String> =
                        (xmin..xmax).filter(|id| bits >> (id - xmin) & 1 == 1).map(|id| id.to_string()).collect();
                    all.push(cursor(&format!("e:{xmin}:{xmax}:{}", xip.join(","))));
                }
            }
        }
        let contains = |c: &Cursor, id: u64| id < c.snapshot().xmax && !c.snapshot().xip.contains(&id);
        for a in &all {
            for b in &all {
                let included = (0..6).all(|id| !contains(b, id) || contains(a, id));
                assert_eq!(a.covers(b), included, "{a} covers {b}");
            }
        }
        assert!(!cursor("e:9:9:").covers(&cursor("f:1:1:")));
    }

    fn snapshots(most: u64) -> Vec<Snapshot> {
        let mut all = Vec::new();
        for xmin in 0..most {
            for xmax in xmin..most {
                for bits in 0..(1u64 << (xmax - xmin)) {
                    let xip: Vec<u64> = (xmin..xmax).filter(|id| bits >> (id - xmin) & 1 == 1).collect();
                    all.push(Snapshot { xmin, xmax, xip: xip.into() });
                }
            }
        }
        all
    }

    /// Compares each operation with its definition, for small snapshots.
    #[test]
    fn operations_are_those_of_sets() {
        let all = snapshots(5);
        for a in &all {
            for id in 0..6 {
                let with = a.with(id);
                let is_right = |one: u64| with.contains(one) == (a.contains(one) || one == id);
                assert!((0..8).all(is_right) && with.to_string().parse::<Snapshot>().is_ok(), "{a} with {id}: {with}");
            }
            for b in all.iter().filter(|b| b.covers(a)) {
                for id in 0..6 {
                    let up_to = a.up_to(b, id);
                    let is_right = |one: u64| up_to.contains(one) == (a.contains(one) || one <= id && b.contains(one));
                    let text = format!("{a} up to {id} of {b}: {up_to}");
                    assert!((0..8).all(is_right) && up_to.to_string().parse::<Snapshot>().is_ok(), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_cursor_of_a_crowd_has_a_text_that_no_cursor_covers() {
        let crowd = |first: u64| {
            let xip: Vec<u64> = (first..first + 2_000).step_by(2).collect();
            Cursor::new("epoch", Snapshot { xmin: first, xmax: first + 2_000, xip: xip.into() })
        };
        let (one, other) = (crowd(1_000_000_000), crowd(1_000_000_002));
        assert!(one.covers(&one) && one.to_string().len() < 100 && one.to_string() != other.to_string());
        let read = cursor(&one.to_string());
        assert!(read.is_of_crowd() && !read.covers(&one) && !one.covers(&read));
        let few = Cursor::new("epoch", Snapshot { xmin: 1, xmax: 1_000, xip: (1..999).step_by(2).collect() });
        assert_eq!(cursor(&few.to_string()), few);
    }
}
