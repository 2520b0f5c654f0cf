//! Finds base64 in a text: pictures and other files that a program prints or a tool answers, by whatever name.
//!
//! No field name and no header is needed: a text without a space, a dot or a quote for hundreds of characters is no
//! text that a person reads. Words that are joined by `/`, `-` or `_` are told apart by their length.

use std::borrow::Cow;
use std::ops::Range;

/// From this length on, base64 holds no word that a person searches for. The longest hash has 128 characters.
pub const LONGER_THAN_A_HASH: usize = 256;
/// From this length on, base64 is not shown. Keys and signed tokens are shorter.
pub const LONGER_THAN_A_KEY: usize = 1_024;

/// The shortest line that can go on in the next line. Encoders break lines at 64 or 76 characters.
const WRAPPED_LINE: usize = 60;
/// The letters and digits between two of `+/-_` are at least this many on average. In base64 they are 32, in a path or
/// a joined name under 16.
const MEAN_PIECE: usize = 20;

/// A text that is no base64 up to here is none. So a long text is not read again from each of its lines.
const JUDGED: usize = 4_096;

/// Whether this is a digit of base64, as it is written in files or in URLs.
pub fn is_base64(digit: char) -> bool {
    digit.is_ascii_alphanumeric() || matches!(digit, '+' | '/' | '-' | '_')
}

fn is_digit(byte: u8) -> bool {
    is_base64(char::from(byte))
}

/// The end of the base64 that begins at the byte `start`, if it has `at_least` characters. No base64 may precede
/// `start`.
pub fn end_of(text: &str, start: usize, at_least: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut end, mut length, mut letters, mut pieces) = (start, 0, 0, 0);
    loop {
        let line = &bytes[end..];
        let line = &line[..line.iter().position(|byte| !is_digit(*byte)).unwrap_or(line.len())];
        length += line.len();
        let groups = line.split(|byte| !byte.is_ascii_alphanumeric()).filter(|group| !group.is_empty());
        for group in groups {
            letters += group.len();
            pieces += 1;
        }
        end += line.len();
        if length > JUDGED && letters < pieces * MEAN_PIECE {
            return None;
        }
        let padding = bytes[end..].iter().take(2).take_while(|byte| **byte == b'=').count();
        end += padding;
        match next_line(bytes, end).filter(|_| padding == 0 && line.len() >= WRAPPED_LINE) {
            Some(next) => end = next,
            None => break,
        }
    }
    (length >= at_least && letters >= pieces * MEAN_PIECE).then_some(end)
}

/// The start of the next line, if all of that line is base64.
fn next_line(bytes: &[u8], end: usize) -> Option<usize> {
    let rest = &bytes[end..];
    let start = end + rest.starts_with(b"\n").then_some(1).or_else(|| rest.starts_with(b"\r\n").then_some(2))?;
    let line = &bytes[start..];
    let length = line.iter().position(|byte| !is_digit(*byte) && *byte != b'=').unwrap_or(line.len());
    let is_whole = line.get(length).is_none_or(|byte| matches!(byte, b'\n' | b'\r' | b'"'));
    (length > 0 && is_whole).then_some(start)
}

/// The text with the type and the size of each long base64 in its place.
pub fn told_by_size(text: &str) -> Cow<'_, str> {
    let found = places(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut told, mut shown) = (String::new(), 0);
    for place in found {
        told.push_str(&text[shown..place.start]);
        told.push_str(&size_of(&text[place.clone()], None));
        shown = place.end;
    }
    told.push_str(&text[shown..]);
    Cow::Owned(told)
}

/// The type and the size of the file that is `encoded`: `(image/png, 4508 bytes)`.
pub fn size_of(encoded: &str, media_type: Option<&str>) -> String {
    const BEGINNINGS: [(&str, &str); 6] = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBERi0", "application/pdf"),
        ("UEsDB", "application/zip"),
    ];
    let known = || BEGINNINGS.iter().find(|(beginning, _)| encoded.starts_with(beginning)).map(|(_, named)| *named);
    let characters = encoded.bytes().filter(|byte| is_digit(*byte)).count();
    format!("({}, {} bytes)", media_type.or_else(known).unwrap_or("base64"), characters * 3 / 4)
}

fn places(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if !is_digit(bytes[at]) {
            at += 1;
        } else if let Some(end) = end_of(text, at, LONGER_THAN_A_KEY) {
            found.push(at..end);
            at = end;
        } else {
            at += bytes[at..].iter().take_while(|byte| is_digit(**byte)).count();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{LONGER_THAN_A_HASH, end_of, told_by_size};

    /// `count` characters of base64 that do not repeat soon.
    fn encoded(count: usize) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut seed = 1_u64;
        let mut digit = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(DIGITS[(seed >> 58) as usize])
        };
        (0..count).map(|_| digit()).collect()
    }

    #[test]
    fn base64_is_told_by_its_size() {
        let picture = format!("iVBORw0KGgo{}", encoded(6_000));
        for (text, told) in [
            (picture.clone(), "(image/png, 4508 bytes)"),
            (
                format!("shot:\ndata:image/png;base64,{picture}==\ndone"),
                "shot:\ndata:image/png;base64,(image/png, 4508 bytes)\ndone",
            ),
            (format!("a {} b", "QUJD".repeat(1_500)), "a (base64, 4500 bytes) b"),
            ("/9j/".to_owned() + &encoded(1_996), "(image/jpeg, 1500 bytes)"),
        ] {
            assert_eq!(told_by_size(&text), told);
        }
        let lines: Vec<String> =
            encoded(7_600).as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into()).collect();
        for end in ["\n", "\r\n"] {
            let wrapped = format!("begin{end}{}=={end}The end", lines.join(end));
            assert_eq!(told_by_size(&wrapped), format!("begin{end}(base64, 5700 bytes){end}The end"));
        }
    }

    #[test]
    fn texts_and_keys_stay() {
        let path = "/srv/orchard/node_modules/press/handle".repeat(60);
        let named = "a_test_that_presses_the_cider_and-paints_it-green/".repeat(60);
        for text in ["", "=", "one two", &path, &named, &encoded(700), &"один".repeat(900), &"word ".repeat(900)] {
            assert_eq!(told_by_size(text), text);
        }
        let hash = "0123456789abcdef".repeat(8);
        assert_eq!(end_of(&hash, 0, LONGER_THAN_A_HASH), None);
        assert_eq!(end_of(&encoded(256), 0, LONGER_THAN_A_HASH), Some(256));
    }
}
