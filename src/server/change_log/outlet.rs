//! The outlet of the log: the one place through which changes leave it.
//!
//! The cache of answers hears of each change here, before the hub does. So a client that knows of a change from a
//! stream never gets an answer from memory that lacks the change. No other code can send to the hub.

use std::time::Instant;

use tokio::sync::mpsc;

use crate::protocol::{Cursor, Notice};
use crate::server::database::{ChangePlace, Database};
use crate::server::hub::HubInput;

/// The way to the cache of answers and then to the hub.
pub struct Outlet {
    database: Database,
    hub: mpsc::Sender<HubInput>,
}

impl Outlet {
    /// The outlet of a log that is followed from `cursor` on.
    pub fn new(database: Database, hub: mpsc::Sender<HubInput>, cursor: &Cursor) -> Self {
        database.begin_notes(cursor);
        Self { database, hub }
    }

    /// Whether the hub has ended, as it does with the server.
    pub fn is_closed(&self) -> bool {
        self.hub.is_closed()
    }

    /// Hands on notices of the current pass, whose changes were read at this time. For each of them `places` has the
    /// place of its change.
    pub async fn notices(&self, notices: Vec<Notice>, read_at: Instant, places: impl Iterator<Item = ChangePlace>) {
        self.database.note_changes(notices.iter().zip(places));
        self.send(HubInput::Notices { notices, read_at }).await;
    }

    /// Hands on that the current pass is complete: `cursor` contains every notice so far.
    pub async fn complete(&self, cursor: Cursor) {
        self.database.complete_notes(&cursor);
        self.send(HubInput::Complete(cursor)).await;
    }

    /// Says that the log has no change up to `cursor` that was not handed on. Only the cache of answers hears of it.
    pub fn quiet(&self, cursor: &Cursor) {
        self.database.complete_notes(cursor);
    }

    /// Says that the log cannot be read for now: no answer comes from memory.
    pub fn pause(&self) {
        self.database.end_notes();
    }

    /// Says that the log is followed again from `cursor` on, up to which it was handed on before.
    pub fn resume(&self, cursor: &Cursor) {
        self.database.begin_notes(cursor);
    }

    /// Hands on that the log cannot name the changes up to `cursor`.
    pub async fn doubt(&self, reason: &'static str, cursor: Cursor) {
        self.database.begin_notes(&cursor);
        self.send(HubInput::Doubt { reason, cursor }).await;
    }

    /// Hands on that the database cannot be read.
    pub async fn database_away(&self) {
        self.database.end_notes();
        self.send(HubInput::DatabaseAway).await;
    }

    async fn send(&self, input: HubInput) {
        // A closed hub means that the server ends.
        let _ = self.hub.send(input).await;
    }
}
