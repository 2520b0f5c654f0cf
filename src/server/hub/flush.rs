//! One flush: the notices of one window, each encoded at most once for all streams.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::window::Merged;
use crate::engine::invalidation;
use crate::protocol::limits;
use crate::protocol::{Cursor, Frame, FrameKind, Notice, Watched};

/// The notices of one window.
#[derive(Debug)]
pub struct Flush {
    /// At most one for each kind and task.
    pub notices: Vec<Encoded>,
    /// Contains the changes of all these notices.
    pub cursor: Cursor,
    /// The hash of each stale read model with the place of its notice, sorted.
    places: OnceLock<Box<[(u64, u32)]>>,
}

/// A notice and its frame. The frame is encoded at most once for all streams.
#[derive(Debug)]
pub struct Encoded {
    /// The notice.
    pub notice: Notice,
    count: u32,
    stale: OnceLock<Box<[Watched]>>,
    last: OnceLock<Utf8Bytes>,
    more: OnceLock<Utf8Bytes>,
}

impl Flush {
    pub(super) fn new(merged: Vec<Merged>, cursor: Cursor) -> Self {
        let encoded = |Merged { notice, count }| Encoded {
            notice,
            count,
            stale: OnceLock::new(),
            last: OnceLock::new(),
            more: OnceLock::new(),
        };
        Self { notices: merged.into_iter().map(encoded).collect(), cursor, places: OnceLock::new() }
    }

    /// The notices that make one of `names` stale, in their order. The cost grows with the number of names and not with
    /// the number of notices.
    pub fn notices_that_name<'a>(&self, names: impl Iterator<Item = &'a Watched>) -> Vec<&Encoded> {
        let places = self.places.get_or_init(|| {
            let of_notice = |(place, encoded): (usize, &Encoded)| {
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                encoded.stale().iter().map(move |stale| (hash(stale), place)).collect::<Vec<_>>()
            };
            let mut places: Vec<_> = self.notices.iter().enumerate().flat_map(of_notice).collect();
            places.sort_unstable();
            places.into()
        });
        let mut found = BTreeSet::new();
        for name in names {
            let hash = hash(name);
            let from = places.partition_point(|(other, _)| *other < hash);
            let equal = places[from..].iter().take_while(|(other, _)| *other == hash);
            // Two read models can have one hash.
            found.extend(equal.map(|(_, place)| *place as usize).filter(|place| self.notices[*place].names(name)));
        }
        found.into_iter().map(|place| &self.notices[place]).collect()
    }

    /// The memory that this flush takes at most, in bytes, once `streams` streams have read it.
    pub(super) fn most_bytes(&self, streams: usize) -> usize {
        /// The stale read models of one notice, at most, each with its place.
        const STALE: usize = 4 * (size_of::<Watched>() + ID + size_of::<(u64, u32)>());
        /// An id in an allocation of its own.
        const ID: usize = 48;
        /// A frame without its project and its cursor.
        const TEXT: usize = 320;
        let cursor = self.cursor.to_string().len();
        // Of each flush a stream takes at most so many frames, and a frame has two forms.
        let texts = 2 * self.notices.len().min(streams.saturating_mul(limits::NOTICES_PER_FLUSH));
        // An escaped character has two bytes.
        let longest = self.notices.iter().map(|encoded| 2 * encoded.notice.project().len()).max().unwrap_or(0);
        let notice = |encoded: &Encoded| {
            // The sets are held once, and are in both forms of the frame.
            3 * bytes_of_details(&encoded.notice)
                + size_of::<Encoded>()
                + 3 * ID
                + STALE
                + encoded.notice.project().len()
        };
        self.notices.iter().map(notice).sum::<usize>() + texts.saturating_mul(TEXT + cursor + longest)
    }
}

impl Encoded {
    /// The read models that the notice makes stale, computed once for all streams.
    pub fn stale(&self) -> &[Watched] {
        self.stale.get_or_init(|| invalidation::stale(&self.notice).collect())
    }

    /// The JSON of the frame. `more` says whether this stream gets more frames with the same cursor.
    pub fn text(&self, cursor: &Cursor, more: bool) -> Utf8Bytes {
        let text = if more { &self.more } else { &self.last };
        let encode = || {
            let kind = FrameKind::Notice(self.notice.clone());
            encode(&Frame { count: self.count, more, ..Frame::new(kind, cursor.clone()) })
        };
        text.get_or_init(encode).clone()
    }

    fn names(&self, name: &Watched) -> bool {
        self.stale().contains(name)
    }
}

/// The JSON of a frame.
pub fn encode(frame: &Frame) -> Utf8Bytes {
    // A frame holds only texts, numbers and lists, so encoding cannot fail.
    serde_json::to_string(frame).unwrap_or_default().into()
}

/// The memory of the sets of a notice, which is at least as much as their JSON.
fn bytes_of_details(notice: &Notice) -> usize {
    let fields = notice.fields();
    let kinds = fields.kinds.into_iter().flatten().map(String::len);
    let lanes = fields.lanes.into_iter().flatten().map(|lane| lane.as_str().len());
    kinds.chain(lanes).map(|word| size_of::<String>() + word).sum()
}

fn hash(name: &Watched) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{Flush, Merged};
    use crate::protocol::{Cursor, Notice};

    /// The estimate decides when the backlog is full, so it must not be below the texts and lists that a flush can hold.
    #[test]
    fn the_estimate_covers_every_part_of_a_flush() {
        let cursor = Cursor::counter("0190b0a000007000800000000000000a", u64::MAX - 1);
        for sample in Notice::samples() {
            let flush = Flush::new(vec![Merged { notice: sample, count: u32::MAX }], cursor.clone());
            let encoded = &flush.notices[0];
            let texts = encoded.text(&cursor, true).len() + encoded.text(&cursor, false).len();
            let stale: usize =
                encoded.stale().iter().map(|stale| size_of_val(stale) + stale.to_string().len() + 16).sum();
            let ids = 3 * 36 + encoded.notice.project().len();
            let held = size_of_val(encoded) + texts + stale + ids;
            let most = flush.most_bytes(1);
            assert!((held..3 * held).contains(&most), "{held} {most} {:?}", encoded.notice);
        }
    }
}
