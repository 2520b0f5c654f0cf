//! The input of the hub: the change log's notices, and the cursor that they complete.
//!
//! One pass over the log has a fixed end and can need several batches. Only the last batch completes a cursor: a cursor
//! that went out in the middle of a pass would contain changes whose notices follow later.

use std::time::Instant;

use crate::protocol::{Cursor, Notice};

/// One message to the hub.
#[derive(Clone, Debug, PartialEq)]
pub enum HubInput {
    /// Notices of the current pass, in the order of the log. More of the same pass can follow.
    Notices {
        /// The notices.
        notices: Vec<Notice>,
        /// The time when their changes were read from the log.
        read_at: Instant,
    },
    /// The current pass is complete. The cursor contains every notice handed over so far.
    Complete(Cursor),
    /// The log cannot name the changes: every read model that a client holds is in doubt. Completes the current pass.
    Doubt {
        /// The reason, for the client's log.
        reason: &'static str,
        /// Contains every change that is in doubt.
        cursor: Cursor,
    },
    /// The database cannot be read. Every stream ends and its client comes back later.
    DatabaseAway,
}
