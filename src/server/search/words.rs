//! Words: splits a text into the words that can be searched for.
//!
//! One function splits indexed texts, queries and shown texts, so the three cannot disagree. Case, accents and other
//! marks do not count: `ß` is `ss`, and `đ` is `d`. Escape sequences of a terminal are between words, and long base64
//! has no words. `foo_bar`, `a/b.rs` and `--flag` are several adjacent words. In scripts without spaces each character
//! is a word. An emoji is a word too.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::protocol::limits;
use crate::server::text::base64;

mod escape;
mod letters;

/// The version of the rules in this module. With other rules the words of every text can differ, so a change of the
/// rules needs a higher version: the index job then walks all rows.
pub(super) const VERSION: i64 = 2;

/// Calls `visit` with each word, folded, and its range in bytes.
pub fn each(text: &str, mut visit: impl FnMut(&str, Range<usize>)) {
    let mut word = Word::default();
    let mut hidden = Hidden::default();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if let Some(end) = hidden.end_at(text, at, c) {
            word.end(&mut visit);
            at = end;
            continue;
        }
        let end = at + c.len_utf8();
        match kind(c) {
            Kind::Part => word.push(c, at..end),
            Kind::Mark if word.length > 0 => word.push(c, at..end),
            Kind::Mark | Kind::Ignored => {}
            Kind::Alone => {
                word.end(&mut visit);
                word.push(c, at..end);
                word.end(&mut visit);
            }
            Kind::Between => word.end(&mut visit),
        }
        at = end;
    }
    word.end(&mut visit);
}

/// The text with a space for each part that has no words. A query is cut at spaces and quotes, and such a part can hold
/// both.
pub fn without_hidden(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut hidden = Hidden::default();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let end = hidden.end_at(text, at, c);
        shown.push(if end.is_some() { ' ' } else { c });
        at = end.unwrap_or(at + c.len_utf8());
    }
    shown
}

/// Finds the parts of a text that have no words: escape sequences and base64.
#[derive(Default)]
struct Hidden {
    /// Whether the character before is a digit of base64. Base64 begins only where none precedes.
    follows_base64: bool,
}

impl Hidden {
    /// The end of the part that begins with the character `c` at the byte `at`, if one begins there.
    fn end_at(&mut self, text: &str, at: usize, c: char) -> Option<usize> {
        let is_base64 = base64::is_base64(c);
        let begins = !std::mem::replace(&mut self.follows_base64, is_base64) && is_base64;
        match c {
            '\u{1b}' | '\\' | '\u{9b}' | '\u{9d}' => escape::end_of(text, at),
            _ if begins => base64::end_of(text, at, base64::LONGER_THAN_A_HASH),
            _ => None,
        }
    }
}

/// The folded words of a text, with one space between them.
pub fn folded(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    each(text, |word, _| {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(word);
    });
    all
}

#[derive(Default)]
struct Word {
    text: String,
    range: Range<usize>,
    /// The length in characters of the original text.
    length: usize,
}

impl Word {
    fn push(&mut self, c: char, range: Range<usize>) {
        if self.length == 0 {
            self.range.start = range.start;
        }
        self.range.end = range.end;
        self.length += 1;
        if self.length <= limits::WORD_CHARACTERS {
            fold(c, &mut self.text);
        }
    }

    fn end(&mut self, visit: &mut impl FnMut(&str, Range<usize>)) {
        if !self.text.is_empty() {
            visit(&self.text, self.range.clone());
        }
        self.text.clear();
        self.length = 0;
    }
}

/// The role of a character in a word.
enum Kind {
    /// Part of a word.
    Part,
    /// Belongs to the character before it.
    Mark,
    /// A word by itself.
    Alone,
    /// Invisible, so it neither belongs to a word nor ends one.
    Ignored,
    /// Ends a word.
    Between,
}

fn kind(c: char) -> Kind {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() { Kind::Part } else { Kind::Between };
    }
    match u32::from(c) {
        // Hyphenation, joiners, directions.
        0xAD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2069 | 0xFE00..=0xFE0F | 0xFEFF => Kind::Ignored,
        // Arrows, technical and other symbols, emoji, but not the modifiers for skin tones.
        0x2190..=0x23FF | 0x2600..=0x27BF | 0x2B00..=0x2BFF | 0x1F000..=0x1F3FA | 0x1F400..=0x1FAFF => Kind::Alone,
        // Written without spaces: Thai, Lao, Burmese, Khmer, Han, kana.
        0x0E00..=0x0EFF
        | 0x1000..=0x109F
        | 0x1780..=0x17FF
        | 0x2E80..=0x2FDF
        | 0x3005..=0x3007
        | 0x3021..=0x3029
        | 0x3040..=0x3098
        | 0x309B..=0x30FF
        | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF
        | 0xF900..=0xFAFF
        | 0xFF66..=0xFF9D
        | 0x20000..=0x3FFFF
            if c.is_alphanumeric() || is_combining_mark(c) =>
        {
            Kind::Alone
        }
        _ if is_combining_mark(c) => Kind::Mark,
        _ if c.is_alphanumeric() => Kind::Part,
        _ => Kind::Between,
    }
}

