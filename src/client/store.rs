//! The store: the newest view of each read model, and its watches.
//!
//! Older views are not kept. A view without a watch stays as long as the engine remembers its read model.

mod held_parts;
mod shown;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::source::Source;
use crate::engine::{Held, HeldState, Why};
use crate::protocol::Cursor;

pub(super) use held_parts::{HeldParts, PartTag};
pub(super) use shown::{BodyChange, Shown};

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
    removed: Removed<S>,
    /// How many views were compared with the knowledge of the engine.
    #[cfg(test)]
    pub(super) visits: usize,
}

/// What left the store. It is dropped outside of the lock: the drop of an overlay runs code of the application, and the
/// drop of a large body takes long.
pub(super) struct Removed<S: Source> {
    entries: Vec<StoreEntry<S>>,
    shown: Vec<Shown<S>>,
    bodies: Vec<Arc<S::Body>>,
    changes: Vec<BodyChange<S>>,
}

struct StoreEntry<S: Source> {
    shown: watch::Sender<Shown<S>>,
    /// The id and the options of each watch.
    watches: Vec<(u64, S::Options)>,
    /// The notices that were left out, because they concerned no watch.
    skipped: Option<Skipped>,
    /// The body or an overlay is new and was not published yet.
    replaced: bool,
    /// The last published reason of a fetch.
    why: Option<Why>,
    tags: Vec<PartTag>,
    overlays: Vec<OverlayEntry<S>>,
}

/// Changes that a held body lacks.
struct Skipped {
    /// The cursor that covers all of them. Only an answer that covers it has them.
    up_to: Cursor,
    /// The cursor of the body. The engine knows of no skipped change, and its cursor moves on.
    body_at: Option<Cursor>,
}

struct OverlayEntry<S: Source> {
    id: u64,
    /// The cursor of the write and the time at which it was known. None: the write is under way.
    committed: Option<(Cursor, Duration)>,
    change: BodyChange<S>,
}

/// A watch that began.
pub(super) struct Begun<S: Source> {
    pub(super) id: u64,
    pub(super) shown: watch::Receiver<Shown<S>>,
    /// No other watch shows the read model.
    pub(super) is_first: bool,
    /// The held body lacks changes up to this cursor, for which the other watches do not ask.
    pub(super) lacks: Option<Cursor>,
}

/// A body that came, compared with the held one outside of the lock.
pub(super) struct NewBody<S: Source> {
    pub(super) body: Arc<S::Body>,
    /// The held body, if it is equal.
    pub(super) equal: Option<Arc<S::Body>>,
}

/// What the engine knows of a read model.
pub(super) struct Knowledge<'a> {
    pub(super) held: Held<'a>,
    pub(super) true_at: Option<Duration>,
}

