//! Escape sequences of terminals: the colours, titles and links in the output of commands.

/// The longest title or link. Beyond that the beginning of the sequence stands alone, and its text is indexed.
const LONGEST_STRING: usize = 4_096;

/// The end of the escape sequence that begins at the byte `at`, if one does.
///
/// JSON writes the escape character as `\u001b`, and a body can hold JSON.
pub(super) fn end_of(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    let begins = |one: &str| rest.starts_with(one).then_some(at + one.len());
    if let Some(at) = begins("\u{9b}") {
        return Some(control(text, at));
    }
    if let Some(at) = begins("\u{9d}") {
        return Some(string(text, at));
    }
    let at = begins("\u{1b}").or_else(|| begins("\\u001b")).or_else(|| begins("\\u001B"))?;
    let bytes = &text.as_bytes()[at..];
    Some(match bytes.first() {
        Some(b'[') => control(text, at + 1),
        Some(b']' | b'P' | b'X' | b'^' | b'_') => string(text, at + 1),
        _ => {
            let between = count(bytes, |byte| (0x20..=0x2f).contains(&byte));
            at + between + count(&bytes[between..], |byte| (0x30..=0x7e).contains(&byte)).min(1)
        }
    })
}

/// The end of a control sequence: numbers, and the letter that ends it.
fn control(text: &str, at: usize) -> usize {
    let bytes = &text.as_bytes()[at..];
    let mut end = count(bytes, |byte| (0x30..=0x3f).contains(&byte));
    end += count(&bytes[end..], |byte| (0x20..=0x2f).contains(&byte));
    at + end + count(&bytes[end..], |byte| (0x40..=0x7e).contains(&byte)).min(1)
}

/// The end of a title or a link. A sequence without an end has no text.
fn string(text: &str, at: usize) -> usize {
    let rest = &text[at..text.floor_char_boundary(at.saturating_add(LONGEST_STRING))];
    for (found, c) in rest.char_indices() {
        let after = |one: &str| rest[found..].starts_with(one).then_some(at + found + one.len());
        match c {
            '\u{7}' | '\u{9c}' => return at + found + c.len_utf8(),
            '\u{1b}' => return after("\u{1b}\\").unwrap_or(at),
            '\n' => return at,
            '\\' => {
                if let Some(end) = after("\\u0007").or_else(|| after("\\u001b\\\\")).or_else(|| after("\\u001B\\\\")) {
                    return end;
                }
                if after("\\u001b").or_else(|| after("\\u001B")).is_some() {
                    return at;
                }
            }
            _ => {}
        }
    }
    at
}

fn count(bytes: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is_part(**byte)).count()
}
