//! Identifiers: one type for each kind of row, so that a task's id cannot stand where an event's id belongs.
//!
//! All are UUIDs in lower-case hyphenated text. The server makes version 7; a caller may bring any version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// A text is not an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a UUID (expected 8-4-4-4-12 hexadecimal digits)")
    }
}

impl std::error::Error for IdError {}

/// The text of a UUID in lower case, if `text` is one in hyphenated form.
fn normalise(text: &str) -> Result<Box<str>, IdError> {
    let hyphen = |at| matches!(at, 8 | 13 | 18 | 23);
    let shaped = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| if hyphen(at) { byte == b'-' } else { byte.is_ascii_hexdigit() });
    if shaped { Ok(text.to_ascii_lowercase().into()) } else { Err(IdError) }
}

/// The text of a new UUID of version 7. The context counts the ids of one millisecond, so that they keep their order.
#[cfg(feature = "server")]
fn version_7(now_ms: i64) -> Box<str> {
    use std::sync::Mutex;

    static CONTEXT: Mutex<uuid::ContextV7> = Mutex::new(uuid::ContextV7::new());
    let ms = u64::try_from(now_ms).unwrap_or(0);
    let nanos = u32::try_from(ms % 1_000).unwrap_or(0) * 1_000_000;
    let time = uuid::Timestamp::from_unix(&CONTEXT, ms / 1_000, nanos);
    uuid::Uuid::new_v7(time).hyphenated().to_string().into()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Box<str>);

        impl $name {
            /// The lower-case hyphenated text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// An id that ends in this number, for samples.
            pub(super) fn numbered(number: u8) -> Self {
                Self(format!("00000000-0000-7000-8000-{number:012}").into())
            }

            /// A new version 7 id of the time `now_ms`, in milliseconds since 1970. Of two ids of one process, the id
            /// that was made later sorts later: an id of an earlier time gets the newest time so far.
            #[cfg(feature = "server")]
            pub fn new_at(now_ms: i64) -> Self {
                Self(version_7(now_ms))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                normalise(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "server")]
        super::openapi_text!($name, "uuid");
    )*};
}

ids! {
    /// A task.
    TaskId
    /// One run of an agent on a task.
    SessionId
    /// An entry of a task's timeline.
    EventId
    /// A bookmark: a mark on a task or on an event.
    BookmarkId
}

#[cfg(test)]
mod tests {
    use super::{IdError, TaskId};

    #[test]
    fn upper_case_is_the_same_id() {
        let id: TaskId = "0190B0A0-0000-7000-8000-00000000000F".parse().expect("an id");
        assert_eq!(id.as_str(), "0190b0a0-0000-7000-8000-00000000000f");
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in
            ["", "1", "0190b0a0000070008000000000000001", "0190b0a0-0000-7000-8000-00000000000g", "../../../etc/passwd"]
        {
            assert_eq!(text.parse::<TaskId>(), Err(IdError), "{text}");
        }
    }
}