impl<S: Source> Store<S> {
    pub(super) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            idle: Vec::new(),
            revision: Some(watch::Sender::new(0)),
            ids: 0,
            removed: Removed::default(),
            #[cfg(test)]
            visits: 0,
        }
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
        let lacks = entry.lacks(&options);
        entry.watches.push((id, options));
        Begun { id, shown: entry.shown.subscribe(), is_first, lacks }
    }

    /// The options of a watch.
    pub(super) fn options(&self, key: &S::Key, id: u64) -> Option<S::Options> {
        let watches = &self.entries.get(key)?.watches;
        watches.iter().find(|(watch, _)| *watch == id).map(|(_, options)| options.clone())
    }

    /// Replaces the options of a watch. Returns the cursor up to which the held body can lack changes that the new
    /// options ask for.
    pub(super) fn set_options(&mut self, key: &S::Key, id: u64, options: S::Options) -> Option<Cursor> {
        let entry = self.entries.get_mut(key)?;
        let lacks = entry.lacks(&options);
        if let Some((_, own)) = entry.watches.iter_mut().find(|(other, _)| *other == id) {
            *own = options;
        }
        lacks
    }

    /// The cursor up to which the held body lacks changes for which no watch asked. None: it lacks none.
    pub(super) fn left_out(&self, key: &S::Key) -> Option<Cursor> {
        Some(self.entries.get(key)?.skipped.as_ref()?.up_to.clone())
    }

    /// Wakes the readers of each view that says it is fresh: while the driver was late, the view said otherwise.
    pub(super) fn tell_fresh_anew(&self) {
        let is_fresh = |shown: &mut Shown<S>| shown.state == HeldState::Fresh;
        for entry in self.entries.values() {
            entry.shown.send_if_modified(is_fresh);
        }
        self.note_change();
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

    /// Whether a notice with this detail concerns a watch of `key`. If not, the body lacks the change from now on.
    /// `body_at` is the cursor of the held answer.
    pub(super) fn concerns(
        &mut self,
        source: &S,
        key: &S::Key,
        detail: &S::Detail,
        cursor: Option<&Cursor>,
        body_at: Option<&Cursor>,
    ) -> bool {
        // A change without a cursor could not be told from the changes of an earlier answer.
        let (Some(entry), Some(cursor)) = (self.entries.get_mut(key), cursor) else { return true };
        let concerned = |(_, options): &(u64, S::Options)| source.concerns(options, detail);
        if entry.watches.is_empty() || entry.watches.iter().any(concerned) {
            return true;
        }
        let skipped = entry.skipped.get_or_insert_with(|| Skipped { up_to: cursor.clone(), body_at: body_at.cloned() });
        skipped.up_to = skipped.up_to.joined(cursor).unwrap_or_else(|| cursor.clone());
        false
    }

    /// An answer with this cursor is the held one from now on.
    pub(super) fn note_answer(&mut self, key: &S::Key, cursor: &Cursor) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if let Some(skipped) = &mut entry.skipped {
            if cursor.covers(&skipped.up_to) || cursor.epoch() != skipped.up_to.epoch() {
                entry.skipped = None;
            } else {
                skipped.body_at = Some(cursor.clone());
            }
        }
    }

    pub(super) fn body(&self, key: &S::Key) -> Option<Arc<S::Body>> {
        self.entries.get(key)?.shown.borrow().body.clone()
    }

    /// Whether the parts are the held ones.
    pub(super) fn holds(&self, key: &S::Key, parts: &Arc<[Bytes]>) -> bool {
        self.entries.get(key).is_none_or(|entry| Arc::ptr_eq(&entry.shown.borrow().parts, parts))
    }

    pub(super) fn held_parts(&self, key: &S::Key) -> HeldParts {
        let Some(entry) = self.entries.get(key) else { return HeldParts::default() };
        HeldParts { parts: entry.shown.borrow().parts.clone(), tags: entry.tags.clone() }
    }

    /// Stores a body. The handles see it after the next [`publish`](Self::publish), and only if it differs.
    pub(super) fn replace(&mut self, key: &S::Key, new: NewBody<S>, parts: Vec<Bytes>, tags: Vec<PartTag>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let removed = &mut self.removed;
        entry.tags = tags;
        let mut replaced = false;
        entry.shown.send_if_modified(|shown| {
            removed.shown.push(shown.clone());
            shown.parts = parts.into();
            let equal = shown.body.as_ref().zip(new.equal.as_ref());
            replaced = !equal.is_some_and(|(held, equal)| Arc::ptr_eq(held, equal));
            if replaced {
                shown.body = Some(Arc::clone(&new.body));
            }
            false
        });
        entry.replaced |= replaced;
        removed.bodies.push(new.body);
    }

    /// The held parts are right at these cursors.
    pub(super) fn confirm(&mut self, key: &S::Key, cursors: Vec<Cursor>) {
        let tags = self.entries.get_mut(key).map(|entry| &mut entry.tags);
        for (tag, cursor) in tags.into_iter().flatten().zip(cursors) {
            tag.cursor = Some(cursor);
        }
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
                self.removed.changes.push(entry.overlays.remove(0).change);
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
            let ended = entry.overlays.extract_if(.., |overlay| overlay.id == id).map(|overlay| overlay.change);
            let before = self.removed.changes.len();
            self.removed.changes.extend(ended);
            entry.replaced |= self.removed.changes.len() != before;
        }
    }

    /// Copies what the engine knows of `key` into its view. Returns whether the view changed.
    pub(super) fn publish(&mut self, source: &S, key: &S::Key, known: &Knowledge<'_>) -> bool {
        #[cfg(test)]
        {
            self.visits += 1;
        }
        let removed = &mut self.removed;
        self.entries.get_mut(key).is_some_and(|entry| entry.publish(source, known, removed))
    }

    /// The same for every read model. `known` is the knowledge of the engine, if it has any.
    pub(super) fn publish_all<'a>(&mut self, source: &S, known: impl Fn(&S::Key) -> Option<Knowledge<'a>>) -> bool {
        #[cfg(test)]
        {
            self.visits += self.entries.len();
        }
        let removed = &mut self.removed;
        let publish = |(key, entry): (&S::Key, &mut StoreEntry<S>)| {
            known(key).is_some_and(|known| entry.publish(source, &known, removed))
        };
        self.entries.iter_mut().map(publish).fold(false, |changed, one| changed | one)
    }

    /// What left the store since the last call. The caller drops it after it has released the lock.
    pub(super) fn take_removed(&mut self) -> Removed<S> {
        std::mem::take(&mut self.removed)
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
        let (entries, removed) = (&mut self.entries, &mut self.removed.entries);
        self.idle.retain(|key| {
            let held = is_held(key);
            if !held {
                removed.extend(entries.remove(key));
            }
            held
        });
        let bytes = |key: &S::Key| entries.get(key).map_or(0, StoreEntry::bytes);
        let mut total: usize = self.idle.iter().map(bytes).sum();
        let mut forgotten = 0;
        while total > most_bytes {
            let Some(key) = self.idle.get(forgotten) else { break };
            if let Some(entry) = entries.remove(key) {
                total = total.saturating_sub(entry.bytes());
                removed.push(entry);
            }
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
        self.removed.entries.extend(std::mem::take(&mut self.entries).into_values());
        self.idle.clear();
        self.revision = None;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.revision.is_none()
    }
}

