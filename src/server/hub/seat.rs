//! A seat: the place of one stream in the hub.
//!
//! A seat holds the bursts that its stream has not sent yet: the stream is a position in the flow of changes and, when
//! it is behind, a set of stale read models. A stream that keeps up has no burst in its seat. Past a bound on their
//! bytes the bursts become one frame `stale`, so a slow client never gets a backlog.
//!
//! A stream whose task has no frame in hand is idle. The hub writes a burst for an idle stream straight to the socket,
//! if the transport offers that: then no task is woken. The task of the stream takes over as soon as the socket takes
//! less than the whole burst.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::burst::{Burst, BurstMemory, ReportedModels};
use super::statistics::SeatFigures;
use crate::protocol::Cursor;
use crate::protocol::limits;
use crate::server::metrics::StreamTransportName;

/// Writes frames without waiting, for an idle stream.
pub trait DirectWriter: Send + Sync {
    /// Writes as much of the burst as the peer takes now.
    fn offer(&self, burst: &Burst) -> Offered;
}

/// How much of a burst was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// The whole burst was written.
    All,
    /// The burst was begun, and the writer keeps the rest. The task of the stream has to finish it.
    Begun,
    /// No byte was taken. The task of the stream has to write the burst.
    Nothing,
}

/// The next part of a stream.
#[derive(Debug)]
pub enum Taken {
    /// The frames of a flush.
    Burst(Arc<Burst>),
    /// The writer holds the rest of a burst that the hub began.
    Rest,
    /// No frame follows: the server ends, or its database is away. So many streams end at once.
    Closing(usize),
}

/// The place of one stream.
pub(super) struct Seat {
    state: Mutex<SeatState>,
    memory: BurstMemory,
}

struct SeatState {
    /// Contains every change that was handed over, and every change that does not concern the stream.
    cursor: Cursor,
    bursts: VecDeque<Arc<Burst>>,
    /// The bursts that came when the others took too many bytes.
    merged: Option<MergedBursts>,
    is_idle: bool,
    /// The task of the stream took a burst, and has not come back for the next part yet.
    is_sending: bool,
    has_rest: bool,
    /// The number of streams that end at once.
    closing: Option<usize>,
    waker: Option<Waker>,
    direct: Option<Box<dyn DirectWriter>>,
    figures: SeatFigures,
}

/// Several bursts in one.
struct MergedBursts {
    models: ReportedModels,
    cursor: Cursor,
    /// The number of the bursts.
    flushes: usize,
}

impl MergedBursts {
    fn of(burst: &Burst) -> Self {
        Self { models: burst.models(), cursor: burst.cursor().clone(), flushes: 1 }
    }

    fn join(self, burst: &Burst) -> Self {
        let models = self.models.join(burst.models());
        Self { models, cursor: burst.cursor().clone(), flushes: self.flushes + 1 }
    }
}

impl Seat {
    pub(super) fn new(cursor: Cursor, memory: BurstMemory) -> Self {
        let state = SeatState {
            cursor,
            bursts: VecDeque::new(),
            merged: None,
            is_idle: false,
            is_sending: false,
            has_rest: false,
            closing: None,
            waker: None,
            direct: None,
            figures: SeatFigures::default(),
        };
        Self { state: Mutex::new(state), memory }
    }

    /// Adds a burst. [`Seat::pump`] has to follow, without a lock of the hub.
    pub(super) fn add(&self, burst: &Arc<Burst>) {
        let mut state = self.lock();
        if let Some(merged) = state.merged.take() {
            state.merged = Some(merged.join(burst));
        } else if state.owes_too_much(burst) {
            state.merge(Some(burst));
        } else {
            state.bursts.push_back(burst.clone());
        }
    }

    /// Replaces all that waits by one `resync`. A stream for which nothing waits is left alone.
    pub(super) fn drop_backlog(&self, reason: &'static str) {
        let mut state = self.lock();
        if state.bursts.is_empty() && state.merged.is_none() {
            return;
        }
        state.merge(None);
        if let Some(merged) = &mut state.merged {
            merged.models = ReportedModels::All(reason);
        }
    }

    /// Hands the bursts that wait to the socket, or wakes the task of the stream. Returns the number of frames and
    /// bytes that were written.
    pub(super) fn pump(&self) -> (u64, u64) {
        let mut state = self.lock();
        let mut written = (0, 0);
        if !state.is_idle {
            return written;
        }
        while let Some(burst) = state.next(&self.memory) {
            let offered = state.direct.as_ref().map_or(Offered::Nothing, |direct| direct.offer(&burst));
            if offered != Offered::Nothing {
                written.0 += burst.frames();
                written.1 += burst.text_bytes();
                state.figures.note(burst.frames(), burst.text_bytes());
                state.cursor.clone_from(burst.cursor());
            }
            match offered {
                Offered::All => {}
                Offered::Begun => {
                    state.has_rest = true;
                    state.wake();
                    break;
                }
                Offered::Nothing => {
                    state.bursts.push_front(burst);
                    state.wake();
                    break;
                }
            }
        }
        written
    }

