//! The known health of the search index. Readers, the index job and the watchdog of the file can each find damage.
//!
//! Damage is only noted here. The index job rebuilds the index.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// The damage that was found, by the generation of the index. Each rebuild begins a new generation, so damage that a
/// reader of an older generation reports does not cause another rebuild.
#[derive(Debug, Default)]
pub struct SearchIndexHealth {
    generation: AtomicU64,
    /// One more than the newest generation that was found damaged.
    damaged: AtomicU64,
    check_requested: AtomicBool,
    rebuild_failed: AtomicBool,
    changed: Notify,
}

impl SearchIndexHealth {
    /// The generation of the index. Ask for it before taking a snapshot of the index.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Notes that the index of this generation is damaged.
    pub fn report_damage(&self, generation: u64) {
        self.damaged.fetch_max(generation + 1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Whether the current index is known to be damaged.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::SeqCst) > self.generation()
    }

    /// Requests a check of the index: a page of the file is damaged, and the page may belong to the index.
    pub fn request_check(&self) {
        self.check_requested.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Whether a check was requested and is still due.
    pub fn is_check_requested(&self) -> bool {
        self.check_requested.load(Ordering::SeqCst)
    }

    /// Notes that the check was done.
    pub fn note_checked(&self) {
        self.check_requested.store(false, Ordering::SeqCst);
    }

    /// Notes that a rebuild failed: the index is of no use until a rebuild succeeds.
    pub fn note_failed_rebuild(&self) {
        self.rebuild_failed.store(true, Ordering::SeqCst);
    }

    /// Whether the index is damaged and its last rebuild failed.
    pub fn is_lost(&self) -> bool {
        self.rebuild_failed.load(Ordering::SeqCst) && self.is_damaged()
    }

    /// Begins a new generation: the index was rebuilt, or the file was opened again.
    pub fn begin_generation(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.rebuild_failed.store(false, Ordering::SeqCst);
        self.check_requested.store(false, Ordering::SeqCst);
    }

    /// Waits until damage or a request for a check was noted since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
