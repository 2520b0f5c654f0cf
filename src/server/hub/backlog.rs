//! The backlog: the flushes that some stream has not read yet, with a bound on their memory.
//!
//! One stream that stops reading would hold every flush since then. Past the bound the oldest flushes lose their
//! content, and a stream that comes to such a flush gets a resync, as it does after too many flushes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::flush::Flush;
use crate::protocol::limits;

/// A flush in the backlog. Its content can be dropped before all streams have read it.
#[derive(Debug)]
pub struct Waiting(Mutex<Option<Arc<Flush>>>);

/// The flushes that some stream has not read yet, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: VecDeque<(Weak<Waiting>, usize)>,
    bytes: usize,
}

impl Waiting {
    /// The flush. None: the backlog became too large.
    pub fn flush(&self) -> Option<Arc<Flush>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn drop_content(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Backlog {
    /// Adds a flush that `streams` streams will read, and drops the content of the oldest ones until the rest is within
    /// the bound. None: the flush alone is over the bound.
    pub(super) fn add(&mut self, flush: Flush, streams: usize) -> Option<Arc<Waiting>> {
        let bytes = flush.most_bytes(streams);
        if bytes > limits::BACKLOG_BYTES {
            return None;
        }
        // The streams read the flushes in their order, so the flushes that all streams have read are the oldest.
        while let Some((oldest, its_bytes)) = self.waiting.front()
            && (oldest.strong_count() == 0 || self.bytes + bytes > limits::BACKLOG_BYTES)
        {
            if let Some(oldest) = oldest.upgrade() {
                oldest.drop_content();
            }
            self.bytes -= its_bytes;
            self.waiting.pop_front();
        }
        let waiting = Arc::new(Waiting(Mutex::new(Some(Arc::new(flush)))));
        self.waiting.push_back((Arc::downgrade(&waiting), bytes));
        self.bytes += bytes;
        Some(waiting)
    }
}
