//! What is asked for: words, all of which have to be there.
//!
//! Any text is a query. Words in quotes, or joined as in `foo_bar`, have to stand in a row; a `*` behind a word takes
//! whatever begins with it. Nothing else has a meaning, so nothing can be wrong.

use std::collections::BTreeMap;
use std::ops::Range;

use super::words;
use crate::protocol::limits;

/// What begins with a single letter is not looked for: that is a large part of everything.
const SHORTEST_BEGINNING: usize = 2;

/// A query, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    clauses: Vec<Clause>,
}

/// Words in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    words: Vec<String>,
    /// Whether the last of them is only a beginning.
    begins: bool,
}

/// One place where a clause is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which clause.
    pub clause: usize,
    /// Where, in bytes.
    pub range: Range<usize>,
}

impl Query {
    /// What `text` asks for.
    pub fn parse(text: &str) -> Self {
        let mut query = Self { clauses: Vec::new() };
        // Every other piece is within quotes; one that is never closed goes on to the end.
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

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// How many clauses it has.
    pub fn clauses(&self) -> usize {
        self.clauses.len()
    }

    /// What single words only have to begin with.
    pub(super) fn beginnings(&self) -> impl Iterator<Item = &str> {
        let alone = self.clauses.iter().filter(|clause| clause.begins && clause.words.len() == 1);
        alone.map(|clause| clause.words[0].as_str())
    }

    /// The same for the index, within a scope. `words` has all that begin with a beginning, where they are known.
    pub(super) fn expression(&self, scope: &[String], words: &BTreeMap<String, Vec<String>>) -> String {
        let clause = |clause: &Clause| {
            if clause.begins
                && let [beginning] = clause.words.as_slice()
                && let Some(words) = words.get(beginning)
            {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                return format!("({})", words.join(" OR "));
            }
            let star = if clause.begins { " *" } else { "" };
            format!("\"{}\"{star}", clause.words.join(" "))
        };
        let clauses: Vec<String> = self.clauses.iter().map(clause).collect();
        let scope: String = scope.iter().map(|word| format!(" AND scope : \"{word}\"")).collect();
        format!("{{title text}} : ({}){scope}", clauses.join(" AND "))
    }

    /// Where its clauses are in a text, and how many words the text has.
    pub fn find(&self, text: &str) -> (Vec<Found>, usize) {
        let mut found = Vec::new();
        let mut length = 0;
        // For each clause, where a row began whose first words, as many as the place in the list, were just seen.
        let mut rows: Vec<Vec<Option<usize>>> = self.clauses.iter().map(|one| vec![None; one.words.len()]).collect();
        words::each(text, |word, range| {
            length += 1;
            for (at, (clause, row)) in self.clauses.iter().zip(&mut rows).enumerate() {
                let last = clause.words.len() - 1;
                for place in (0..=last).rev() {
                    let began = if place == 0 { Some(range.start) } else { row[place - 1] };
                    row[place] = began.filter(|_| {
                        let wanted = clause.words[place].as_str();
                        word == wanted || (place == last && clause.begins && word.starts_with(wanted))
                    });
                }
                if let Some(start) = row[last] {
                    found.push(Found { clause: at, range: start..range.end });
                }
            }
        });
        (found, length)
    }

    fn add(&mut self, text: &str, starred: bool) {
        let mut clause = Clause { words: Vec::new(), begins: false };
        words::each(text, |word, _| clause.words.push(word.to_owned()));
        let Some(last) = clause.words.last() else { return };
        clause.begins = starred && last.chars().count() >= SHORTEST_BEGINNING;
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
        assert_eq!(query.beginnings().collect::<Vec<_>>(), ["th", "ca"]);
        let words = BTreeMap::from([("th".to_owned(), vec!["the".to_owned(), "this".to_owned()])]);
        let expression = r#"{title text} : ("a" AND ("the" OR "this") AND "ca" * AND "b th" *)"#;
        assert_eq!(query.expression(&[], &words), expression);
        assert_eq!(Query::parse(&"a b c d ".repeat(60)).clauses(), 4);
        let many: String = (0..100).map(|n| format!("{n} ")).collect();
        assert_eq!(Query::parse(&many).clauses(), 32);
    }

    #[test]
    fn it_finds_in_a_text_what_it_finds_in_the_index() {
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
