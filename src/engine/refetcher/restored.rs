//! Answers of an earlier run of the client.

use super::Refetcher;
use super::slot::Slot;
use crate::protocol::{Cursor, Key};

impl<K: Key> Refetcher<K> {
    /// Holds an answer of an earlier run, whose stream reported its changes.
    pub(in crate::engine) fn restore(&mut self, key: K, cursor: &Cursor, asked_at: u64, now: u64) {
        // Without a first message in time, the answer is fetched as if its last fetch were long ago.
        let safety_at = now + self.settings.first_message_wait;
        let mut slot = Box::<Slot>::default();
        slot.on_stream = true;
        slot.cursor = Some(cursor.clone());
        slot.asked_at = Some(asked_at);
        slot.safety_at = safety_at;
        slot.restored = true;
        self.slots.insert(key.clone(), slot);
        self.restoring = true;
        self.idle.push((now, key));
        self.forget_idle(now);
    }
}
