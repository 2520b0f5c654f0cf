//! The store: the newest view of each read model, and its watches.
//!
//! Older views are not kept. A view without a watch stays as long as the engine remembers its read model.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::clock::Clock;
use super::source::{BodyValue, Source};
use super::view::View;
use crate::engine::{Held, HeldState, Why};
use crate::protocol::Cursor;

/// The most overlays of one read model. The oldest ends when another one begins: an application that never says how its
/// writes ended must not fill the memory.
const MOST_OVERLAYS: usize = 32;

/// The views of all read models. The client and its driver write them, the handles read them.
pub(super) struct Store<S: Source> {
    entries: BTreeMap<S::Key, StoreEntry<S>>,
    /// The read models without a watch, the one that was left first at the front.
    idle: Vec<S::Key>,
    /// Counts the changes of views. None: the client has ended.
    revision: Option<watch::Sender<u64>>,
    ids: u64,
}

struct StoreEntry<S: Source> {
    shown: watch::Sender<Shown<S>>,
    /// The id and the options of each watch.
    watches: Vec<(u64, S::Options)>,
    /// A notice with this cursor was left out, because it concerned no watch.
    skipped: Option<Cursor>,
    /// The body or an overlay is new and was not published yet.
    replaced: bool,
    /// The last published reason of a fetch.
    why: Option<Why>,
    etags: Vec<Option<String>>,
    overlays: Vec<OverlayEntry<S>>,
}

struct OverlayEntry<S: Source> {
    id: u64,
    /// The cursor of the write and the time at which it was known. None: the write is under way.
    committed: Option<(Cursor, Duration)>,
    change: BodyChange<S>,
}

/// The effect of a write on a body.
pub(super) type BodyChange<S> = Arc<dyn Fn(&Arc<<S as Source>::Body>) -> Option<<S as Source>::Body> + Send + Sync>;

/// What the store shows of one read model.
pub(super) struct Shown<S: Source> {
    body: Option<Arc<S::Body>>,
    parts: Arc<[Bytes]>,
    overlays: Arc<[BodyChange<S>]>,
    /// The body with the overlays. The first reader makes it: an overlay is code of the application, and runs in no
    /// lock of the client.
    overlaid: Arc<OnceLock<Option<Arc<S::Body>>>>,
    state: HeldState,
    cursor: Option<Cursor>,
    failures: u32,
    error: Option<Arc<str>>,
    why: Option<Arc<str>>,
    true_at: Option<Duration>,
}

/// The parts of an earlier answer, so that a fetch can be conditional.
#[derive(Clone, Default)]
pub(super) struct HeldParts {
    pub(super) parts: Arc<[Bytes]>,
    pub(super) etags: Vec<Option<String>>,
}

/// A watch that began.
pub(super) struct Begun<S: Source> {
    pub(super) id: u64,
    pub(super) shown: watch::Receiver<Shown<S>>,
    /// No other watch shows the read model.
    pub(super) is_first: bool,
    /// The held body lacks the changes up to this cursor, which the other watches do not ask for.
    pub(super) lacks: Option<Cursor>,
}

/// What the engine knows of a read model.
pub(super) struct Knowledge<'a> {
    pub(super) held: Held<'a>,
    pub(super) true_at: Option<Duration>,
}

impl<S: Source> Store<S> {
    pub(super) fn new() -> Self {
        Self { entries: BTreeMap::new(), idle: Vec::new(), revision: Some(watch::Sender::new(0)), ids: 0 }
    }

    pub(super) fn watch(&mut self, key: &S::Key, options: S::Options) -> Begun<S> {
        self.ids += 1;
        let id = self.ids;
        if self.has_ended() {
            // Without a sender, each wait of the handle ends at once.
            return Begun { id, shown: watch::channel(Shown::default()).1, is_first: false, lacks: None };
        }
        self.idle.retain(|idle| idle != key);
        let entry = self.entries.entry(key.clone()).or_default();
        let is_first = entry.watches.is_empty();
        let lacks = entry.skipped.take_if(|_| entry.watches.iter().all(|(_, others)| *others != options));
        entry.watches.push((id, options));
        Begun { id, shown: entry.shown.subscribe(), is_first, lacks }
    }

    /// The options of a watch.
    pub(super) fn options(&self, key: &S::Key, id: u64) -> Option<S::Options> {
        let watches = &self.entries.get(key)?.watches;
        watches.iter().find(|(watch, _)| *watch == id).map(|(_, options)| options.clone())
    }

    /// Replaces the options of a watch. Returns the cursor up to which the held body lacks changes that the new options
    /// ask for, if any.
    pub(super) fn set_options(&mut self, key: &S::Key, id: u64, options: S::Options) -> Option<Cursor> {
        let entry = self.entries.get_mut(key)?;
        let known = entry.watches.iter().any(|(_, others)| *others == options);
        entry.watches.iter_mut().find(|(other, _)| *other == id)?.1 = options;
        entry.skipped.take_if(|_| !known)
    }

