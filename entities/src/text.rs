//! The text of a column, read leniently.

use std::fmt;
use std::ops::Deref;

use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, DbErr, QueryResult, TryFromU64, TryGetError, TryGetable, Value};

/// The text of a column. Every text column of every row has this type, because any program can store a text that is
/// not UTF-8. Such a text must not make a query fail that reads a thousand other rows.
///
/// Bytes that are not UTF-8 are read as U+FFFD. So is NUL, which many readers take for the end of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredText(String);

impl StoredText {
    /// The text that `bytes` hold.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(broken) => String::from_utf8_lossy(broken.as_bytes()).into_owned(),
        };
        Self(if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text up to the first replaced character. The stored bytes begin with it, so it is never above them in the
    /// order of the database. The check of an id ends at the first NUL: of such an id this is the part that was
    /// checked.
    pub fn before_replaced(&self) -> &str {
        self.0.split('\u{fffd}').next().unwrap_or_default()
    }
}

impl Deref for StoredText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoredText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for StoredText {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for StoredText {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<StoredText> for &str {
    fn eq(&self, other: &StoredText) -> bool {
        *self == other.0
    }
}

impl PartialEq<String> for StoredText {
    fn eq(&self, other: &String) -> bool {
        self.0 == *other
    }
}

impl PartialEq<StoredText> for String {
    fn eq(&self, other: &StoredText) -> bool {
        *self == other.0
    }
}

impl From<String> for StoredText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for StoredText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<StoredText> for String {
    fn from(text: StoredText) -> Self {
        text.0
    }
}

impl From<StoredText> for Value {
    fn from(text: StoredText) -> Self {
        text.0.into()
    }
}

impl TryGetable for StoredText {
    fn try_get_by<I: ColIdx>(row: &QueryResult, column: I) -> Result<Self, TryGetError> {
        // Postgres stores no text that is not UTF-8, and its driver gives no text as bytes.
        match row.try_as_pg_row() {
            Some(_) => String::try_get_by(row, column).map(Self),
            None => Vec::<u8>::try_get_by(row, column).map(Self::from_bytes),
        }
    }
}

impl ValueType for StoredText {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <String as ValueType>::try_from(value).map(Self)
    }

    fn type_name() -> String {
        "StoredText".to_owned()
    }

    fn array_type() -> ArrayType {
        <String as ValueType>::array_type()
    }

    fn column_type() -> ColumnType {
        <String as ValueType>::column_type()
    }
}

impl Nullable for StoredText {
    fn null() -> Value {
        String::null()
    }
}

impl TryFromU64 for StoredText {
    fn try_from_u64(number: u64) -> Result<Self, DbErr> {
        String::try_from_u64(number).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::StoredText;

    #[test]
    fn bytes_that_are_not_utf_8_are_replaced() {
        let texts: [(&[u8], &str); 5] = [
            (b"plain", "plain"),
            (b"caf\xe9", "caf\u{fffd}"),
            (b"a\0b", "a\u{fffd}b"),
            (b"\xed\xa0\x80 half a pair", "\u{fffd}\u{fffd}\u{fffd} half a pair"),
            ("größer 🐦".as_bytes(), "größer 🐦"),
        ];
        for (bytes, text) in texts {
            assert_eq!(StoredText::from_bytes(bytes.to_vec()).as_str(), text);
        }
    }
}
