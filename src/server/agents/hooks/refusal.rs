//! The answers to tool calls that were refused, as Claude Code writes them in place of a result.

/// The beginnings of the answers to a call that a person or a rule refused.
const REFUSALS: [&str; 7] = [
    "The user doesn't want to proceed with this tool use",
    "The user doesn't want to take this action",
    "Permission for this tool use was denied",
    "Permission for this action has been denied",
    "Permission to use ",
    "Claude requested permissions to ",
    "User rejected tool use",
];

/// The texts in front of the words with which a person refused a call.
const WORDS_OF_PERSON: [&str; 2] = ["the user said:", "The user said:"];

/// Whether the answer to a call says that it was refused.
pub fn is_refusal(answer: &str) -> bool {
    let answer = answer.trim_start();
    let answer = answer.strip_prefix("Error: ").unwrap_or(answer);
    REFUSALS.iter().any(|refusal| answer.starts_with(refusal))
}

/// The words with which a person refused a call, or else the whole answer.
pub fn reason(answer: &str) -> &str {
    let words = WORDS_OF_PERSON.iter().find_map(|mark| answer.split_once(mark)).map(|(_, words)| words.trim());
    words.filter(|words| !words.is_empty()).unwrap_or(answer.trim())
}

#[cfg(test)]
mod tests {
    use super::{is_refusal, reason};

    #[test]
    fn a_refusal_keeps_the_words_of_the_person() {
        let refused = "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was a \
            file edit, the new_string was NOT written to the file). To tell you how to proceed, the user said:\n\
            paint it green";
        assert!(is_refusal(refused));
        assert_eq!(reason(refused), "paint it green");
        let unanswered = "Claude requested permissions to use Write, but you haven't granted it yet.";
        assert!(is_refusal(unanswered));
        assert_eq!(reason(unanswered), unanswered);
        assert!(!is_refusal("Exit code 1\nThe user doesn't want to proceed with this tool use"));
    }
}