impl<S: Source> StoreEntry<S> {
    /// The cursor up to which the body can lack changes for a further watch with these options.
    fn lacks(&self, options: &S::Options) -> Option<Cursor> {
        let is_new = self.watches.iter().all(|(_, others)| others != options);
        self.skipped.as_ref().filter(|_| is_new).map(|skipped| skipped.up_to.clone())
    }

    fn publish(&mut self, source: &S, known: &Knowledge<'_>, removed: &mut Removed<S>) -> bool {
        let held = &known.held;
        let cursor = self.skipped.as_ref().map_or(held.cursor, |skipped| skipped.body_at.as_ref());
        let contained = |overlay: &mut OverlayEntry<S>| overlay.is_contained(cursor, held.asked_at);
        let before = removed.changes.len();
        removed.changes.extend(self.overlays.extract_if(.., contained).map(|overlay| overlay.change));
        let replaced = std::mem::take(&mut self.replaced) | (removed.changes.len() != before);
        let why = (self.why != held.why).then(|| held.why.map(|why| source.why_name(why).into()));
        self.why = held.why;
        let overlays = &self.overlays;
        self.shown.send_if_modified(|shown| {
            let changed = replaced || shown.state != held.state || shown.failures != held.failures;
            if replaced {
                removed.shown.push(shown.clone());
                shown.overlays = overlays.iter().map(|overlay| Arc::clone(&overlay.change)).collect();
                shown.overlaid = Arc::default();
            }
            shown.state = held.state;
            shown.failures = held.failures;
            if shown.cursor.as_ref() != cursor {
                shown.cursor = cursor.cloned();
            }
            if let Some(why) = why {
                shown.why = why;
            }
            shown.true_at = known.true_at;
            shown.is_followed = held.on_stream && !held.stale;
            changed
        })
    }

    fn bytes(&self) -> usize {
        self.shown.borrow().parts.iter().map(Bytes::len).sum()
    }
}

impl<S: Source> OverlayEntry<S> {
    /// Whether the body, which has this cursor and was asked for at this time, contains the write.
    fn is_contained(&self, body_at: Option<&Cursor>, asked_at: Option<Duration>) -> bool {
        let Some((cursor, committed_at)) = &self.committed else { return false };
        body_at.is_some_and(|body_at| {
            // Cursors of different epochs cannot be compared. An answer that was asked for after the commit contains
            // the write, or the write is lost. The engine counts in whole milliseconds.
            let asked_later = asked_at.is_some_and(|asked| asked.as_millis() >= committed_at.as_millis());
            body_at.covers(cursor) || body_at.epoch() != cursor.epoch() && asked_later
        })
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
            tags: Vec::new(),
            overlays: Vec::new(),
        }
    }
}

impl<S: Source> Default for Removed<S> {
    fn default() -> Self {
        Self { entries: Vec::new(), shown: Vec::new(), bodies: Vec::new(), changes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::agent_source::{AgentSource, NoticeDetail, WatchOptions};
    use super::{OverlayEntry, Store};
    use crate::engine::HeldState;
    use crate::protocol::{Cursor, ReadModel};

    /// The times of the engine are whole milliseconds, and the time of a commit is not.
    #[test]
    fn an_overlay_of_a_lost_write_ends_with_an_answer_of_the_same_millisecond() {
        let committed = Some((Cursor::counter("old", 5), Duration::from_micros(5_700)));
        let overlay = OverlayEntry::<AgentSource> { id: 1, committed, change: Arc::new(|_| None) };
        let new = Cursor::counter("new", 1);
        let is_contained = |ms| overlay.is_contained(Some(&new), Some(Duration::from_millis(ms)));
        assert_eq!((is_contained(4), is_contained(5)), (false, true));
        assert!(overlay.is_contained(Some(&Cursor::counter("old", 5)), None));
    }

    /// A change without a cursor could not be fetched later, so it is never left out.
    #[test]
    fn a_notice_without_a_cursor_concerns_every_watch() {
        let mut store = Store::<AgentSource>::new();
        store.watch(&ReadModel::Overview, WatchOptions::status_only());
        let detail = NoticeDetail::Task { status_changed: Some(false) };
        let mut concerns = |cursor| store.concerns(&AgentSource, &ReadModel::Overview, &detail, cursor, None);
        assert!(concerns(None));
        assert!(!concerns(Some(&Cursor::counter("e", 5))));
    }

    /// A view of a driver that is late is not fresh, so its readers wait for more than a new state.
    #[test]
    fn the_readers_of_a_fresh_view_wake_when_the_driver_is_no_longer_late() {
        let mut store = Store::<AgentSource>::new();
        let mut views = store.watch(&ReadModel::Overview, WatchOptions::default()).shown;
        store.tell_fresh_anew();
        assert!(!views.has_changed().expect("a sender"), "the view is not fresh");
        store.entries[&ReadModel::Overview].shown.send_modify(|shown| shown.state = HeldState::Fresh);
        views.mark_unchanged();
        store.tell_fresh_anew();
        assert!(views.has_changed().expect("a sender"));
    }
}
