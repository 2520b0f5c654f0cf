//! Changes texts so that Postgres can store them.
//!
//! SQLite takes any bytes as a text and counts the characters of a text up to the first NUL. Postgres takes UTF-8 without
//! NUL and counts all characters. So a changed text can break a limit that the text had kept, and is cut then.

use crate::server::database::copy_ends::Cell;
use crate::server::database::sql::copied_tables::{CopiedTable, Holds, TextRule};

/// What stands for a character that cannot be stored.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Changes the texts of rows, and counts them.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// Whether the target is Postgres.
    is_strict: bool,
    /// How many texts were changed.
    pub(super) changed: u64,
    /// How many of these were cut.
    pub(super) cut: u64,
}

impl Fit {
    /// For Postgres, if `is_strict`. SQLite takes each text as it is.
    pub(super) fn new(is_strict: bool) -> Self {
        Self { is_strict, ..Self::default() }
    }

    /// Changes the texts of a row that the target cannot store.
    pub(super) fn change(&mut self, row: &mut [Cell], table: &CopiedTable) {
        if !self.is_strict {
            return;
        }
        for (cell, column) in row.iter_mut().zip(table.columns) {
            if let (Cell::Text(bytes), Holds::Text(rule)) = (cell, column.holds)
                && let Some(whole) = without_unstorable(bytes, rule)
            {
                let text = within(&whole, rule);
                self.changed += 1;
                self.cut += u64::from(text.len() < whole.len());
                *bytes = text.as_bytes().to_vec();
            }
        }
    }
}

/// The text with other characters for those that Postgres cannot store. None if it can store all.
fn without_unstorable(bytes: &[u8], rule: TextRule) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(_) if !bytes.contains(&0) => None,
        // For SQLite the JSON ends there.
        _ if rule == TextRule::Json => {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
        }
        _ => {
            // SQLite checks a text only up to its first NUL.
            let is_bad = |character: char| match rule {
                TextRule::Project => character.is_control(),
                TextRule::Kind => !matches!(character, 'a'..='z' | '0'..='9' | '.' | '_'),
                _ => character == '\0',
            };
            let other = if rule == TextRule::Kind { '_' } else { REPLACEMENT };
            let text = String::from_utf8_lossy(bytes);
            Some(text.chars().map(|character| if is_bad(character) { other } else { character }).collect())
        }
    }
}

/// The beginning of a text that keeps the rule.
fn within(text: &str, rule: TextRule) -> &str {
    let (characters, bytes) = match rule {
        TextRule::Any | TextRule::Json => return text,
        TextRule::Characters(most) => (most, usize::MAX),
        TextRule::Bytes(most) => (usize::MAX, most),
        TextRule::Both(characters, bytes) => (characters, bytes),
        TextRule::Project => (128, usize::MAX),
        TextRule::Kind => (64, usize::MAX),
    };
    let end = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    &text[..text.floor_char_boundary(end.min(bytes))]
}

#[cfg(test)]
mod tests {
    use super::{Cell, Fit, TextRule, within, without_unstorable};
    use crate::server::database::sql::copied_tables::COPIED_TABLES;

    /// A row of the table `agents` with this source and this host.
    fn agent(source: &[u8], host: &[u8]) -> Vec<Cell> {
        let text = |bytes: &[u8]| Cell::Text(bytes.to_vec());
        vec![text(source), text(host), text(b""), Cell::Null, Cell::Null, Cell::Number(1)]
    }

    fn changed(is_strict: bool, mut row: Vec<Cell>) -> (Vec<Cell>, u64, u64) {
        let table = COPIED_TABLES.iter().find(|table| table.name == "agents").expect("the table");
        let mut fit = Fit::new(is_strict);
        fit.change(&mut row, table);
        (row, fit.changed, fit.cut)
    }

    #[test]
    fn sqlite_gets_each_text_as_it_is() {
        let row = agent(b"a\0b", b"\xff");
        assert_eq!(changed(false, row.clone()), (row, 0, 0));
    }

    #[test]
    fn postgres_gets_another_character_for_each_that_it_cannot_store() {
        let row = agent(b"a\0b", b"\xffc");
        assert_eq!(changed(true, row), (agent("a\u{fffd}b".as_bytes(), "\u{fffd}c".as_bytes()), 2, 0));
        let row = agent("\u{fffd} é 😀".as_bytes(), b"plain");
        assert_eq!(changed(true, row.clone()), (row, 0, 0));
    }

    #[test]
    fn a_text_that_sqlite_checked_up_to_its_first_nul_keeps_its_rule() {
        let changed = |text: &[u8], rule| without_unstorable(text, rule).unwrap_or_default();
        assert_eq!(changed(b"{\"a\":1}\0}", TextRule::Json), "{\"a\":1}");
        assert_eq!(changed(b"a.b_1\0B", TextRule::Kind), "a.b_1__");
        assert_eq!(changed(b"p\0\x01\x7f", TextRule::Project), "p\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_changed_text_keeps_its_limit() {
        let row = agent(&[b'a', 0].repeat(64), &[0; 256]);
        let (source, host) = ("a\u{fffd}".repeat(32), "\u{fffd}".repeat(85));
        assert_eq!(changed(true, row), (agent(source.as_bytes(), host.as_bytes()), 2, 2));
        assert_eq!(within("ééé", TextRule::Both(2, 5)), "éé");
        assert_eq!(within("ééé", TextRule::Both(3, 5)), "éé");
    }
}
