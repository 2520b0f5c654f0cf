//! The order in which read models become due, as a heap: the next one is found without a look at all others.
//!
//! An entry is a hint. A read model whose time moved to a later one keeps its early entry, and the refetcher puts the
//! entry right once it is the first; so a change of one read model costs no search.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
/// Each read model that will be due has an entry that is not later than the time at which it will be due.
#[derive(Debug)]
pub(super) struct DueQueue<K> {
    heap: BinaryHeap<Reverse<(u64, K)>>,
}

impl<K: Ord> DueQueue<K> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new() }
    }

    pub(super) fn push(&mut self, due: u64, key: K) {
        self.heap.push(Reverse((due, key)));
    }

    pub(super) fn first(&self) -> Option<(u64, &K)> {
        self.heap.peek().map(|Reverse((due, key))| (*due, key))
    }

    pub(super) fn pop(&mut self) -> Option<K> {
        self.heap.pop().map(|Reverse((_, key))| key)
    }

    pub(super) fn clear(&mut self) {
        self.heap.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
