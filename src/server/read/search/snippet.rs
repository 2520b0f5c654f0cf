//! The part of a text that is shown, and the places in it that are marked. Plain text: who shows it decides how.

use std::ops::Range;

use crate::protocol::model::Snippet;
use crate::server::search::query::{Found, Query};

/// The most code points of a snippet, without what says that there is more.
const LONGEST_SNIPPET: usize = 198;
/// How many of them come before the first place.
const BEFORE: usize = 40;
/// How far back to look for the beginning of a word.
const TO_A_WORD: usize = 16;
/// Among how many places the best is looked for.
const PLACES: usize = 500;
const MORE: char = '…';

/// Where in a text a query is found, in code points.
pub(super) fn marks(query: &Query, text: &str) -> Vec<[u32; 2]> {
    let (found, _) = query.find(text);
    in_code_points(text, &found, 0..text.len(), 0)
}

/// The part of a text with the most of a query; its beginning where there is nothing of it.
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

/// Where the snippet begins: before the place from which on, as far as it reaches, the most clauses are found.
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
    let places = 0..found.len().min(PLACES);
    // Of equals the first.
    let Some(first) = places.max_by_key(|at| (worth(*at), std::cmp::Reverse(*at))) else { return 0 };
    let first = found[first].range.start;
    let before: Vec<(usize, char)> = text[..first].char_indices().rev().take(BEFORE).collect();
    let Some((earliest, _)) = before.last().copied().filter(|_| before.len() == BEFORE) else { return 0 };
    if earliest == 0 {
        return 0;
    }
    let words = before.iter().rev().take(TO_A_WORD).find(|(_, c)| c.is_whitespace());
    words.map_or(earliest, |(at, c)| at + c.len_utf8())
}

/// The offset in bytes of the code point `count`, or the end.
fn offset(text: &str, count: usize) -> usize {
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

/// The places that are within a part of a text, those that touch as one, counted from the beginning of the part.
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

    /// A snippet with brackets around what is marked.
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
    fn it_shows_where_the_words_are() {
        assert_eq!(shown("b", ""), "");
        assert_eq!(shown("z", "a b c"), "a b c");
        assert_eq!(shown("b", "a B, b\n<b>"), "a [B], [b]\n<[b]>");
        assert_eq!(shown("cafe foo_bar", "🐦 Café: foo_bar, foo baz"), "🐦 [Café]: [foo_bar], foo baz");
        assert_eq!(shown("\"a b\" \"b c\"", "a b c"), "[a b c]");
        assert_eq!(shown("検索", "全文検索です"), "全文[検索]です");
    }

    #[test]
    fn of_a_long_text_it_shows_the_part_with_the_most_of_them() {
        let text = format!("one {} one two three {}", "é ".repeat(300), "x ".repeat(300));
        let shown = shown("one two three", &text);
        assert!(
            shown.starts_with("…é é") && shown.contains("é  [one] [two] [three] x") && shown.ends_with("…"),
            "{shown}"
        );
        let solid = "a".repeat(100_000);
        let snippet = best(&Query::parse(&solid), &solid);
        assert_eq!((snippet.text.chars().count(), snippet.marks), (199, vec![[0, 198]]));
    }

    #[test]
    fn marks_count_code_points() {
        assert_eq!(marks(&Query::parse("b"), "é🐦 b bb b"), [[3, 4], [8, 9]]);
    }
}
