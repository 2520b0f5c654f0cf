//! The read models to which the open stream is narrowed, and those for which the server certifies that it reports every
//! change.

use super::flat::WatchedList;
use crate::protocol::{Key, Watched};

/// The narrowing of the open stream. Each stream starts with a new one.
#[derive(Debug)]
pub(super) struct Narrowing<K: Key> {
    /// The list of the last request, answered or not. None: the stream reports every change.
    sent: Option<WatchedList<K>>,
    /// The last answer: the read models whose changes the stream reports. None: of all.
    confirmed: Option<WatchedList<K>>,
    /// The deadline for the answer to the last request, if it is unanswered.
    deadline: Option<u64>,
    /// The set of watched read models changed, or the stream does not have it yet.
    pub(super) is_due: bool,
    /// A read model that the last answer left out was reported all the same: the server may confirm it now.
    again: bool,
}

impl<K: Key> Narrowing<K> {
    pub(super) fn new() -> Self {
        Self { sent: None, confirmed: None, deadline: None, is_due: false, again: false }
    }

    /// Notes that `wanted` is sent. None if the stream has that list already.
    pub(super) fn send(&mut self, wanted: WatchedList<K>, deadline: u64) -> Option<&WatchedList<K>> {
        self.is_due = false;
        if self.sent.as_ref() == Some(&wanted) && !self.again {
            return None;
        }
        self.again = false;
        self.deadline = Some(deadline);
        Some(self.sent.insert(wanted))
    }

    /// Takes the answer. Returns the list of the request, if there was one, and the read models that the answer confirms.
    ///
    /// An answer can leave out read models of the request: the server reports no change of them, or cannot say so.
    pub(super) fn handle_watching(&mut self, confirmed: &[Watched<K>]) -> (Option<&WatchedList<K>>, &WatchedList<K>) {
        self.deadline = None;
        (self.sent.as_ref(), self.confirmed.insert(WatchedList::new(confirmed)))
    }

    /// Takes a report about a read model. If the last answer left it out, the next request can be answered otherwise.
    pub(super) fn handle_report(&mut self, place: &Watched<K>) {
        let (Some(sent), Some(confirmed), Watched::One(model)) = (&self.sent, &self.confirmed, place) else { return };
        if sent.includes(model) && !confirmed.includes(model) {
            self.again = true;
            self.is_due = true;
        }
    }

    /// When the unanswered request counts as failed.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// Whether the stream reports the changes of `model`. A later request that leaves it out counts from its answer on:
    /// the server reports the changes until then.
    pub(super) fn reports(&self, model: &K) -> bool {
        self.confirmed.as_ref().is_none_or(|confirmed| confirmed.includes(model))
    }
}
