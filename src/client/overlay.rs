//! Overlays: a write of the application is shown before the server's answers contain it.

use std::sync::Arc;

use super::shared::{Shared, Touched};
use super::source::Source;
use super::store::BodyChange;
use crate::protocol::Cursor;

/// A write that is shown on top of the held answer of a read model.
///
/// Dropping it without [`committed`](Self::committed) means that the write failed: the view shows the held answer
/// again.
#[must_use = "a dropped overlay ends at once"]
pub struct Overlay<S: Source> {
    shared: Arc<Shared<S>>,
    key: S::Key,
    id: u64,
    is_committed: bool,
}

impl<S: Source> Overlay<S> {
    pub(super) fn begin(shared: Arc<Shared<S>>, key: S::Key, change: BodyChange<S>) -> Self {
        let id = shared.call(Touched::one(&key), |state, _| state.store.overlay(&key, change));
        Self { shared, key, id: id.unwrap_or_default(), is_committed: false }
    }

    /// The server committed the write, and answered with `cursor` in the header `Requery-Cursor`.
    ///
    /// The overlay is shown until the held answer covers the cursor. The read model is fetched at once, as after
    /// [`Client::wrote`](super::Client::wrote).
    pub fn committed(mut self, cursor: &Cursor) {
        self.is_committed = true;
        self.shared.call(Touched::one(&self.key), |state, now| {
            state.store.commit_overlay(&self.key, self.id, cursor, now);
            state.wrote(&self.key, cursor, now);
        });
    }
}

impl<S: Source> Drop for Overlay<S> {
    fn drop(&mut self) {
        if !self.is_committed {
            self.shared.call(Touched::one(&self.key), |state, _| state.store.end_overlay(&self.key, self.id));
        }
    }
}
