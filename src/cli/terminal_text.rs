//! Text from servers and files, made safe for a terminal.

/// Replaces control characters, and characters that reorder text, by their escapes, so that the text cannot steer the
/// terminal.
pub fn escape_control_characters(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::escape_control_characters;

    #[test]
    fn control_and_reordering_characters_become_escapes() {
        assert_eq!(escape_control_characters("a\x1b[2Jb\r\n\u{9b}c\u{202e}d"), "a\\u{1b}[2Jb\\r\\n\\u{9b}c\\u{202e}d");
        assert_eq!(escape_control_characters("ünïcode 日本"), "ünïcode 日本");
    }
}
