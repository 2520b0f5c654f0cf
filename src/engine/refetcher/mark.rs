//! The reasons to take a read model for stale.

use crate::engine::fetch::Why;
use crate::protocol::Cursor;

/// A reason to take a read model for stale.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Mark<'a> {
    pub(in crate::engine) why: Why,
    /// The cursor that an answer has to cover; none if unknown.
    pub(in crate::engine) cursor: Option<&'a Cursor>,
    /// If it is unknown: the cursor of the last message, which is no later than the reason.
    pub(in crate::engine) least: Option<&'a Cursor>,
    /// Fetch after a random share of this.
    pub(in crate::engine) spread: Option<u64>,
    pub(in crate::engine) urgency: Urgency,
    /// The change happened while this client was not connected, or was missed.
    pub(in crate::engine) behind: bool,
    /// Until when the stream, if it reports the read model, would have told a change.
    pub(in crate::engine) true_until: u64,
}

/// The waits that a reason accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Urgency {
    /// Debounce and pace.
    Debounced,
    /// The pace alone: the application wrote.
    Paced,
    /// None: a person waits for the answer.
    Wished,
}

impl<'a> Mark<'a> {
    pub(in crate::engine) fn new(why: Why, cursor: Option<&'a Cursor>, true_until: u64) -> Self {
        Self { why, cursor, least: None, spread: None, urgency: Urgency::Debounced, behind: false, true_until }
    }

    /// The same reason, for which a person or the application does not accept the usual waits.
    pub(in crate::engine) fn with_urgency(self, urgency: Urgency) -> Self {
        Self { urgency, ..self }
    }
}
