//! The handle of a watch: the newest view of one read model, and the ways to wait for the next one.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

use super::agent_source::AgentSource;
use super::overlay::Overlay;
use super::shared::{Shared, Touched};
use super::source::{BodyValue, Source};
use super::store::Shown;
use super::view::View;
use crate::engine::HeldState;

/// Keeps one read model current until the handle is dropped, and shows its body as a `T`.
///
/// Several handles of one read model share its fetches and its body. After the last one the store keeps the bodies of
/// the read models that were watched last (the settings `remembered`, `remembered_for` and `remembered_bytes` say how
/// many), so that a new handle has a body at once.
///
/// A handle is also a [`Stream`] of views: the newest one at once, and then one after each change. Views that nobody
/// took are never queued.
pub struct WatchHandle<T: BodyValue<S>, S: Source = AgentSource> {
    key: S::Key,
    id: u64,
    shared: Arc<Shared<S>>,
    views: watch::Receiver<Shown<S>>,
    /// The last view that [`value_changed`](Self::value_changed) returned.
    seen: Option<Seen<S>>,
    streaming: Streaming,
    value: PhantomData<fn() -> T>,
}

/// A body that an application has seen.
struct Seen<S: Source> {
    body: Option<Arc<S::Body>>,
    is_gone: bool,
}

/// The state of the stream.
enum Streaming {
    /// No view was taken yet.
    NotBegun,
    /// The wait for the next view.
    Waiting(ReusableBoxFuture<'static, bool>),
}

impl<T: BodyValue<S>, S: Source> WatchHandle<T, S> {
    pub(super) fn begin(shared: Arc<Shared<S>>, key: S::Key, options: S::Options) -> Self {
        let begun = shared.call(Touched::one(&key), |state, now| {
            let begun = state.store.watch(&key, options.clone());
            if begun.is_first {
                state.engine.watch(key.clone(), now);
            }
            if let Some(cursor) = &begun.lacks {
                state.engine.left_out(&key, cursor, now);
            }
            begun
        });
        let begun = begun.unwrap_or_else(|| shared.lock().store.watch(&key, options));
        let (id, views) = (begun.id, begun.shown);
        Self { key, id, shared, views, seen: None, streaming: Streaming::NotBegun, value: PhantomData }
    }

    /// The watched read model.
    pub fn model(&self) -> &S::Key {
        &self.key
    }

    /// Limits this handle to the changes that `options` name. A change that no handle of the read model asks for costs
    /// no fetch.
    ///
    /// The next answer contains the other changes too. Until then the body lacks them, and is called fresh all the
    /// same: [`View::state`] and [`View::age`] speak of the changes for which a handle of the read model asks, and
    /// [`View::cursor`] of all. A handle that asks for more changes is given a new answer when it begins.
    #[must_use]
    pub fn only(self, options: S::Options) -> Self {
        self.shared.call(Touched::one(&self.key), |state, now| {
            if let Some(cursor) = state.store.set_options(&self.key, self.id, options) {
                state.engine.left_out(&self.key, &cursor, now);
            }
        });
        self
    }

    /// The newest view. A call does not mark the view as seen, so [`changed`](Self::changed) still reports it.
    pub fn view(&self) -> View<T> {
        let moment = self.shared.times.moment();
        let shown = self.views.borrow().clone();
        shown.view(moment).0
    }

    /// The newest view, or `None` if it did not change since the last call of this method or of
    /// [`changed`](Self::changed), or since the handle was made.
    pub fn view_if_changed(&mut self) -> Option<View<T>> {
        self.views.has_changed().unwrap_or(false).then(|| self.newest().0)
    }

    /// Waits until the body, the state or the number of failures changes. Returns `false` once the client has ended.
    ///
    /// A change that happened since the last call (or since the handle was made) returns at once, and several changes
    /// may be reported as one. The call can be cancelled without losing a change. An answer that is equal to the held
    /// one is no change, and neither is a new age.
    pub async fn changed(&mut self) -> bool {
        self.views.changed().await.is_ok()
    }

