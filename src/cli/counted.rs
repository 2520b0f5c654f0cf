//! Numbers with their words.

/// The number with commas between the thousands, and the word in the singular or with an `s`.
pub fn counted(count: u64, word: &str) -> String {
    format!("{} {word}{}", number(count), if count == 1 { "" } else { "s" })
}

/// The number with commas between the thousands.
pub fn number(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}
