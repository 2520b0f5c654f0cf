//! Whether writes can be stored at all.
//!
//! A write notes that the storage failed. From then on the server is not ready, although it still answers reads and
//! still tries each write. Only a write of the size of a long request, which the probe makes, ends that state: on a
//! disk that is almost full, short writes succeed and fail in turns.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::transaction::StatementFailure;

/// The reason why writes cannot be stored.
#[derive(Debug, Default)]
pub struct WriteHealth {
    trouble: Mutex<Option<String>>,
    began: Notify,
}

impl WriteHealth {
    /// Notes a failed statement of a write. Only a failure of the storage says that other writes would fail too.
    pub(super) fn note(&self, failure: &StatementFailure) {
        if failure.is_of_storage {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            if trouble.is_none() {
                *trouble = Some(failure.detail.clone());
                self.began.notify_one();
            }
        }
    }

    /// Notes that a long write was stored.
    pub(super) fn note_stored(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The reason why writes cannot be stored. None: they can, as far as is known.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a write has noted that the storage failed.
    pub async fn trouble_began(&self) {
        self.began.notified().await;
    }
}
