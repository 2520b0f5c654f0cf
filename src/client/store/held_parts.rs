//! The parts of a held answer, and the names that the server gave to them.

use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::Cursor;

/// The parts of an earlier answer, so that a fetch can be conditional, or ask for the changes alone.
#[derive(Clone, Default)]
pub(in crate::client) struct HeldParts {
    pub(in crate::client) parts: Arc<[Bytes]>,
    pub(in crate::client) tags: Vec<PartTag>,
}

/// The names that the server gave to a part of an answer.
#[derive(Clone, Debug, Default)]
pub(in crate::client) struct PartTag {
    /// Names the content. None: the part was made of changes.
    pub(in crate::client) etag: Option<String>,
    /// The part is right at this cursor.
    pub(in crate::client) cursor: Option<Cursor>,
}
