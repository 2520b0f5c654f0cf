//! A message from the server, as a client decodes it.
//!
//! The envelope of an unknown message is read on its own, each field for itself: a client that knows the cursor of the
//! message accepts no answer from before it.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Frame;
use crate::protocol::Cursor;

/// A message from the server, as a client decodes it. An unknown message means that every read model may have changed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Incoming {
    /// A frame of this contract.
    Frame(Frame),
    /// A kind of a later version, or a payload that does not parse.
    Unknown(UnknownFrame),
}

/// The envelope of an unknown message. A field that is missing, or that does not parse, has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Envelope")]
pub struct UnknownFrame {
    /// Contains all changes of this message and of all frames before it. None if the message has no cursor that parses,
    /// or is no object.
    pub cursor: Option<Cursor>,
    /// More frames with the same cursor follow at once.
    pub more: bool,
    /// A client waits a random share of this many milliseconds before it fetches.
    pub spread_ms: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Envelope {
    Object {
        #[serde(default)]
        cursor: Lenient<Cursor>,
        #[serde(default)]
        more: Lenient<bool>,
        #[serde(default)]
        spread_ms: Lenient<u32>,
    },
    Other(IgnoredAny),
}

/// A value, or any JSON in the place of the value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Value(T),
    Other(IgnoredAny),
}

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Lenient::Other(IgnoredAny)
    }
}

impl<T> Lenient<T> {
    fn value(self) -> Option<T> {
        match self {
            Lenient::Value(value) => Some(value),
            Lenient::Other(_) => None,
        }
    }
}

impl From<Envelope> for UnknownFrame {
    fn from(envelope: Envelope) -> Self {
        match envelope {
            Envelope::Object { cursor, more, spread_ms } => {
                Self { cursor: cursor.value(), more: more.value().unwrap_or(false), spread_ms: spread_ms.value() }
            }
            Envelope::Other(_) => Self::default(),
        }
    }
}
