//! The store: the newest view of each read model, and the number of its watchers.
//!
//! Older views are not kept. A view without watchers stays as long as the engine remembers its read model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use super::view::{Body, View, ViewState};
use crate::engine::{Held, HeldState};
use crate::protocol::ReadModel;

/// Keeps one read model current until the handle is dropped.
///
/// After that the store keeps the bodies of the read models that were watched last (the setting `remembered` says how
/// many), so that a new handle has a body at once.
#[derive(Debug)]
pub struct WatchHandle {
    model: ReadModel,
    views: watch::Receiver<View>,
    store: Arc<Store>,
}

impl WatchHandle {
    /// The watched read model.
    pub fn model(&self) -> &ReadModel {
        &self.model
    }

    /// The newest view. A call does not mark the view as seen, so [`changed`](Self::changed) still reports it.
    pub fn view(&self) -> View {
        self.views.borrow().clone()
    }

    /// The newest view, or `None` if it did not change since the last call of this method or of
    /// [`changed`](Self::changed), or since the handle was made.
    pub fn view_if_changed(&mut self) -> Option<View> {
        self.views.has_changed().unwrap_or(false).then(|| self.views.borrow_and_update().clone())
    }

    /// Waits until the body, the state or the number of failures changes. Returns `false` once the client is dropped.
    ///
    /// A change that happened since the last call (or since the handle was made) returns at once, and several changes
    /// may be reported as one. The call can be cancelled without losing a change. A new age alone is not a change.
    pub async fn changed(&mut self) -> bool {
        self.views.changed().await.is_ok()
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        if let Some(entry) = self.store.entries().get_mut(&self.model) {
            entry.watchers = entry.watchers.saturating_sub(1);
        }
        self.store.wake.notify_one();
    }
}

/// The views of all read models. The driver writes them, the handles read them.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: Mutex<BTreeMap<ReadModel, StoreEntry>>,
    revision: watch::Sender<u64>,
    /// Wakes the driver after a handle was made or dropped.
    pub(super) wake: Notify,
}

#[derive(Debug, Default)]
struct StoreEntry {
    views: watch::Sender<View>,
    watchers: usize,
    /// The engine knows that the read model is watched.
    watched_in_engine: bool,
    /// The body is new and was not published yet.
    replaced: bool,
    /// The `ETag` of each part of the body.
    etags: Vec<Option<String>>,
}

/// The body of an earlier answer, so that a fetch can be conditional.
#[derive(Clone, Debug, Default)]
pub(super) struct HeldBody {
    pub(super) body: Option<Body>,
    pub(super) etags: Vec<Option<String>>,
}

impl Store {
    pub(super) fn watch(store: &Arc<Self>, model: ReadModel) -> WatchHandle {
        let mut entries = store.entries();
        let entry = entries.entry(model.clone()).or_default();
        entry.watchers += 1;
        let views = entry.views.subscribe();
        drop(entries);
        store.wake.notify_one();
        WatchHandle { model, views, store: Arc::clone(store) }
    }

    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// The read models that gained their first watcher (`true`) or lost their last one (`false`) since the last call.
    pub(super) fn take_watch_changes(&self) -> Vec<(ReadModel, bool)> {
        let mut changes = Vec::new();
        for (model, entry) in
            self.entries().iter_mut().filter(|(_, entry)| entry.watched_in_engine != (entry.watchers > 0))
        {
            entry.watched_in_engine = entry.watchers > 0;
            changes.push((model.clone(), entry.watched_in_engine));
        }
        changes
    }

    pub(super) fn held_body(&self, model: &ReadModel) -> HeldBody {
        let entries = self.entries();
        let Some(entry) = entries.get(model) else { return HeldBody::default() };
        HeldBody { body: entry.views.borrow().body.clone(), etags: entry.etags.clone() }
    }

    /// Stores a body. The handles see it after the next [`publish`](Self::publish).
    pub(super) fn replace(&self, model: &ReadModel, body: Body, etags: Vec<Option<String>>) {
        if let Some(entry) = self.entries().get_mut(model) {
            entry.etags = etags;
            entry.replaced = true;
            entry.views.send_if_modified(|view| {
                view.body = Some(body);
                false
            });
        }
    }

    pub(super) fn note_error(&self, model: &ReadModel, error: Option<Arc<str>>) {
        if let Some(entry) = self.entries().get_mut(model) {
            entry.views.send_if_modified(|view| {
                view.error = error;
                false
            });
        }
    }

    /// Copies the engine's knowledge of each read model into its view, and removes entries without watchers that the
    /// engine has forgotten.
    ///
    /// `held` returns the engine's knowledge and the last moment at which the body was known to be current.
    pub(super) fn publish<'a>(&self, held: impl Fn(&ReadModel) -> Option<(Held<'a>, Option<Instant>)>) {
        let mut changed_any = false;
        self.entries().retain(|model, entry| {
            let Some((held, true_at)) = held(model) else { return entry.watchers > 0 };
            let state = match held {
                Held { state: HeldState::Gone, .. } => ViewState::NotFound,
                Held { state: HeldState::Loading, .. } => ViewState::Loading,
                Held { state: HeldState::Stale, .. } => ViewState::Stale,
                Held { state: HeldState::Fresh | HeldState::Unconfirmed, .. } => ViewState::Fresh,
            };
            let replaced = std::mem::take(&mut entry.replaced);
            changed_any |= entry.views.send_if_modified(|view| {
                let changed = replaced || view.state != state || view.failures != held.failures;
                view.state = state;
                view.failures = held.failures;
                view.cursor = held.cursor.cloned();
                view.why = held.why;
                view.true_at = true_at;
                changed
            });
            true
        });
        if changed_any {
            self.revision.send_modify(|revision| *revision += 1);
        }
    }

    /// Ends the waiting calls of all handles: dropping the senders closes their channels.
    pub(super) fn close(&self) {
        self.entries().clear();
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ReadModel, StoreEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