    /// Waits until the body is another one than at the last call, or the read model is gone, or is back. Returns the
    /// view, or `None` once the client has ended.
    ///
    /// The first call waits for the first body. A body that is equal to the last one is no new one, and any other
    /// change of the state is skipped.
    pub async fn value_changed(&mut self) -> Option<View<T>> {
        loop {
            let (view, body) = self.newest();
            let was_gone = self.seen.as_ref().is_some_and(|seen| seen.is_gone);
            let is_gone = match view.state {
                HeldState::Gone => true,
                HeldState::Fresh => false,
                HeldState::Loading | HeldState::Stale | HeldState::Unconfirmed => was_gone,
            };
            let seen = self.seen.as_ref().and_then(|seen| seen.body.as_ref());
            let is_equal = match (&body, seen) {
                (Some(body), Some(seen)) => Arc::ptr_eq(body, seen) || body == seen,
                (body, _) => body.is_none(),
            };
            if is_gone != was_gone || view.value.is_some() && !is_equal {
                self.seen = Some(Seen { body, is_gone });
                return Some(view);
            }
            if !self.changed().await {
                return None;
            }
        }
    }

    /// Waits for a view with this property, which the newest view may have already. Returns that view, or `None` once
    /// the client has ended.
    pub async fn wait_for(&mut self, mut property: impl FnMut(&View<T>) -> bool) -> Option<View<T>> {
        loop {
            let (view, _) = self.newest();
            if property(&view) {
                return Some(view);
            }
            if !self.changed().await {
                return None;
            }
        }
    }

    /// Shows the body as `change` makes it, before the server has answered a write.
    ///
    /// The overlay lasts until the guard is dropped, or until the held answer contains the write, see
    /// [`Overlay::committed`]. `change` is applied to each newer body again, and may run several times. At most 32
    /// overlays of a read model exist; the oldest ends when another one begins. A view in `change` shows the body
    /// without overlays. A client or a handle in `change` lives until the overlay ends.
    pub fn overlay(&self, change: impl Fn(&T) -> T + Send + Sync + 'static) -> Overlay<S> {
        let change = move |body: &Arc<S::Body>| Some(change(&*T::of(body)?).into_body());
        Overlay::begin(Arc::clone(&self.shared), self.key.clone(), Arc::new(change))
    }

    /// The newest view and the body that it shows. Marks the view as seen.
    fn newest(&mut self) -> (View<T>, Option<Arc<S::Body>>) {
        let moment = self.shared.times.moment();
        let shown = self.views.borrow_and_update().clone();
        shown.view(moment)
    }
}

impl<T: BodyValue<S>, S: Source> Clone for WatchHandle<T, S> {
    /// Another handle of the same read model, for the same changes.
    fn clone(&self) -> Self {
        let options = self.shared.lock().store.options(&self.key, self.id).unwrap_or_default();
        Self::begin(Arc::clone(&self.shared), self.key.clone(), options)
    }
}

impl<T: BodyValue<S>, S: Source> Drop for WatchHandle<T, S> {
    fn drop(&mut self) {
        self.shared.call(Touched::one(&self.key), |state, now| {
            if state.store.unwatch(&self.key, self.id) {
                state.engine.unwatch(&self.key, now);
            }
        });
    }
}

/// The handle holds no reference to itself.
impl<T: BodyValue<S>, S: Source> Unpin for WatchHandle<T, S> {}

impl<T: BodyValue<S>, S: Source> Stream for WatchHandle<T, S> {
    type Item = View<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<View<T>>> {
        let this = self.get_mut();
        loop {
            let Streaming::Waiting(waiting) = &mut this.streaming else {
                let (view, _) = this.newest();
                this.streaming = Streaming::Waiting(ReusableBoxFuture::new(next(this.views.clone())));
                return Poll::Ready(Some(view));
            };
            let more = ready!(waiting.poll(context));
            // The other waits of the handle may have reported this change already.
            let is_new = this.views.borrow().has_changed();
            let view = (more && is_new).then(|| this.newest().0);
            if let Streaming::Waiting(waiting) = &mut this.streaming {
                // A stream may be polled after its end. The receiver then reports the end again.
                waiting.set(next(this.views.clone()));
            }
            if !more || view.is_some() {
                return Poll::Ready(view);
            }
        }
    }
}

async fn next<S: Source>(mut views: watch::Receiver<Shown<S>>) -> bool {
    views.changed().await.is_ok()
}
