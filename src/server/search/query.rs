//! A query: a match has to contain all its words.
//!
//! Any text is a query. Words in quotes, or joined as in `foo_bar`, have to be adjacent. A `*` after a word matches
//! every word that begins with it. No other character has a meaning, so no query is invalid.

use std::collections::BTreeMap;
use std::ops::Range;

use super::words;
use crate::protocol::limits;

/// The shortest prefix. A single letter begins a large part of all words, so `x*` only matches the word `x`.
const SHORTEST_PREFIX: usize = 2;

/// A parsed query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    clauses: Vec<Clause>,
}

/// Words that have to be adjacent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    words: Vec<String>,
    /// Whether the last word is a prefix.
    is_prefix: bool,
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

    /// The FTS5 expression of the query, within a scope. `words` has the words that begin with a prefix, for each
    /// prefix that has few of them.
    pub(super) fn expression(&self, scope: &[String], words: &BTreeMap<String, Vec<String>>) -> String {
        let clause = |clause: &Clause| {
            if clause.is_prefix
                && let [prefix] = clause.words.as_slice()
                && let Some(words) = words.get(prefix)
            {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                return format!("({})", words.join(" OR "));
            }
            let star = if clause.is_prefix { " *" } else { "" };
            format!("\"{}\"{star}", clause.words.join(" "))
        };
        let clauses: Vec<String> = self.clauses.iter().map(clause).collect();
        let scope: String = scope.iter().map(|word| format!(" AND scope : \"{word}\"")).collect();
        format!("{{title text}} : ({}){scope}", clauses.join(" AND "))
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
    use std::collections::BTreeMap;

    use super::Query;

    #[test]
    fn any_text_is_a_query() {
        for (text, expression) in [
            ("one Two", r#"{title text} : ("one" AND "two")"#),
            ("one one ONE", r#"{title text} : ("one")"#),
            ("foo_bar a/b", r#"{title text} : ("foo bar" AND "a b")"#),
            ("\"one two\" three", r#"{title text} : ("one two" AND "three")"#),
            ("\"one two", r#"{title text} : ("one two")"#),
            ("a\u{1b}[1mb \u{1b}]0;\"no title\u{7}c", r#"{title text} : ("a" AND "b" AND "c")"#),
            ("foo* x* \"a bc\"*", r#"{title text} : ("foo" * AND "x" AND "a bc" *)"#),
            (
                "NOT a OR (b NEAR c) title:d ^e +f -g {h}",
                r#"{title text} : ("not" AND "a" AND "or" AND "b" AND "near" AND "c" AND "title d" AND "e" AND "f" AND "g" AND "h")"#,
            ),
        ] {
            assert_eq!(Query::parse(text).expression(&[], &BTreeMap::new()), expression, "{text}");
        }
        for text in ["", " ", "***", "\"\"", "\"", "-- ; ' ` \\ \0 \u{feff}", "\u{301}"] {
            assert!(Query::parse(text).is_empty(), "{text:?}");
        }
        let scoped = Query::parse("a").expression(&["p61".to_owned(), "t1".to_owned()], &BTreeMap::new());
        assert_eq!(scoped, r#"{title text} : ("a") AND scope : "p61" AND scope : "t1""#);
        let query = Query::parse("a th* ca* \"b th\"*");
        assert_eq!(query.prefixes().collect::<Vec<_>>(), ["th", "ca"]);
        let words = BTreeMap::from([("th".to_owned(), vec!["the".to_owned(), "this".to_owned()])]);
        let expression = r#"{title text} : ("a" AND ("the" OR "this") AND "ca" * AND "b th" *)"#;
        assert_eq!(query.expression(&[], &words), expression);
        assert_eq!(Query::parse(&"a b c d ".repeat(60)).clauses(), 4);
        let many: String = (0..100).map(|n| format!("{n} ")).collect();
        assert_eq!(Query::parse(&many).clauses(), 32);
    }

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
