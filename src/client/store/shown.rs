//! What the store shows of one read model. A handle makes its view of it.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use crate::client::shared_times::Moment;
use crate::client::source::{BodyValue, Source};
use crate::client::view::View;
use crate::engine::HeldState;
use crate::protocol::Cursor;

/// The effect of a write on a body.
pub(in crate::client) type BodyChange<S> =
    Arc<dyn Fn(&Arc<<S as Source>::Body>) -> Option<<S as Source>::Body> + Send + Sync>;

/// What the store shows of one read model.
pub(in crate::client) struct Shown<S: Source> {
    pub(super) body: Option<Arc<S::Body>>,
    pub(super) parts: Arc<[Bytes]>,
    pub(super) overlays: Arc<[BodyChange<S>]>,
    /// The body with the overlays. The first reader makes it: an overlay is code of the application, and runs in no
    /// lock of the client.
    pub(super) overlaid: Arc<OnceLock<Option<Arc<S::Body>>>>,
    pub(in crate::client) state: HeldState,
    pub(super) cursor: Option<Cursor>,
    pub(super) failures: u32,
    pub(super) error: Option<Arc<str>>,
    pub(super) why: Option<Arc<str>>,
    pub(super) true_at: Option<Duration>,
    /// The stream reports the read model, and reported no change: each of its messages makes the body current again.
    pub(super) is_followed: bool,
}

thread_local! {
    /// An overlay is being made on this thread.
    static MAKING_OVERLAY: Cell<bool> = const { Cell::new(false) };
}

/// Marks the time in which an overlay is made, also if the code of the application panics.
struct MakingOverlay;

impl Drop for MakingOverlay {
    fn drop(&mut self) {
        MAKING_OVERLAY.set(false);
    }
}

impl<S: Source> Shown<S> {
    /// The view, and the body that it shows. `moment` was read before `self`.
    pub(in crate::client) fn view<T: BodyValue<S>>(&self, moment: Moment) -> (View<T>, Option<Arc<S::Body>>) {
        let overlaid = self.overlaid();
        let body = overlaid.clone().unwrap_or_else(|| self.body.clone());
        // A machine that slept has heard of no change, and the driver did not run yet.
        let unheard = self.state == HeldState::Fresh && moment.is_driver_late();
        let view = View {
            value: body.as_ref().and_then(T::of),
            parts: self.parts.clone(),
            is_overlaid: overlaid.is_some(),
            state: if unheard { HeldState::Unconfirmed } else { self.state },
            cursor: self.cursor.clone(),
            failures: self.failures,
            error: self.error.clone(),
            why: self.why.clone(),
            true_at: self.true_at.map(|at| if self.is_followed { at.max(moment.last_message_at) } else { at }),
            clock: moment.clock,
        };
        (view, body)
    }

    /// The body with the overlays. None: there are none, or one of them looks at the view that it changes.
    fn overlaid(&self) -> Option<Option<Arc<S::Body>>> {
        if self.body.is_none() || self.overlays.is_empty() || MAKING_OVERLAY.get() {
            return None;
        }
        if let Some(made) = self.overlaid.get() {
            return Some(made.clone());
        }
        MAKING_OVERLAY.set(true);
        let making = MakingOverlay;
        let made = self.with_overlays();
        drop(making);
        Some(self.overlaid.get_or_init(|| made).clone())
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
            is_followed: self.is_followed,
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
            is_followed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shown;
    use crate::client::agent_source::{AgentBody, AgentSource};
    use crate::client::clock::Clock;
    use crate::client::shared_times::SharedTimes;
    use crate::engine::HeldState;

    #[test]
    fn a_view_is_not_fresh_before_the_driver_has_looked_at_the_clock_after_a_sleep() {
        let times = SharedTimes::new(Clock::since_boot());
        let shown = Shown::<AgentSource> { state: HeldState::Fresh, ..Shown::default() };
        let state = || shown.view::<AgentBody>(times.moment()).0.state;
        assert_eq!(state(), HeldState::Unconfirmed);
        times.note_driver(times.clock.now());
        assert_eq!(state(), HeldState::Fresh);
    }
}
