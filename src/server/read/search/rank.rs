//! The order of the hits: BM25 among the newest matches.
//!
//! The rarity of a word makes no difference here, since every candidate has every word. The rank depends on how often
//! the words occur, on the length of the text, and on the words in the title.

use crate::server::search::query::Query;

/// How much each further occurrence of a word adds (`k1` of BM25).
const SATURATION: f64 = 1.2;
/// How much the length of a text lowers its score (`b` of BM25).
const LENGTH: f64 = 0.75;
/// A word in the title counts as much as this many words in the text.
const TITLE: f64 = 4.0;

/// A match that is to be ranked.
pub(super) struct Candidate {
    id: i64,
    /// How often each clause occurs. Occurrences in the title have a higher weight.
    often: Vec<f64>,
    /// The length of title and text in words.
    length: f64,
}

impl Candidate {
    /// The candidate with this title and this text. If the text is not `whole`, it is the beginning of a longer one.
    /// None if a whole text lacks a clause: the row has changed since it was indexed.
    pub(super) fn of(query: &Query, id: i64, title: &str, text: &str, whole: bool) -> Option<Self> {
        let mut often = vec![0.0; query.clauses()];
        let mut length = 0;
        for (part, weight) in [(title, TITLE), (text, 1.0)] {
            let (found, words) = query.find(part);
            length += words;
            for one in found {
                often[one.clause] += weight;
            }
        }
        let is_there = !whole || often.iter().all(|often| *often > 0.0);
        is_there.then_some(Self { id, often, length: length as f64 })
    }

    fn score(&self, average: f64) -> f64 {
        let norm = SATURATION * (1.0 - LENGTH + LENGTH * self.length / average);
        self.often.iter().map(|often| often / (often + norm)).sum()
    }
}

/// The ids of the best candidates, the best first. Of candidates with equal scores the newest comes first.
pub(super) fn best(candidates: Vec<Candidate>, most: usize) -> Vec<i64> {
    let average = candidates.iter().map(|one| one.length).sum::<f64>() / candidates.len().max(1) as f64;
    let average = average.max(1.0);
    let mut scored: Vec<(f64, i64)> = candidates.iter().map(|one| (one.score(average), one.id)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    scored.truncate(most);
    scored.into_iter().map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::{Candidate, best};
    use crate::server::search::query::Query;

    #[test]
    fn titles_short_texts_and_frequent_words_come_first() {
        let query = Query::parse("fox den");
        let long = format!("fox den {}", "and more ".repeat(40));
        let texts =
            [("", long.as_str()), ("", "a fox in its den"), ("fox den", ""), ("", "fox den fox den"), ("", "fox")];
        let all = texts.iter().enumerate();
        let all = all.filter_map(|(id, (title, text))| Candidate::of(&query, id as i64, title, text, true));
        assert_eq!(best(all.collect(), 10), [2, 3, 1, 0]);
        assert!(best(Vec::new(), 10).is_empty());
    }

    #[test]
    fn equal_scores_put_the_newest_first() {
        let query = Query::parse("a");
        let all = (0..5).filter_map(|id| Candidate::of(&query, id, "a", "", true)).collect();
        assert_eq!(best(all, 3), [4, 3, 2]);
        assert!(Candidate::of(&query, 1, "", "b", false).is_some());
    }
}
