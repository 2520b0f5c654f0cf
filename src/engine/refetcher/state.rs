//! The answers to the questions of a driver about a read model: its state, its age, the wait of its next fetch.

use super::Refetcher;
use super::slot::{Doubt, Slot};
use crate::engine::explain::WaitsFor;
use crate::engine::fetch::{Held, HeldState};
use crate::engine::settings::from_ms;
use crate::protocol::Key;

impl<K: Key> Refetcher<K> {
    /// `up` is whether a message of the stream would tell a change of a read model that the stream reports.
    pub(in crate::engine) fn held(&self, key: &K, up: bool, now: u64) -> Option<Held<'_>> {
        let slot = self.slots.get(key)?;
        let stale = slot.doubt.is_some();
        let polled = || self.scene.polling && self.reached && self.expiry(slot).is_some_and(|end| end > now);
        let state = match () {
            () if slot.asked_at.is_none() => HeldState::Loading,
            () if stale => HeldState::Stale,
            () if slot.absent => HeldState::Gone,
            () if if up { slot.on_stream } else { polled() } => HeldState::Fresh,
            () => HeldState::Unconfirmed,
        };
        Some(Held {
            state,
            cursor: slot.cursor.as_ref(),
            watched: slot.watched,
            stale,
            in_flight: slot.flight.is_some(),
            on_stream: slot.on_stream,
            absent: slot.absent,
            failures: slot.failures,
            why: slot.why,
            asked_at: slot.asked_at.map(from_ms),
        })
    }

    /// Until when the held answer was known to be true, given the time of the last message.
    pub(in crate::engine) fn true_at(&self, key: &K, last_message_at: u64) -> Option<u64> {
        self.slots.get(key)?.true_at(last_message_at)
    }

    /// The first time after `now` at which a polled answer no longer counts as true.
    pub(in crate::engine) fn next_expiry(&self, now: u64) -> Option<u64> {
        let ends = self.slots.iter().filter_map(|(_, slot)| self.expiry(slot).filter(|_| slot.watched));
        ends.filter(|end| *end > now).min()
    }

    /// The doubt about `key`, and what its next fetch waits for. `all` is the wait of all fetches, if there is one.
    pub(in crate::engine) fn pending(
        &self,
        key: &K,
        all: Option<WaitsFor>,
        now: u64,
    ) -> Option<(Option<&Doubt>, WaitsFor)> {
        let slot = self.slots.get(key)?;
        let doubt = slot.doubt.as_ref();
        let waits_for = match (slot.waits(&self.settings, self.scene), all) {
            _ if !slot.watched => WaitsFor::Watch,
            _ if slot.flight.is_some() => WaitsFor::Answer,
            (_, Some(all)) => all,
            (None, None) => WaitsFor::Change(None),
            (Some(waits), None) => {
                let end = waits.end();
                let at = from_ms(end);
                match () {
                    () if doubt.is_none() => WaitsFor::Change(Some(at)),
                    () if self.hidden => WaitsFor::Visible,
                    () if end <= now => WaitsFor::Turn,
                    () if end == waits.debounce => WaitsFor::Quiet(at),
                    () if end == waits.retry => WaitsFor::Retry(at),
                    () if end == waits.spread => WaitsFor::Spread(at),
                    () if end == waits.pace => WaitsFor::Pace(at),
                    () => WaitsFor::FirstMessage(at),
                }
            }
        };
        Some((doubt, waits_for))
    }

    /// Until when a polled answer counts as true.
    fn expiry(&self, slot: &Slot) -> Option<u64> {
        slot.asked_at.map(|asked| asked + self.settings.poll_interval)
    }
}
