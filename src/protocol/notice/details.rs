//! The details of a notice: the parts that a client may leave aside. They tell it which notices do not concern a screen.
//!
//! A detail that is not known is none, and a client counts it as every value. So details are never narrowed: a merged
//! notice has the union of the sets, and none where one of the sets is none.

use crate::protocol::limits;
use crate::protocol::model::Lane;

/// A word of a set of details.
pub(super) trait Word: Clone {
    /// The text on the wire, by which the set is sorted.
    fn text(&self) -> &str;
}

impl Word for String {
    fn text(&self) -> &str {
        self
    }
}

impl Word for Lane {
    fn text(&self) -> &str {
        self.as_str()
    }
}

/// Adds a word to a sorted set.
pub(super) fn add<T: Word>(set: &mut Vec<T>, word: T) {
    if let Err(at) = set.binary_search_by(|other| other.text().cmp(word.text())) {
        set.insert(at, word);
    }
}

/// Adds the words of `older` to a sorted set, which becomes none if one of both is none or if it grows too large.
pub(super) fn unite<T: Word>(set: &mut Option<Vec<T>>, older: &Option<Vec<T>>) {
    let (Some(words), Some(older)) = (set.as_mut(), older) else {
        *set = None;
        return;
    };
    for word in older {
        if words.binary_search_by(|other| other.text().cmp(word.text())).is_err() {
            add(words, word.clone());
        }
    }
    if words.len() > limits::DETAILS_PER_NOTICE {
        *set = None;
    }
}

/// Whether one of two changes is of a kind. None where neither is known to be, and one is not known.
pub(super) fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        (None, _) | (_, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{either, unite};

    fn set(words: &str) -> Option<Vec<String>> {
        (words != "?").then(|| words.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn sets_are_united_or_not_known() {
        let sixteen: Vec<String> = (10..26).map(|number| format!("k{number}")).collect();
        let sixteen = sixteen.join(" ");
        for (newer, older, expected) in [
            ("b", "a c", "a b c"),
            ("a b", "b", "a b"),
            ("", "a", "a"),
            ("?", "a", "?"),
            ("a", "?", "?"),
            ("?", "?", "?"),
            (&sixteen, "k10 k25", &sixteen),
            (&sixteen, "k26", "?"),
            ("k26", &sixteen, "?"),
        ] {
            let mut united = set(newer);
            unite(&mut united, &set(older));
            assert_eq!(united, set(expected), "{newer} + {older}");
        }
    }

    #[test]
    fn one_known_change_is_enough() {
        let all = [Some(true), Some(false), None];
        let merged = all.map(|one| all.map(|other| either(one, other)));
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(merged, [[yes, yes, yes], [yes, no, None], [yes, None, None]]);
    }
}
