//! A query: a match has to contain all its words.
//!
//! Any text is a query. Words in quotes, or joined as in `foo_bar`, have to be adjacent. A `*` after a word matches
//! every word that begins with it. No other character has a meaning, so no query is invalid.

use std::ops::Range;

use super::words;
use crate::protocol::limits;

/// The shortest prefix. A single letter begins a large part of all words, so `x*` only matches the word `x`.
const SHORTEST_PREFIX: usize = 2;

/// A parsed query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub(super) clauses: Vec<Clause>,
}

/// Words that have to be adjacent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) words: Vec<String>,
    /// Whether the last word is a prefix.
    pub(super) is_prefix: bool,
}

/// One match of a clause in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The index of the clause.
    pub clause: usize,
    /// The range of the match in bytes.
    pub range: Range<usize>,
}

impl Query {
    /// Parses a query.
    pub fn parse(text: &str) -> Self {
        let text = words::without_hidden(text);
        let mut query = Self { clauses: Vec::new() };
        // Every second piece is within quotes. A quote that is never closed goes on to the end.
        let mut pieces = text.split('"').enumerate().peekable();
        while let Some((at, piece)) = pieces.next() {
            if at % 2 == 1 {
                let starred = pieces.peek().is_some_and(|(_, next)| next.starts_with('*'));
                query.add(piece, starred);
            } else {
                for word in piece.split_whitespace() {
                    query.add(word, word.ends_with('*'));
                }
            }
        }
        query
    }

    /// Whether the query has no words.
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// The number of clauses.
    pub fn clauses(&self) -> usize {
        self.clauses.len()
    }

    /// The prefixes that are not part of a phrase.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = &str> {
        let alone = self.clauses.iter().filter(|clause| clause.is_prefix && clause.words.len() == 1);
        alone.map(|clause| clause.words[0].as_str())
    }

    /// The matches of the clauses in a text, and the number of words in the text.
    pub fn find(&self, text: &str) -> (Vec<Found>, usize) {
        let mut found = Vec::new();
        let mut length = 0;
        // For each clause and each of its words: the start in the text of the adjacent words that match the clause up
        // to that word, if the last of them is the word just read.
        let mut runs: Vec<Vec<Option<usize>>> = self.clauses.iter().map(|one| vec![None; one.words.len()]).collect();
        words::each(text, |word, range| {
            length += 1;
            for (at, (clause, run)) in self.clauses.iter().zip(&mut runs).enumerate() {
                let last = clause.words.len() - 1;
                for n in (0..=last).rev() {
                    let start = if n == 0 { Some(range.start) } else { run[n - 1] };
                    run[n] = start.filter(|_| {
                        let expected = clause.words[n].as_str();
                        word == expected || (n == last && clause.is_prefix && word.starts_with(expected))
                    });
                }
                if let Some(start) = run[last] {
                    found.push(Found { clause: at, range: start..range.end });
                }
            }
        });
        (found, length)
    }

    fn add(&mut self, text: &str, starred: bool) {
        let mut clause = Clause { words: Vec::new(), is_prefix: false };
        words::each(text, |word, _| clause.words.push(word.to_owned()));
        let Some(last) = clause.words.last() else { return };
        clause.is_prefix = starred && last.chars().count() >= SHORTEST_PREFIX;
        if self.clauses.len() < limits::QUERY_CLAUSES && !self.clauses.contains(&clause) {
            self.clauses.push(clause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn matches_in_a_text_follow_the_rules_of_the_index() {
        let check = |query: &str, text: &str, places: &[&str]| {
            let (found, _) = Query::parse(query).find(text);
            assert_eq!(found.iter().map(|one| &text[one.range.clone()]).collect::<Vec<_>>(), places, "{query}");
        };
        check("the", "The other the.", &["The", "the"]);
        check("foo_bar", "foo bar foo_bar(FOO-BAR) foobar", &["foo bar", "foo_bar", "FOO-BAR"]);
        check("\"a a b\"", "a a a b a b", &["a a b"]);
        check("cafe", "Café cafés", &["Café"]);
        check("caf*", "Café cafés", &["Café", "cafés"]);
        check("索す", "検索する", &["索す"]);
    }
}