    /// Ends the stream after the bursts that wait. So many streams end at once.
    pub(super) fn close(&self, streams: usize) {
        let mut state = self.lock();
        state.closing = Some(streams);
        state.wake();
    }

    /// The stream left: from the end of this call on, no byte is written for it. A writing that runs ends first.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.is_idle = false;
        state.direct = None;
        (state.bursts, state.merged) = (VecDeque::new(), None);
        state.waker = None;
    }

    /// From now on idle streams are written to by the hub.
    pub(super) fn write_directly(&self, direct: Box<dyn DirectWriter>) {
        self.lock().direct = Some(direct);
    }

    /// The next part of the stream, or the stream is idle from now on. `latest` was read before: every change up to it
    /// was handed to this seat.
    pub(super) fn poll_take(&self, context: &mut Context<'_>, latest: impl FnOnce() -> Cursor) -> Poll<Taken> {
        let latest = latest();
        let mut state = self.lock();
        state.is_sending = false;
        if let Some(taken) = state.take(&self.memory) {
            return Poll::Ready(taken);
        }
        if !state.cursor.covers(&latest) {
            state.cursor = latest;
        }
        state.is_idle = true;
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            waker => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes all that waits. The task of the stream has frames in hand from now on.
    pub(super) fn take_all(&self, latest: Cursor) -> Vec<Taken> {
        let mut state = self.lock();
        state.is_idle = false;
        let mut taken = Vec::new();
        while let Some(part) = state.take(&self.memory) {
            let ends = matches!(part, Taken::Closing(_));
            taken.push(part);
            if ends {
                return taken;
            }
        }
        if !state.cursor.covers(&latest) {
            state.cursor = latest;
        }
        taken
    }

    /// The task of the stream has frames in hand from now on.
    pub(super) fn hold(&self) {
        self.lock().is_idle = false;
    }

    /// The stream was opened by this transport at this time.
    pub(super) fn open(&self, transport: StreamTransportName, at: Instant) {
        self.lock().figures.opened = Some((transport, at));
    }

    /// The stream sends a frame of its own, such as its first one.
    pub(super) fn note_own(&self, bytes: usize) {
        self.lock().figures.note(1, bytes as u64);
    }

    /// The figures of the stream, and how many flushes it is behind.
    pub(super) fn figures(&self) -> (SeatFigures, usize) {
        let state = self.lock();
        let merged = state.merged.as_ref().map_or(0, |merged| merged.flushes);
        let flushes_behind = state.bursts.len() + merged + usize::from(state.has_rest || state.is_sending);
        (state.figures, flushes_behind)
    }

    /// The first frame of the stream contains `cursor`.
    pub(super) fn begin(&self, cursor: Cursor) {
        self.lock().cursor = cursor;
    }

    /// Contains every change that was handed over, and every change before it that does not concern the stream.
    pub(super) fn cursor(&self) -> Cursor {
        self.lock().cursor.clone()
    }

    fn lock(&self) -> MutexGuard<'_, SeatState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SeatState {
    fn take(&mut self, memory: &BurstMemory) -> Option<Taken> {
        let taken = if std::mem::take(&mut self.has_rest) {
            Taken::Rest
        } else if let Some(burst) = self.next(memory) {
            self.cursor.clone_from(burst.cursor());
            self.figures.note(burst.frames(), burst.text_bytes());
            Taken::Burst(burst)
        } else if let Some(streams) = self.closing {
            Taken::Closing(streams)
        } else {
            return None;
        };
        self.is_idle = false;
        self.is_sending = matches!(taken, Taken::Rest | Taken::Burst(_));
        Some(taken)
    }

    /// Removes the next burst that the stream does not cover yet.
    fn next(&mut self, memory: &BurstMemory) -> Option<Arc<Burst>> {
        while let Some(burst) = self.bursts.pop_front() {
            if !self.cursor.covers(burst.cursor()) {
                return Some(burst);
            }
        }
        let MergedBursts { models, cursor, .. } = self.merged.take()?;
        (!self.cursor.covers(&cursor)).then(|| Arc::new(Burst::of_models(models, &cursor, None, memory)))
    }

    /// Whether the stream is behind, and the bursts that wait have too many bytes with this one.
    fn owes_too_much(&self, burst: &Burst) -> bool {
        let before: u64 = self.bursts.iter().map(|before| before.text_bytes()).sum();
        // The frames of a burst are not encoded for a stream that keeps up.
        !self.bursts.is_empty() && before + burst.text_bytes() > limits::OWED_BYTES as u64
    }

    /// Merges all that waits into one set of read models.
    fn merge(&mut self, newest: Option<&Arc<Burst>>) {
        let mut merged = self.merged.take();
        for burst in std::mem::take(&mut self.bursts).iter().chain(newest) {
            merged = Some(match merged {
                Some(before) => before.join(burst),
                None => MergedBursts::of(burst),
            });
        }
        self.merged = merged;
    }

    fn wake(&mut self) {
        self.is_idle = false;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}
