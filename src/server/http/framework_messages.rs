//! The framework's messages about parameters, reworded for the caller: without the names of the framework's types.

/// The message in plain words. An unknown message stays as it is.
pub(super) fn plain(reason: &str) -> String {
    let reason = reason.split(" (occurred while parsing ").next().unwrap_or(reason);
    if reason.ends_with("expects an input value.") {
        return "is missing".to_owned();
    }
    if let Some(bound) = reason.strip_prefix("verification failed. ") {
        let limit = |name: &str| bound.strip_prefix(name)?.strip_prefix('(')?.split(',').next();
        return match (limit("minimum"), limit("maximum")) {
            (Some(least), _) => format!("is less than {least}"),
            (_, Some(most)) => format!("is more than {most}"),
            (None, None) => bound.to_owned(),
        };
    }
    match reason.strip_prefix("failed to parse \"").and_then(|rest| rest.split_once("\": ")) {
        Some((_, "Expect a valid enumeration value.")) => "is not one of the allowed words".to_owned(),
        Some((kind, why)) if kind.starts_with("integer") => format!("is not a valid whole number: {why}"),
        Some((_, why)) => why.to_owned(),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn plain_messages_name_no_framework_type() {
        for (reason, expected) in [
            ("Type \"string\" expects an input value.", "is missing"),
            ("verification failed. minimum(1, exclusive: false)", "is less than 1"),
            ("verification failed. maximum(200, exclusive: false)", "is more than 200"),
            ("failed to parse \"string_uuid\": not a UUID (expected 8-4)", "not a UUID (expected 8-4)"),
            (
                "failed to parse \"TaskStatus\": Expect a valid enumeration value. (occurred while parsing \"optional_T\")",
                "is not one of the allowed words",
            ),
            (
                "failed to parse \"integer(uint32)\": invalid digit found in string",
                "is not a valid whole number: invalid digit found in string",
            ),
            ("anything else", "anything else"),
        ] {
            assert_eq!(plain(reason), expected);
        }
    }
}