    /// Ends a watch. Returns whether it was the last one of its read model.
    pub(super) fn unwatch(&mut self, key: &S::Key, id: u64) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let before = entry.watches.len();
        entry.watches.retain(|(watch, _)| *watch != id);
        let is_last = before > 0 && entry.watches.is_empty();
        if is_last {
            self.idle.push(key.clone());
        }
        is_last
    }

    /// Whether a notice with this detail concerns a watch of `key`. If not, its cursor is kept for a later watch with
    /// other options.
    pub(super) fn concerns(&mut self, source: &S, key: &S::Key, detail: &S::Detail, cursor: Option<&Cursor>) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return true };
        let concerned = |(_, options): &(u64, S::Options)| source.concerns(options, detail);
        if entry.watches.is_empty() || entry.watches.iter().any(concerned) {
            return true;
        }
        if let Some(cursor) = cursor {
            let joined = entry.skipped.as_ref().and_then(|skipped| skipped.joined(cursor));
            entry.skipped = Some(joined.unwrap_or_else(|| cursor.clone()));
        }
        false
    }

    pub(super) fn held_parts(&self, key: &S::Key) -> HeldParts {
        let Some(entry) = self.entries.get(key) else { return HeldParts::default() };
        HeldParts { parts: entry.shown.borrow().parts.clone(), etags: entry.etags.clone() }
    }

    /// Stores a body. The handles see it after the next [`publish`](Self::publish), and only if it differs.
    pub(super) fn replace(&mut self, key: &S::Key, body: S::Body, parts: Vec<Bytes>, etags: Vec<Option<String>>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.etags = etags;
        let mut replaced = false;
        entry.shown.send_if_modified(|shown| {
            shown.parts = parts.into();
            replaced = shown.body.as_deref() != Some(&body);
            if replaced {
                shown.body = Some(Arc::new(body));
            }
            false
        });
        entry.replaced |= replaced;
    }

    pub(super) fn note_error(&mut self, key: &S::Key, error: Option<Arc<str>>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.shown.send_if_modified(|shown| {
                shown.error = error;
                false
            });
        }
    }

    /// Shows `change` on top of the body of `key`. Returns the id of the overlay.
    pub(super) fn overlay(&mut self, key: &S::Key, change: BodyChange<S>) -> u64 {
        self.ids += 1;
        let id = self.ids;
        if let Some(entry) = self.entries.get_mut(key) {
            if entry.overlays.len() >= MOST_OVERLAYS {
                entry.overlays.remove(0);
            }
            entry.overlays.push(OverlayEntry { id, committed: None, change });
            entry.replaced = true;
        }
        id
    }

    /// The write of an overlay is committed: the overlay ends when the body contains it.
    pub(super) fn commit_overlay(&mut self, key: &S::Key, id: u64, cursor: &Cursor, now: Duration) {
        let overlays = self.entries.get_mut(key).map(|entry| &mut entry.overlays);
        if let Some(overlay) = overlays.and_then(|all| all.iter_mut().find(|overlay| overlay.id == id)) {
            overlay.committed = Some((cursor.clone(), now));
        }
    }

    /// The write of an overlay failed.
    pub(super) fn end_overlay(&mut self, key: &S::Key, id: u64) {
        if let Some(entry) = self.entries.get_mut(key) {
            let before = entry.overlays.len();
            entry.overlays.retain(|overlay| overlay.id != id);
            entry.replaced |= entry.overlays.len() != before;
        }
    }

    /// Copies what the engine knows of `key` into its view. Returns whether the view changed.
    pub(super) fn publish(&mut self, source: &S, key: &S::Key, known: &Knowledge<'_>) -> bool {
        self.entries.get_mut(key).is_some_and(|entry| entry.publish(source, known))
    }

    /// The same for every read model. `known` is the knowledge of the engine, if it has any.
    pub(super) fn publish_all<'a>(&mut self, source: &S, known: impl Fn(&S::Key) -> Option<Knowledge<'a>>) -> bool {
        let publish =
            |(key, entry): (&S::Key, &mut StoreEntry<S>)| known(key).is_some_and(|known| entry.publish(source, &known));
        self.entries.iter_mut().map(publish).fold(false, |changed, one| changed | one)
    }

    /// Wakes the application that waits for any change.
    pub(super) fn note_change(&self) {
        if let Some(revision) = &self.revision {
            revision.send_modify(|revision| *revision += 1);
        }
    }

    /// Removes entries without a watch that the engine has forgotten, and the ones that were left first while the bytes
    /// of all of them are more than `most_bytes`. Returns the latter, which the engine has to forget.
    pub(super) fn trim(&mut self, most_bytes: usize, is_held: impl Fn(&S::Key) -> bool) -> Vec<S::Key> {
        let entries = &mut self.entries;
        self.idle.retain(|key| {
            let held = is_held(key);
            if !held {
                entries.remove(key);
            }
            held
        });
        let bytes = |key: &S::Key| entries.get(key).map_or(0, StoreEntry::bytes);
        let mut total: usize = self.idle.iter().map(bytes).sum();
        let mut forgotten = 0;
        while total > most_bytes {
            let Some(key) = self.idle.get(forgotten) else { break };
            total = total.saturating_sub(entries.remove(key).map_or(0, |entry| entry.bytes()));
            forgotten += 1;
        }
        self.idle.drain(..forgotten).collect()
    }

    /// Returns a way to wait for any change. None: the client has ended.
    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        match &self.revision {
            Some(revision) => revision.subscribe(),
            None => watch::channel(0).1,
        }
    }

    /// Ends the waiting calls of all handles. Their last views remain, and none of them is called fresh any more.
    pub(super) fn end(&mut self) {
        for entry in self.entries.values() {
            entry.shown.send_if_modified(|shown| {
                let fresh = shown.state == HeldState::Fresh;
                if fresh {
                    shown.state = HeldState::Unconfirmed;
                }
                fresh
            });
        }
        self.entries.clear();
        self.idle.clear();
        self.revision = None;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.revision.is_none()
    }
}

