//! Finds the records in a damaged line: two records without a line end between them, the beginning of a record that was
//! never written to its end, or a run of NULs that a file system left after a power cut.
//!
//! A line with one whole JSON value is no concern of this module.

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use crate::server::text;

/// How many beginnings of records in a damaged stretch may turn out to be none. A torn record has one for each object
/// around the tear. The bound keeps a hostile line from costing the square of its length.
const MAX_FALSE_BEGINNINGS: usize = 128;

/// A piece of a damaged line.
#[derive(Debug, PartialEq, Eq)]
pub enum LinePiece<'a> {
    /// A whole JSON value.
    Record(&'a [u8]),
    /// The remains of a record. The number is the place of their first byte in the line, from 1 on.
    Torn(usize),
}

/// The pieces of a damaged line, in order. None: the line has no whole record.
pub fn pieces(line: &[u8]) -> Option<Vec<LinePiece<'_>>> {
    let (mut found, mut at, mut torn, mut false_beginnings) = (Vec::new(), 0, None, 0);
    let mut has_record = false;
    while at < line.len() {
        if line[at].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let length = Some(at).filter(|at| line[*at] == b'{').and_then(|at| length_of_value(&line[at..]));
        // Behind a tear only a value with the fields of a record is one: a torn record has whole values inside.
        match length.map(|length| &line[at..at + length]) {
            Some(value) if torn.is_none() || is_record(value) => {
                found.extend(torn.take().map(LinePiece::Torn));
                found.push(LinePiece::Record(value));
                has_record |= is_record(value);
                at += value.len();
            }
            Some(value) => at += value.len(),
            None => {
                torn = torn.or(Some(at + 1));
                false_beginnings += usize::from(line[at] == b'{');
                if false_beginnings > MAX_FALSE_BEGINNINGS {
                    break;
                }
                at += 1;
                at += line[at..].windows(2).position(is_beginning).unwrap_or(line.len() - at);
            }
        }
    }
    found.extend(torn.map(LinePiece::Torn));
    has_record.then_some(found)
}

/// The part of a line without a line end that is written for good: all, if it is one JSON value, else the part up to
/// the end of its last whole record. The agent may be writing the rest.
pub fn finished_part(line: &[u8]) -> &[u8] {
    if serde_json::from_slice::<IgnoredAny>(line).is_ok() {
        return line;
    }
    match pieces(line).unwrap_or_default().last() {
        Some(LinePiece::Record(_)) => line,
        Some(LinePiece::Torn(at)) => &line[..at - 1],
        None => &[],
    }
}

fn is_beginning(bytes: &[u8]) -> bool {
    bytes[0] == b'{' && (bytes[1] == b'"' || bytes[1].is_ascii_whitespace())
}

/// The length of the JSON value at the start, if it is whole.
fn length_of_value(text: &[u8]) -> Option<usize> {
    let mut values = Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

fn is_record(value: &[u8]) -> bool {
    let Ok(Value::Object(fields)) = text::parse(value) else { return false };
    ["type", "sessionId"].iter().all(|field| fields.get(*field).is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::{LinePiece, finished_part, pieces};

    const ONE: &str = r#"{"type":"user","sessionId":"s","message":{"content":"one }{ two"}}"#;
    const TWO: &str = r#"{"sessionId":"s","type":"assistant"}"#;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let shown = pieces(line.as_bytes()).map(|pieces| {
            let shown = pieces.iter().map(|piece| match piece {
                LinePiece::Record(record) if *record == ONE.as_bytes() => "one".to_owned(),
                LinePiece::Record(record) if *record == TWO.as_bytes() => "two".to_owned(),
                LinePiece::Record(record) => String::from_utf8_lossy(record).into_owned(),
                LinePiece::Torn(at) => format!("torn at {at}"),
            });
            shown.collect::<Vec<_>>().join(", ")
        });
        assert_eq!(shown.as_deref().unwrap_or("none"), expected, "{line:?}");
    }

    #[test]
    fn whole_records_are_found_between_the_remains_of_others() {
        check(&format!("{ONE}{TWO}"), "one, two");
        check(&format!("{ONE}\0\0\0\0{TWO}"), "one, torn at 67, two");
        check(&format!("\0\0\0{TWO}"), "torn at 1, two");
        check(&format!("{TWO}\0\0\0"), "two, torn at 37");
        check(&format!(r#"{{"type":"user","message":{{"content":{ONE}"#), "torn at 1, one");
        check(&format!(r#"{{"type":"user","message":{{"content":"cut in a te{ONE}{TWO}"#), "torn at 1, one, two");
        // The values inside a torn record are none, and a run of NULs goes with the record that it tore.
        check(
            &format!(r#"{{"type":"user","content":[{{"type":"text","text":"x"}},{{"ty{}{TWO}"#, "\0\0"),
            "torn at 1, two",
        );
        check(&format!("{ONE}}}{TWO}"), "one, torn at 67, two");
        check(&format!("{{}}{TWO}"), "{}, two");
    }

    #[test]
    fn a_line_without_a_whole_record_has_no_pieces() {
        for line in ["not json", "{}", "", "\0\0\0", r#"{"type":"user","message":{"type":"x"}"#, "{}{}"] {
            check(line, "none");
        }
        check(&r#"{"a":"#.repeat(100_000), "none");
        check(&r#"{"a":[{"b":1},"#.repeat(20_000), "none");
    }

    #[test]
    fn the_part_that_is_being_written_waits() {
        for (line, expected) in [
            (ONE.to_owned(), ONE.to_owned()),
            (ONE[..20].to_owned(), String::new()),
            (format!("{ONE}{TWO}"), format!("{ONE}{TWO}")),
            (format!("{ONE}{}", &TWO[..9]), ONE.to_owned()),
            (format!("{}{ONE}{}", &TWO[..9], &TWO[..9]), format!("{}{ONE}", &TWO[..9])),
        ] {
            assert_eq!(String::from_utf8_lossy(finished_part(line.as_bytes())), expected);
        }
    }
}
