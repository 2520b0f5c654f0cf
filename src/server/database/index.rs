//! What is known of the search index: whoever asks it, writes it or looks through the file may find it damaged.
//!
//! Only noted here; who keeps the index makes it again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Which index was found damaged, counted by how often it was made again: one that is found so by somebody who still
/// looks at the one before is not made again for that.
#[derive(Debug, Default)]
pub struct IndexDamage {
    made: AtomicU64,
    found: AtomicU64,
    suspected: AtomicBool,
    given_up: AtomicBool,
    bell: Notify,
}

impl IndexDamage {
    /// Which index it is now. Asked before a snapshot of it is taken.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// Notes that the one that was `made` is damaged.
    pub fn find(&self, made: u64) {
        self.found.fetch_max(made + 1, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// Whether that is known of the one there is now.
    pub fn is_found(&self) -> bool {
        self.found.load(Ordering::SeqCst) > self.made()
    }

    /// Notes that something is damaged which may be the index: it should be looked at.
    pub fn suspect(&self) {
        self.suspected.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// Whether it should be.
    pub fn is_suspected(&self) -> bool {
        self.suspected.load(Ordering::SeqCst)
    }

    /// Notes that it was looked at.
    pub fn looked_at(&self) {
        self.suspected.store(false, Ordering::SeqCst);
    }

    /// Notes that it could not be made again: it is of no use until it can be.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    /// Whether that is so.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst) && self.is_found()
    }

    /// Notes that it is another one now.
    pub fn renew(&self) {
        self.made.fetch_add(1, Ordering::SeqCst);
        self.given_up.store(false, Ordering::SeqCst);
        self.suspected.store(false, Ordering::SeqCst);
    }

    /// Until something was found or suspected since the last time.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}
