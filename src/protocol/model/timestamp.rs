//! Times in the format of the wire.

use serde::{Deserialize, Serialize};

/// A time: RFC 3339 in UTC with milliseconds, as in `2026-01-31T09:30:00.000Z`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(any(feature = "server", feature = "client"))]
mod conversions {
    use chrono::{DateTime, SecondsFormat, Utc};

    use super::Timestamp;

    impl Timestamp {
        /// The time `ms` milliseconds after 1970. A time outside the years 0 to 9999 becomes the nearest time inside.
        pub fn from_ms(ms: i64) -> Self {
            let time = DateTime::<Utc>::from_timestamp_millis(ms.clamp(Self::MIN_MS, Self::MAX_MS)).unwrap_or_default();
            Self(time.to_rfc3339_opts(SecondsFormat::Millis, true))
        }

        /// Milliseconds since 1970.
        pub fn as_ms(&self) -> i64 {
            DateTime::parse_from_rfc3339(&self.0).map(|time| time.timestamp_millis()).unwrap_or_default()
        }

        /// The first millisecond of the year 0.
        const MIN_MS: i64 = -62_167_219_200_000;
        /// The last millisecond of the year 9999.
        const MAX_MS: i64 = 253_402_300_799_999;
    }

    impl std::fmt::Display for Timestamp {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl std::str::FromStr for Timestamp {
        type Err = chrono::ParseError;

        /// Parses any RFC 3339 time, and keeps it in UTC with milliseconds.
        fn from_str(text: &str) -> Result<Self, Self::Err> {
            DateTime::parse_from_rfc3339(text).map(|time| Self::from_ms(time.timestamp_millis()))
        }
    }

    #[cfg(feature = "server")]
    crate::protocol::openapi_text!(Timestamp, "date-time");
}
