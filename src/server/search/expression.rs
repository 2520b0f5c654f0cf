//! The expressions that the indexes of the two engines take for a query.
//!
//! The words of a query are folded: they have letters, digits and symbols, and neither quotes nor backslashes. They are
//! quoted all the same, so that no word can be taken for an operator.

use std::collections::BTreeMap;

use super::query::{Clause, Query};

/// The longest word of the index on Postgres, in bytes. Postgres refuses longer ones.
pub(super) const LONGEST_LEXEME: usize = 2_046;

/// The FTS5 expression of a query, within a scope. `words` has the words that begin with a prefix, for each prefix that
/// has few of them.
pub(super) fn fts5(query: &Query, scope: &[String], words: &BTreeMap<String, Vec<String>>) -> String {
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
    let clauses: Vec<String> = query.clauses.iter().map(clause).collect();
    let scope: String = scope.iter().map(|word| format!(" AND scope : \"{word}\"")).collect();
    format!("{{title text}} : ({}){scope}", clauses.join(" AND "))
}

/// The `tsquery` of a query, within a scope.
pub(super) fn tsquery(query: &Query, scope: &[String]) -> String {
    let clause = |clause: &Clause| {
        let words: Vec<String> = clause.words.iter().map(|word| lexeme(word)).collect();
        let star = if clause.is_prefix { ":*" } else { "" };
        format!("({}{star})", words.join(" <-> "))
    };
    let clauses = query.clauses.iter().map(clause);
    let scope = scope.iter().map(|word| scope_lexeme(word));
    clauses.chain(scope).collect::<Vec<_>>().join(" & ")
}

/// A word of the index on Postgres, in quotes.
pub(super) fn lexeme(word: &str) -> String {
    format!("'{}'", shortened(word).replace('\\', "\\\\").replace('\'', "''"))
}

/// The word of a project, a task or a section in the index on Postgres, in quotes. No word of a text has a slash.
pub(super) fn scope_lexeme(word: &str) -> String {
    lexeme(&format!("/{word}"))
}

fn shortened(word: &str) -> &str {
    &word[..word.floor_char_boundary(LONGEST_LEXEME)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{fts5, lexeme, tsquery};
    use crate::server::search::query::Query;

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
            assert_eq!(fts5(&Query::parse(text), &[], &BTreeMap::new()), expression, "{text}");
        }
        for text in ["", " ", "***", "\"\"", "\"", "-- ; ' ` \\ \0 \u{feff}", "\u{301}"] {
            assert!(Query::parse(text).is_empty(), "{text:?}");
        }
        let scoped = fts5(&Query::parse("a"), &["p61".to_owned(), "t1".to_owned()], &BTreeMap::new());
        assert_eq!(scoped, r#"{title text} : ("a") AND scope : "p61" AND scope : "t1""#);
        let query = Query::parse("a th* ca* \"b th\"*");
        assert_eq!(query.prefixes().collect::<Vec<_>>(), ["th", "ca"]);
        let words = BTreeMap::from([("th".to_owned(), vec!["the".to_owned(), "this".to_owned()])]);
        let expression = r#"{title text} : ("a" AND ("the" OR "this") AND "ca" * AND "b th" *)"#;
        assert_eq!(fts5(&query, &[], &words), expression);
        assert_eq!(Query::parse(&"a b c d ".repeat(60)).clauses(), 4);
        let many: String = (0..100).map(|n| format!("{n} ")).collect();
        assert_eq!(Query::parse(&many).clauses(), 32);
    }

    #[test]
    fn the_words_of_a_tsquery_are_quoted() {
        let scope = ["p61".to_owned()];
        for (text, expression) in [
            ("one Two", "('one') & ('two') & '/p61'"),
            ("foo_bar x*", "('foo' <-> 'bar') & ('x') & '/p61'"),
            ("foo* \"a bc\"*", "('foo':*) & ('a' <-> 'bc':*) & '/p61'"),
            ("' \\' | a:* & !b", "('a') & ('b') & '/p61'"),
        ] {
            assert_eq!(tsquery(&Query::parse(text), &scope), expression, "{text}");
        }
        assert_eq!(lexeme("a'b\\"), "'a''b\\\\'");
        assert_eq!(lexeme(&"é".repeat(1_024)).len(), 2_048);
    }
}
