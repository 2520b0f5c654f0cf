//! What is held of each read model, and who looks at it.
//!
//! Only the newest is kept. A view that nobody looks at any more stays as long as the engine remembers its read model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::engine::{Held, Why};
use crate::protocol::model::{BookmarkPage, Overview, TaskDetail, TaskPage};
use crate::protocol::{Cursor, ReadModel};

/// The JSON of a read model, as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Of the overview.
    Overview {
        /// An [`Overview`].
        figures: Bytes,
        /// The first [`TaskPage`].
        tasks: Bytes,
    },
    /// A [`TaskDetail`].
    Task(Bytes),
    /// A [`BookmarkPage`].
    Bookmarks(Bytes),
}

impl Body {
    /// The overview, if this is one.
    pub fn overview(&self) -> Option<serde_json::Result<(Overview, TaskPage)>> {
        let Body::Overview { figures, tasks } = self else { return None };
        Some(serde_json::from_slice(figures).and_then(|figures| Ok((figures, serde_json::from_slice(tasks)?))))
    }

    /// The task, if this is one.
    pub fn task(&self) -> Option<serde_json::Result<TaskDetail>> {
        let Body::Task(json) = self else { return None };
        Some(serde_json::from_slice(json))
    }

    /// The bookmarks, if this is them.
    pub fn bookmarks(&self) -> Option<serde_json::Result<BookmarkPage>> {
        let Body::Bookmarks(json) = self else { return None };
        Some(serde_json::from_slice(json))
    }
}

/// How far a view can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing came yet.
    #[default]
    Loading,
    /// As far as anybody has said, it is right.
    Fresh,
    /// Something changed; it is asked for again.
    Stale,
    /// There is no such thing (any more).
    Gone,
}

impl State {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Loading => "loading",
            State::Fresh => "fresh",
            State::Stale => "stale",
            State::Gone => "gone",
        }
    }
}

/// What is held of a read model.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The newest body; of what is gone, the last it had.
    pub body: Option<Body>,
    /// The changes that it contains.
    pub cursor: Option<Cursor>,
    /// How far it can be trusted.
    pub state: State,
    /// How many fetches failed since the last that did not.
    pub failures: u32,
    /// Why the last fetch failed, if it did.
    pub error: Option<Arc<str>>,
    /// Why it was last asked for.
    pub why: Option<Why>,
    /// When it was last known to be true.
    true_at: Option<Instant>,
}

impl View {
    /// How long ago it was last known to be true.
    pub fn age(&self) -> Option<Duration> {
        self.true_at.map(|at| at.elapsed())
    }
}

/// Looks at a read model, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    model: ReadModel,
    views: watch::Receiver<View>,
    store: Arc<Store>,
}

impl Watch {
    /// What it looks at.
    pub fn model(&self) -> &ReadModel {
        &self.model
    }

    /// What is held now.
    pub fn view(&self) -> View {
        self.views.borrow().clone()
    }

    /// What is held now, if that is news since this was asked last.
    pub fn news(&mut self) -> Option<View> {
        self.views.has_changed().unwrap_or(false).then(|| self.views.borrow_and_update().clone())
    }

    /// Waits until something else is held than when this was asked last. Says `false` once the client is gone.
    pub async fn changed(&mut self) -> bool {
        self.views.changed().await.is_ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(entry) = self.store.entries().get_mut(&self.model) {
            entry.watchers = entry.watchers.saturating_sub(1);
        }
        self.store.wake.notify_one();
    }
}

/// Everything that is held. Shared by the driver, which writes, and the handles.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: Mutex<BTreeMap<ReadModel, Entry>>,
    revision: watch::Sender<u64>,
    /// Who watches what changed.
    pub(super) wake: Notify,
}

#[derive(Debug, Default)]
struct Entry {
    views: watch::Sender<View>,
    watchers: usize,
    /// The driver told the engine that it is watched.
    known: bool,
    /// A body came that was not published yet.
    replaced: bool,
    /// The tags of the parts of the body.
    etags: Vec<Option<String>>,
}

/// What a fetch may build upon.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) body: Option<Body>,
    pub(super) etags: Vec<Option<String>>,
}

impl Store {
    pub(super) fn watch(store: &Arc<Self>, model: ReadModel) -> Watch {
        let mut entries = store.entries();
        let entry = entries.entry(model.clone()).or_default();
        entry.watchers += 1;
        let views = entry.views.subscribe();
        drop(entries);
        store.wake.notify_one();
        Watch { model, views, store: Arc::clone(store) }
    }

    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Who began and who ceased to be watched since this was asked last.
    pub(super) fn turns(&self) -> Vec<(ReadModel, bool)> {
        let mut turns = Vec::new();
        for (model, entry) in self.entries().iter_mut().filter(|(_, entry)| entry.known != (entry.watchers > 0)) {
            entry.known = entry.watchers > 0;
            turns.push((model.clone(), entry.known));
        }
        turns
    }

    pub(super) fn known(&self, model: &ReadModel) -> Known {
        let entries = self.entries();
        let Some(entry) = entries.get(model) else { return Known::default() };
        Known { body: entry.views.borrow().body.clone(), etags: entry.etags.clone() }
    }

    /// Takes a body; it is seen with the next [`publish`](Self::publish).
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

    /// Shows what the engine says of each read model, with the time when it was last known to be true, and forgets
    /// what nobody looks at and the engine forgot.
    pub(super) fn publish<'a>(&self, held: impl Fn(&ReadModel) -> Option<(Held<'a>, Option<Instant>)>) {
        let mut news = false;
        self.entries().retain(|model, entry| {
            let Some((held, true_at)) = held(model) else { return entry.watchers > 0 };
            let state = match held {
                Held { absent: true, stale: false, .. } => State::Gone,
                Held { taken_at: None, .. } => State::Loading,
                Held { stale: true, .. } => State::Stale,
                Held { stale: false, .. } => State::Fresh,
            };
            let replaced = std::mem::take(&mut entry.replaced);
            news |= entry.views.send_if_modified(|view| {
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
        if news {
            self.revision.send_modify(|revision| *revision += 1);
        }
    }

    /// Whoever waits for news waits no longer.
    pub(super) fn close(&self) {
        self.entries().clear();
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ReadModel, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
