//! The text of an error with its causes, for a person and for a log.

use std::error::Error;

/// A text that comes from the server is shown to people, so it is cut to this many characters.
pub(super) const MAX_SERVER_TEXT: usize = 200;

/// The text of `error` and of each of its causes. A cause that the text before it repeats is left out.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// The beginning of a text that the server chose.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(MAX_SERVER_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::with_causes;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Outer {
        text: &'static str,
        source: io::Error,
    }

    #[test]
    fn each_cause_is_named_once() {
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        let text = |text| with_causes(&Outer { text, source: refused() });
        assert_eq!(text("no answer"), "no answer: connection refused");
        assert_eq!(text("no answer: connection refused"), "no answer: connection refused");
    }
}
