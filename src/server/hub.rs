//! The hub: it receives all notices and hands them to the streams that watch their read models.
//!
//! The hub merges the notices of a short window and encodes each notice once. A stream that watches none of the stale
//! read models costs no work. No stream delays the hub: frames that a stream does not take wait in its seat, up to a
//! bound. The hub knows no database.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::protocol::{Cursor, Watched};
use crate::server::access::scope::Scope;
use crate::server::metrics::{Metrics, StreamTransportName};

mod input;
pub use input::HubInput;

mod window;
pub use window::{Flushed, Merged, Window};

mod flush;
pub use flush::{Encoded, encode};

mod burst;
pub use burst::{Burst, FeedLine};
use burst::{BurstMemory, ReportedModels};

mod seat;
use seat::Seat;
pub use seat::{DirectWriter, Offered, Taken};

mod statistics;
pub use statistics::StreamStatistics;

mod audience;
use audience::{Audience, Membership, Places, Share};

mod spread;
use spread::spread_ms;

/// After so many streams the hub lets other tasks run: writing to as many sockets takes a fraction of a millisecond.
const STREAMS_PER_STEP: usize = 32;

/// A handle on the hub; clones are the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    audience: Mutex<Audience>,
    /// Every change up to here was handed to the seats that it concerns. Written under the lock of the audience.
    latest: Mutex<Cursor>,
    memory: BurstMemory,
    metrics: Arc<Metrics>,
}

/// A stream of the hub. The stream leaves the hub when this is dropped.
pub struct HubStream {
    hub: Hub,
    seat: Arc<Seat>,
    membership: Membership,
}

