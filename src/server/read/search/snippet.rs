//! Snippets: the part of a text that a hit shows, and the places of the matches in it. A snippet is plain text: the
//! client decides how to show the marks.

use std::ops::Range;

use crate::protocol::model::Snippet;
use crate::server::search::query::{Found, Query};

/// The most code points of a snippet, without the ellipses.
const LONGEST_SNIPPET: usize = 198;
/// How many code points of the text a snippet shows before the first match.
const BEFORE: usize = 40;
/// How many of the code points of `BEFORE` may be left out so that the snippet begins with a whole word.
const SKIPPED_TO_A_WORD: usize = 16;
/// How many matches are tried as the first match of the snippet.
const MATCHES_TRIED: usize = 500;
/// Stands for the text before or after the snippet.
const MORE: char = '…';

/// The places of a query's matches in a text, in code points.
pub(super) fn marks(query: &Query, text: &str) -> Vec<[u32; 2]> {
    let (found, _) = query.find(text);
    in_code_points(text, &found, 0..text.len(), 0)
}

/// The part of a text with the most matches of a query. Without a match it is the beginning of the text.
pub(super) fn best(query: &Query, text: &str) -> Snippet {
    let (found, _) = query.find(text);
    let start = start(text, &found, query.clauses());
    let end = start + offset(&text[start..], LONGEST_SNIPPET);
    let mut shown = String::new();
    if start > 0 {
        shown.push(MORE);
    }
    shown.push_str(&text[start..end]);
    if end < text.len() {
        shown.push(MORE);
    }
    Snippet { marks: in_code_points(text, &found, start..end, u32::from(start > 0)), text: shown }
}

/// The start of the snippet in bytes. Each match is tried as the first match of the snippet. The best start gives a
/// snippet with matches of the most clauses.
fn start(text: &str, found: &[Found], clauses: usize) -> usize {
    let reach = |first: &Found| first.range.start + offset(&text[first.range.start..], LONGEST_SNIPPET - BEFORE);
    let worth = |at: usize| {
        let end = reach(&found[at]);
        let mut often = vec![0_usize; clauses];
        for one in found[at..].iter().take_while(|one| one.range.start < end).filter(|one| one.range.end <= end) {
            often[one.clause] += 1;
        }
        (often.iter().filter(|often| **often > 0).count(), often.iter().sum::<usize>())
    };
    let tried = 0..found.len().min(MATCHES_TRIED);
    // Of equally good matches the first one is taken.
    let Some(first) = tried.max_by_key(|at| (worth(*at), std::cmp::Reverse(*at))) else { return 0 };
    let first = found[first].range.start;
    let before: Vec<(usize, char)> = text[..first].char_indices().rev().take(BEFORE).collect();
    let Some((earliest, _)) = before.last().copied().filter(|_| before.len() == BEFORE) else { return 0 };
    if earliest == 0 {
        return 0;
    }
    let words = before.iter().rev().take(SKIPPED_TO_A_WORD).find(|(_, c)| c.is_whitespace());
    words.map_or(earliest, |(at, c)| at + c.len_utf8())
}

/// The offset in bytes of the code point `count`, or the end.
fn offset(text: &str, count: usize) -> usize {
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

/// The places of the matches within a part of a text, in code points. The part begins at the code point `first`.
/// Matches that touch become one place.
fn in_code_points(text: &str, found: &[Found], part: Range<usize>, first: u32) -> Vec<[u32; 2]> {
    let within = |range: &Range<usize>| range.start.max(part.start)..range.end.min(part.end);
    let mut ranges: Vec<Range<usize>> =
        found.iter().map(|one| within(&one.range)).filter(|one| !one.is_empty()).collect();
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    let (mut at, mut count) = (part.start, first);
    let mut advance = |to: usize| {
        count += u32::try_from(text[at..to].chars().count()).unwrap_or(u32::MAX);
        at = to;
        count
    };
    merged.into_iter().map(|range| [advance(range.start), advance(range.end)]).collect()
}

#[cfg(test)]
mod tests {
    use super::{best, marks};
    use crate::server::search::query::Query;

    /// A snippet with brackets around its marked places.
    fn shown(query: &str, text: &str) -> String {
        let snippet = best(&Query::parse(query), text);
        assert!(snippet.text.chars().count() <= 200);
        let at = |point: usize, end: usize| snippet.marks.iter().filter(|mark| mark[end] as usize == point).count();
        let mut shown = String::new();
        for (point, c) in snippet.text.chars().chain(['\0']).enumerate() {
            shown.push_str(&"]".repeat(at(point, 1)));
            shown.push_str(&"[".repeat(at(point, 0)));
            shown.push(c);
        }
        shown.pop();
        shown
    }

    #[test]
    fn snippets_mark_the_matches() {
        assert_eq!(shown("b", ""), "");
        assert_eq!(shown("z", "a b c"), "a b c");
        assert_eq!(shown("b", "a B, b\n<b>"), "a [B], [b]\n<[b]>");
        assert_eq!(shown("cafe foo_bar", "🐦 Café: foo_bar, foo baz"), "🐦 [Café]: [foo_bar], foo baz");
        assert_eq!(shown("\"a b\" \"b c\"", "a b c"), "[a b c]");
        assert_eq!(shown("検索", "全文検索です"), "全文[検索]です");
    }

    #[test]
    fn long_texts_show_the_part_with_the_most_matches() {
        let text = format!("one {} one two three {}", "é ".repeat(300), "x ".repeat(300));
        let shown = shown("one two three", &text);
        assert!(
            shown.starts_with("…é é") && shown.contains("é  [one] [two] [three] x") && shown.ends_with("…"),
            "{shown}"
        );
        let solid = "á".repeat(100_000);
        let snippet = best(&Query::parse(&solid), &solid);
        assert_eq!((snippet.text.chars().count(), snippet.marks), (199, vec![[0, 198]]));
    }

    #[test]
    fn marks_count_code_points() {
        assert_eq!(marks(&Query::parse("b"), "é🐦 b bb b"), [[3, 4], [8, 9]]);
    }
}