impl<S: Source> StoreEntry<S> {
    fn publish(&mut self, source: &S, known: &Knowledge<'_>) -> bool {
        let held = &known.held;
        self.skipped.take_if(|skipped| held.cursor.is_some_and(|cursor| cursor.covers(skipped)));
        let before = self.overlays.len();
        self.overlays.retain(|overlay| !overlay.is_contained(held));
        let replaced = std::mem::take(&mut self.replaced) | (self.overlays.len() != before);
        let why = (self.why != held.why).then(|| held.why.map(|why| source.why_name(why).into()));
        self.why = held.why;
        let overlays = &self.overlays;
        self.shown.send_if_modified(|shown| {
            let changed = replaced || shown.state != held.state || shown.failures != held.failures;
            if replaced {
                shown.overlays = overlays.iter().map(|overlay| Arc::clone(&overlay.change)).collect();
                shown.overlaid = Arc::default();
            }
            shown.state = held.state;
            shown.failures = held.failures;
            if shown.cursor.as_ref() != held.cursor {
                shown.cursor = held.cursor.cloned();
            }
            if let Some(why) = why {
                shown.why = why;
            }
            shown.true_at = known.true_at;
            changed
        })
    }

    fn bytes(&self) -> usize {
        self.shown.borrow().parts.iter().map(Bytes::len).sum()
    }
}

impl<S: Source> OverlayEntry<S> {
    /// Whether the held answer contains the write.
    fn is_contained(&self, held: &Held<'_>) -> bool {
        let Some((cursor, committed_at)) = &self.committed else { return false };
        held.cursor.is_some_and(|held_cursor| {
            // Cursors of different epochs cannot be compared. An answer that was asked for after the commit contains
            // the write, or the write is lost.
            let asked_later = held.asked_at.is_some_and(|asked| asked >= *committed_at);
            held_cursor.covers(cursor) || held_cursor.epoch() != cursor.epoch() && asked_later
        })
    }
}

impl<S: Source> Shown<S> {
    pub(super) fn view<T: BodyValue<S>>(&self, clock: Clock) -> View<T> {
        let is_overlaid = self.body.is_some() && !self.overlays.is_empty();
        let body = if is_overlaid { self.overlaid.get_or_init(|| self.with_overlays()) } else { &self.body };
        View {
            value: body.as_ref().and_then(T::of),
            parts: self.parts.clone(),
            is_overlaid,
            state: self.state,
            cursor: self.cursor.clone(),
            failures: self.failures,
            error: self.error.clone(),
            why: self.why.clone(),
            true_at: self.true_at,
            clock,
        }
    }

    fn with_overlays(&self) -> Option<Arc<S::Body>> {
        let body = self.body.clone()?;
        let overlaid = |body: Arc<S::Body>, change: &BodyChange<S>| match change(&body) {
            Some(changed) => Arc::new(changed),
            None => body,
        };
        Some(self.overlays.iter().fold(body, overlaid))
    }
}

impl<S: Source> Clone for Shown<S> {
    fn clone(&self) -> Self {
        Self {
            body: self.body.clone(),
            parts: self.parts.clone(),
            overlays: self.overlays.clone(),
            overlaid: self.overlaid.clone(),
            state: self.state,
            cursor: self.cursor.clone(),
            failures: self.failures,
            error: self.error.clone(),
            why: self.why.clone(),
            true_at: self.true_at,
        }
    }
}

impl<S: Source> Default for Shown<S> {
    fn default() -> Self {
        Self {
            body: None,
            parts: Arc::default(),
            overlays: Arc::new([]),
            overlaid: Arc::default(),
            state: HeldState::default(),
            cursor: None,
            failures: 0,
            error: None,
            why: None,
            true_at: None,
        }
    }
}

impl<S: Source> Default for StoreEntry<S> {
    fn default() -> Self {
        Self {
            shown: watch::Sender::new(Shown::default()),
            watches: Vec::new(),
            skipped: None,
            replaced: false,
            why: None,
            etags: Vec::new(),
            overlays: Vec::new(),
        }
    }
}
