//! Repairs texts from outside, so that they can be stored and shown.
//!
//! Writers send broken texts: an emoji that a limit on characters has cut in two, a NUL from a binary file, a megabyte
//! of output. Such a text is no reason to lose a record, but it must not reach the database unchanged. SQLite ends a
//! text at its first NUL, and half a surrogate pair is no valid text. Both become U+FFFD.

use std::borrow::Cow;

use crate::protocol::limits;

pub mod base64;

/// The body is not JSON, or nests too deep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: {detail}")]
pub struct NotJson {
    /// The fault and its place.
    pub detail: String,
}

/// Parses a body, after [`repair`] has replaced the characters that cannot be stored.
///
/// # Errors
/// The body is not one JSON value of the type `T`, or nests deeper than [`limits::JSON_DEPTH`].
pub fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, NotJson> {
    serde_json::from_str(&repair(body)?).map_err(|error| NotJson { detail: error.to_string() })
}

/// The JSON text of a body, with lone surrogates, escaped NULs and broken UTF-8 replaced by U+FFFD.
///
/// The function scans the raw text, since a parser would either refuse these characters or pass them on. The result
/// need not be JSON: the parser finds all other faults.
///
/// # Errors
/// The body is empty or nests deeper than [`limits::JSON_DEPTH`]: a parser would recurse as deep.
pub fn repair(body: &[u8]) -> Result<Cow<'_, str>, NotJson> {
    let text = String::from_utf8_lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    if text.trim_ascii().is_empty() {
        return Err(NotJson { detail: "the body is empty".into() });
    }
    let broken = broken_escapes(&text)?;
    if broken.is_empty() {
        return Ok(text);
    }
    let mut repaired = text.into_owned().into_bytes();
    for start in broken {
        repaired[start..start + ESCAPE_LENGTH].copy_from_slice(b"\\ufffd");
    }
    Ok(Cow::Owned(String::from_utf8(repaired).unwrap_or_default()))
}

/// The text as one line: white space is collapsed, and a line over `limit` code points is cut and ends with an
/// ellipsis.
pub fn one_line(text: &str, limit: usize) -> String {
    // The loop ends at the limit, so that the title of a megabyte does not cost a walk through all of it.
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        let rest = limit + 1 - length.min(limit + 1);
        line.extend(word.chars().take(rest));
        length += word.chars().take(rest).count();
        if length > limit {
            return line.chars().take(limit.saturating_sub(1)).chain(['…']).collect();
        }
    }
    line
}

/// The first line that is not blank, as [`one_line`] writes it.
pub fn first_line(text: &str, limit: usize) -> String {
    let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    let line = text.split(breaks).find(|line| !line.trim().is_empty()).unwrap_or_default();
    one_line(line, limit)
}

/// The text, cut between two characters to at most `limit` bytes, and its whole size if it was cut.
pub fn cut(text: &str, limit: usize) -> (&str, Option<u64>) {
    if text.len() <= limit {
        return (text, None);
    }
    (&text[..text.floor_char_boundary(limit)], Some(text.len() as u64))
}

/// The text without white space around it, cut to at most `limit` code points: a cut text ends with an ellipsis.
pub fn cut_characters(text: &str, limit: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => text.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The length of `\uXXXX`.
const ESCAPE_LENGTH: usize = 6;

/// The places in the text where `\uXXXX` stands for NUL or half a surrogate pair.
fn broken_escapes(text: &str) -> Result<Vec<usize>, NotJson> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut quoted) = (0, 0_usize, false);
    let mut broken = Vec::new();
    while let Some(&byte) = bytes.get(at) {
        match (quoted, byte) {
            (false, b'"') => quoted = true,
            (false, b'[' | b'{') if depth == limits::JSON_DEPTH => {
                return Err(NotJson { detail: format!("nested deeper than {} at byte {at}", limits::JSON_DEPTH) });
            }
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (true, b'"') => quoted = false,
            (true, b'\\') => {
                let unit = unit_at(bytes, at);
                match unit {
                    Some(0xd800..=0xdbff) if matches!(unit_at(bytes, at + ESCAPE_LENGTH), Some(0xdc00..=0xdfff)) => {
                        at += ESCAPE_LENGTH;
                    }
                    Some(0 | 0xd800..=0xdfff) => broken.push(at),
                    Some(_) | None => {}
                }
                at += if unit.is_some() { ESCAPE_LENGTH } else { 2 };
                continue;
            }
            (true | false, _) => {}
        }
        at += 1;
    }
    Ok(broken)
}

/// The UTF-16 unit of the escape `\uXXXX` at this place, if there is one.
fn unit_at(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + ESCAPE_LENGTH)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0_u16, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::{cut, first_line, limits, one_line, parse};

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let value = parse::<serde_json::Value>(body.as_bytes());
        assert_eq!(value.map_or_else(|error| error.to_string(), |value| value.to_string()), expected);
    }

    #[test]
    fn nul_and_lone_surrogates_are_replaced() {
        check(r#"["a\u0000b"]"#, r#"["a�b"]"#);
        check(r#"["cut \ud83d"]"#, r#"["cut �"]"#);
        check(r#"["\udc00 low first \ud83d\u0041"]"#, r#"["� low first �A"]"#);
        check(r#"["\ud83d\ud83d\udc26"]"#, r#"["�🐦"]"#);
    }

    #[test]
    fn valid_escapes_are_kept() {
        check(r#"["\ud83d\udc26", "\\ud83d", "\\\\u0000", "\u001b"]"#, r#"["🐦","\\ud83d","\\\\u0000","\u001b"]"#);
        check("\u{feff} {\"a\": \"[[[{{{\"}\n", r#"{"a":"[[[{{{"}"#);
    }

    #[test]
    fn broken_utf_8_is_replaced_and_other_encodings_are_not_json() {
        let value: serde_json::Value = parse(b"[\"caf\xe9\"]").expect("JSON");
        assert_eq!(value.to_string(), "[\"caf�\"]");
        assert!(parse::<serde_json::Value>(b"\xff\xfe[\0]\0").is_err());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse::<serde_json::Value>(nested(limits::JSON_DEPTH).as_bytes()).is_ok());
        let error = parse::<serde_json::Value>(nested(100_000).as_bytes()).expect_err("too deep");
        assert_eq!(error.to_string(), "not JSON: nested deeper than 64 at byte 64");
        assert_eq!(
            parse::<serde_json::Value>(b" \r\n\t").expect_err("empty").to_string(),
            "not JSON: the body is empty"
        );
    }

    #[test]
    fn a_line_is_collapsed_and_cut() {
        assert_eq!(one_line("  a \t\n b  ", 80), "a b");
        assert_eq!(one_line("éé éé", 5), "éé éé");
        assert_eq!(one_line("éé ééé", 5), "éé é…");
        assert_eq!(one_line("éé éé é", 5), "éé é…");
        assert_eq!(one_line(" ", 5), "");
        assert_eq!(first_line("\n  \r\n second  line \n third", 80), "second line");
    }

    #[test]
    fn a_body_is_cut_between_characters() {
        assert_eq!(cut("aéé", 4), ("aé", Some(5)));
        assert_eq!(cut("aéé", 5), ("aéé", None));
    }
}