fn fold(c: char, word: &mut String) {
    if c.is_ascii() {
        word.push(c.to_ascii_lowercase());
        return;
    }
    if !c.is_alphanumeric() && !is_combining_mark(c) {
        word.push(c);
        return;
    }
    // Unicode counts vowel points as letters, but writers leave them out.
    let is_shown = |part: &char| !is_accent(*part) && (part.is_alphanumeric() || is_combining_mark(*part));
    for part in c.nfkd().filter(is_shown) {
        // Full case folding: the capitals of `ß` are `SS`, and the capital of `ς` is also the capital of `σ`.
        for letter in part.to_uppercase().flat_map(char::to_lowercase) {
            match letters::written_as(letter) {
                Some(letters) => word.push_str(letters),
                None => word.push(letter),
            }
        }
    }
}

/// Marks that writers leave out: accents, the points of Hebrew and Arabic, the voicing of kana.
fn is_accent(c: char) -> bool {
    matches!(u32::from(c),
        0x0300..=0x036F | 0x0591..=0x05C7 | 0x0610..=0x061A | 0x064B..=0x065F | 0x0670 | 0x06D6..=0x06ED
        | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0x3099..=0x309A | 0xFE20..=0xFE2F)
}

#[cfg(test)]
mod tests {
    use unicode_normalization::UnicodeNormalization;

    use super::{each, folded};

    #[test]
    fn spellings_of_a_word_fold_alike() {
        for (text, words) in [
            ("", ""),
            (" \t\n.,;!?\0\u{1b}[0m", ""),
            ("Make the TESTS pass!", "make the tests pass"),
            ("src/server/read_model.rs:12", "src server read model rs 12"),
            ("foo_bar --dry-run fooBar x86_64", "foo bar dry run foobar x86 64"),
            ("Größe GRÖẞE Ångström naïve café", "grosse grosse angstrom naive cafe"),
            ("đường Łódź smørrebrød ĐẶNG Ħal ısırık œuvre", "duong lodz smorrebrod dang hal isirik oeuvre"),
            ("\u{1b}[31mFAIL\u{1b}[39m a\u{1b}[1m\u{1b}[46mb \u{9b}0mc", "fail a b c"),
            ("\u{1b}]8;;http://x.y/z\u{1b}\\link\u{1b}]8;;\u{7}, \u{1b}]0;title\u{7}d", "link d"),
            ("\u{1b}(Bascii \u{1b}]no end\nline \u{1b}[3", "ascii no end line"),
            (r#"{"out": "\u001b[31mFAIL\u001b[0m \n"}"#, "out fail n"),
            ("C:\\users\\u001", "c users u001"),
            ("cafe\u{301} İstanbul ΟΔΟΣ ὁδός", "cafe istanbul οδοσ οδοσ"),
            ("ﬁle ① ½ Ⅷ", "file 1 12 viii"),
            ("שָׁלוֹם مُحَمَّد", "שלום محمد"),
            ("pass\u{202e}word co\u{ad}operate", "password cooperate"),
            ("検索する ガラス", "検 索 す る カ ラ ス"),
            ("ก็ได้", "ก ็ ไ ด ้"),
            ("हिन्दी 한국어", "हिन्दी 한국어"),
            ("✗ failed 👩🏽\u{200d}💻", "✗ failed 👩 💻"),
        ] {
            assert_eq!(folded(text), folded(words), "{text}");
            if words.is_ascii() {
                assert_eq!(folded(text), words);
            }
        }
        assert_eq!(folded(&"Áb".repeat(1000)).len(), 64);
        let picture = "iVBORw0KGgo".to_owned() + &"QUJD".repeat(1500);
        assert_eq!(folded(&format!("a {picture}== b\ndata:image/png;base64,{picture}")), "a b data image png base64");
        assert_eq!(folded(&format!("{}/src", "orchard/".repeat(60))).split(' ').count(), 61);
    }

    /// Full case folding: the capitals of a letter fold as the letter does.
    #[test]
    fn every_letter_folds_as_its_capitals() {
        // The iota below a Greek vowel is a mark here, and a letter in capitals.
        let has_iota = |c: char| c.nfkd().any(|part| part == '\u{345}');
        for c in (char::MIN..=char::MAX).filter(|c| c.is_alphabetic() && !has_iota(*c)) {
            let [letter, capitals] = [c.to_string(), c.to_uppercase().collect()].map(|text: String| folded(&text));
            assert_eq!(letter, capitals, "{c}");
        }
    }

    #[test]
    fn words_come_with_their_byte_ranges() {
        let text = "über_all: 検x, e\u{301}té";
        let mut found = Vec::new();
        each(text, |word, range| found.push((word.to_owned(), &text[range])));
        let found: Vec<(&str, &str)> = found.iter().map(|(word, place)| (word.as_str(), *place)).collect();
        assert_eq!(found, [("uber", "über"), ("all", "all"), ("検", "検"), ("x", "x"), ("ete", "e\u{301}té")]);
    }
}
