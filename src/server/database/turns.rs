//! Turns: how many readers of one kind run at once.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::DatabaseError;
use crate::protocol::limits;

/// The turns of one kind of reader. The others wait here, and not in the queue for a connection, where they would keep
/// readers of other kinds waiting.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Turns {
    /// So many turns at once.
    pub fn new(at_once: usize) -> Self {
        Self(Semaphore::new(at_once))
    }

    /// Waits for a turn, which ends when the permit is dropped. Fails as busy after as long as a connection may take.
    pub async fn take(&self) -> Result<SemaphorePermit<'_>, DatabaseError> {
        match tokio::time::timeout(limits::CONNECTION_WAIT, self.0.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(DatabaseError::Busy),
        }
    }
}
