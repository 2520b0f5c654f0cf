//! Whether this server has the lease.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Until when this server has the lease, by its own clock.
#[derive(Default)]
pub(super) struct HeldLease(Mutex<Option<Instant>>);

impl HeldLease {
    /// Notes until when.
    pub(super) fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Whether this server has the lease now.
    pub(super) fn is_held(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until)
    }
}
