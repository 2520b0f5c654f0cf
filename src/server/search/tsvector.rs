//! The words of a document as Postgres keeps them: a `tsvector` with the places of the words.

use super::expression::{LONGEST_LEXEME, lexeme, scope_lexeme};
use super::words;

/// The highest place that Postgres keeps. The places of a longer text begin again at the first one: a phrase is then
/// found wherever it is. Two words that are so far apart that they get adjacent places are found as a phrase too.
const LAST_PLACE: usize = 16_383;
/// How many bytes of words a document has. Postgres refuses a document of 1 MiB. No row has so much text.
const MOST_BYTES: usize = 900_000;
/// How many bytes Postgres needs for a word, besides its letters.
const BYTES_PER_WORD: usize = 6;

/// The levels of sections: the size of a section is 2 to this power. The statement `CANDIDATES` has the same levels.
const SECTIONS: [u32; 5] = [12, 15, 18, 21, 24];

/// The text of the `tsvector` of a document with this id and within these scopes.
pub(super) fn of(id: i64, title: &str, text: &str, scopes: &[String]) -> String {
    let mut all = String::with_capacity(2 * (title.len() + text.len()));
    let (mut place, mut bytes) = (0, 0);
    for part in [title, text] {
        words::each(part, |word, _| {
            bytes += word.len().min(LONGEST_LEXEME) + BYTES_PER_WORD;
            if bytes <= MOST_BYTES {
                all.push_str(&lexeme(word));
                all.push_str(&format!(":{} ", 1 + place % LAST_PLACE));
            }
            place += 1;
        });
        // The last word of the title and the first word of the text are not adjacent.
        place += 1;
    }
    let sections = SECTIONS.iter().enumerate().map(|(level, size)| format!("{level}:{}", id >> size));
    let scopes: Vec<String> = scopes.iter().cloned().chain(sections).map(|word| scope_lexeme(&word)).collect();
    all + &scopes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn words_have_places_and_scopes_have_none() {
        assert_eq!(
            of(8_191, "Fix it", "now, fix", &["p61".to_owned()]),
            "'fix':1 'it':2 'now':4 'fix':5 '/p61' '/0:1' '/1:0' '/2:0' '/3:0' '/4:0'"
        );
        assert!(of(-1, "", "", &[]).starts_with("'/0:-1' "));
        assert!(of(1, "a", &"b ".repeat(20_000), &[]).contains(" 'b':16383 'b':1 "));
    }
}