impl Hub {
    /// A hub that has sent every change up to `cursor`.
    pub fn new(cursor: Cursor, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner {
            audience: Mutex::default(),
            latest: Mutex::new(cursor),
            memory: BurstMemory::new(metrics.frames_encoded.clone()),
            metrics,
        }))
    }

    /// A stream that gets every change of `scope` from now on.
    pub fn join(&self, scope: &Scope) -> HubStream {
        let mut audience = self.audience();
        let seat = Arc::new(Seat::new(self.latest(), self.0.memory.clone()));
        let membership = audience.join(scope.project().map(str::to_owned), seat.clone());
        drop(audience);
        HubStream { hub: self.clone(), seat, membership }
    }

    /// The cursor that contains every change sent so far.
    pub fn latest(&self) -> Cursor {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The statistics of every open stream.
    pub fn statistics(&self) -> Vec<StreamStatistics> {
        self.audience().statistics(Instant::now().into_std())
    }

    /// Ends every stream: the server ends, or its database is away.
    pub fn close(&self) {
        let audience = self.audience();
        audience.seats().for_each(|seat| seat.close(audience.streams()));
    }

    /// Hands a flush to the streams.
    async fn flush(&self, flushed: Flushed) {
        self.0.metrics.flushes.inc();
        let mut handed = 0;
        for Handed { seats, burst } in self.hand_out(flushed) {
            // The seats hold the burst from here on.
            drop(burst);
            for seat in seats {
                let (frames, bytes) = seat.pump();
                self.0.metrics.frames_sent.inc_by(frames);
                self.0.metrics.bytes_sent.inc_by(bytes);
                handed += 1;
                if handed % STREAMS_PER_STEP == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        self.0.metrics.streams_woken.inc_by(handed as u64);
    }

    /// Adds the bursts of a flush to the seats that they concern, all at once: after this every change up to the cursor
    /// of the flush is in a seat or sent. The frames are encoded later, without the lock of the audience, unless one of
    /// their streams is behind.
    fn hand_out(&self, flushed: Flushed) -> Vec<Handed> {
        let encoded = |one| Arc::new(Encoded::new(one, self.0.metrics.frames_encoded.clone()));
        let (part, cursor) = match flushed {
            Flushed::Doubt { reason, cursor } => (Err(reason), cursor),
            Flushed::Notices { merged, cursor } => (Ok(merged.into_iter().map(encoded).collect::<Vec<_>>()), cursor),
        };
        let audience = self.audience();
        if self.0.memory.is_full() {
            audience.seats().for_each(|seat| seat.drop_backlog("this stream was read too slowly"));
        }
        let handed = match part {
            Ok(notices) => self.bursts(&audience, &notices, &cursor),
            Err(reason) => {
                let burst = Burst::of_models(ReportedModels::All(reason), &cursor, None, &self.0.memory);
                vec![Handed { seats: audience.seats().cloned().collect(), burst: Arc::new(burst) }]
            }
        };
        for Handed { seats, burst } in &handed {
            seats.iter().for_each(|seat| seat.add(burst));
        }
        *self.0.latest.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
        handed
    }

    fn bursts(&self, audience: &Audience, notices: &[Arc<Encoded>], cursor: &Cursor) -> Vec<Handed> {
        let (shares, reached) = audience.shares(notices);
        let answer = self.0.metrics.answer_time.average();
        for (encoded, streams) in notices.iter().zip(reached) {
            if let Some(spread_ms) = spread_ms(streams, answer) {
                encoded.spread_over(spread_ms);
            }
        }
        let burst = |Share { places, seats }| {
            let burst = match places {
                Places::Few(places) => {
                    let of = places.iter().map(|place| notices[*place as usize].clone()).collect();
                    Burst::of_notices(of, cursor, &self.0.memory)
                }
                Places::Many(names) => {
                    let spread_ms = spread_ms(seats.len(), answer);
                    Burst::of_models(ReportedModels::named(names), cursor, spread_ms, &self.0.memory)
                }
            };
            Handed { seats, burst: Arc::new(burst) }
        };
        shares.into_iter().map(burst).collect()
    }

    fn audience(&self) -> MutexGuard<'_, Audience> {
        self.0.audience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A burst that was added to some seats.
struct Handed {
    seats: Vec<Arc<Seat>>,
    burst: Arc<Burst>,
}

impl HubStream {
    /// From now on the stream gets the changes of these read models. Returns all that waits of the changes before, and
    /// the cursor up to which these changes go.
    pub fn watch(&mut self, read_models: BTreeSet<Watched>) -> (Vec<Taken>, Cursor) {
        let mut audience = self.hub.audience();
        audience.watch(&mut self.membership, read_models);
        let latest = self.hub.latest();
        let taken = self.seat.take_all(latest);
        taken.iter().for_each(|taken| self.count(taken));
        (taken, self.seat.cursor())
    }

    /// The next part of the stream. Until the next call the caller has frames in hand, and the hub writes none.
    pub fn poll_take(&self, context: &mut Context<'_>) -> Poll<Taken> {
        let taken = self.seat.poll_take(context, || self.hub.latest());
        if let Poll::Ready(taken) = &taken {
            self.count(taken);
        }
        taken
    }

    fn count(&self, taken: &Taken) {
        if let Taken::Burst(burst) = taken {
            let metrics = &self.hub.0.metrics;
            metrics.frames_sent.inc_by(burst.frames());
            metrics.bytes_sent.inc_by(burst.text_bytes());
        }
    }

    /// The caller has frames in hand until the next call of [`HubStream::poll_take`].
    pub fn hold(&self) {
        self.seat.hold();
    }

    /// The stream is sent by this transport. From now on the statistics list it.
    pub fn open(&self, transport: StreamTransportName) {
        self.seat.open(transport, Instant::now().into_std());
    }

    /// The caller sends a frame of its own, of so many bytes.
    pub fn note_own(&self, bytes: usize) {
        self.hub.0.metrics.frames_sent.inc();
        self.hub.0.metrics.bytes_sent.inc_by(bytes as u64);
        self.seat.note_own(bytes);
    }

    /// The first frame contains `cursor`: the bursts that it covers are dropped.
    pub fn begin(&self, cursor: Cursor) {
        self.seat.begin(cursor);
    }

    /// Contains every change that was handed over.
    pub fn cursor(&self) -> Cursor {
        self.seat.cursor()
    }

    /// From now on the hub writes to the socket while the stream is idle.
    pub fn write_directly(&self, direct: Box<dyn DirectWriter>) {
        self.seat.write_directly(direct);
    }
}

impl Drop for HubStream {
    fn drop(&mut self) {
        self.hub.audience().leave(&self.membership);
        // A flush that was handed out before can still hold the seat.
        self.seat.leave();
    }
}

/// Hands the input to the streams, window by window, until the input ends or `shutdown`.
pub async fn run(hub: Hub, mut inputs: mpsc::Receiver<HubInput>, base: Duration, shutdown: CancellationToken) {
    let began = Instant::now();
    let mut window = Window::new(base);
    let ended = shutdown.run_until_cancelled(async {
        loop {
            let due = window.poll_timeout().map(|due| began + due);
            let flush = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = flush => {}
                input = inputs.recv() => match input {
                    Some(input) => handle_input(&hub, &mut window, input, began),
                    None => return,
                },
            }
            let now = began.elapsed();
            let Some(due) = window.poll_flush(now) else { continue };
            hub.0.metrics.notices_merged.inc_by(due.merged_away);
            hub.flush(due.flushed).await;
            let sent = began.elapsed();
            window.handle_sent(sent - now, sent);
            if let Some(read_at) = due.read_at {
                hub.0.metrics.send_delay.observe((began.into_std() + sent - read_at).as_secs_f64());
            }
        }
    });
    ended.await;
}

fn handle_input(hub: &Hub, window: &mut Window, input: HubInput, began: Instant) {
    let now = began.elapsed();
    match input {
        HubInput::Notices { notices, read_at } => {
            hub.0.metrics.notices.inc_by(notices.len() as u64);
            window.handle_notices(notices, read_at, now);
        }
        HubInput::Complete(cursor) => window.handle_complete(cursor),
        HubInput::Doubt { reason, cursor } => window.handle_doubt(reason, cursor, now),
        HubInput::DatabaseAway => {
            window.clear();
            hub.close();
        }
    }
}
