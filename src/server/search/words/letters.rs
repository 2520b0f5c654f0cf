//! Letters that Unicode does not take apart and that people write as other letters.

/// The letters that a person with another keyboard types for this lower-case letter: it has a stroke or a hook, or is
/// two letters in one. None: the letter stands for itself.
pub(super) fn written_as(letter: char) -> Option<&'static str> {
    Some(match letter {
        // The capital `ẞ` has no other capitals.
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'ⱥ' => "a",
        'ƀ' | 'ɓ' => "b",
        'ȼ' | 'ƈ' => "c",
        'đ' | 'ð' | 'ɖ' | 'ɗ' => "d",
        'ɇ' => "e",
        'ǥ' | 'ɠ' => "g",
        'ħ' => "h",
        'ɨ' => "i",
        'ɉ' => "j",
        'ƙ' => "k",
        'ł' | 'ƚ' => "l",
        'ŋ' | 'ɲ' => "n",
        'ø' | 'ɵ' => "o",
        'ƥ' => "p",
        'ɍ' => "r",
        'ŧ' | 'ƭ' => "t",
        'ʉ' => "u",
        'ʋ' => "v",
        'ɏ' | 'ƴ' => "y",
        'ƶ' => "z",
        _ => return None,
    })
}
