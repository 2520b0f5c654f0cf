//! The waits and bounds of a client.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// The waits of a client. New fields come with new versions: take [`default`](Self::default) and change fields.
///
/// Every value is safe: a wait of [`Duration::MAX`] never ends, and a wait of zero ends at once. The times after which
/// a fetch, a connection or a held answer is given up, and the waits after failures, count as at least 10 ms: zero would
/// be a loop without a pause.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineSettings {
    /// A stale read model is fetched once no notice came for this long. Long enough for the notices of one write to
    /// gather, too short to be seen. The pace begins at twice this time.
    pub quiet: Duration,
    /// A stale read model is fetched at the latest this long after the first notice: a steady stream of notices must
    /// still be shown. Also the slowest pace of a steady stream.
    pub max_wait: Duration,
    /// Each watched read model is fetched this often without any notice, give or take a quarter. This bounds a loss that
    /// neither side can detect; a `304` each time costs little.
    pub safety: Duration,
    /// The same while no stream can be opened, or up to a quarter sooner. An answer counts as true for this long.
    pub poll_interval: Duration,
    /// The longest wait after the first failure.
    pub backoff_first: Duration,
    /// The longest wait after any failure.
    pub backoff_most: Duration,
    /// A fetch without an answer for this long has failed. Longer than the timeout of a driver's requests, so that the
    /// driver reports first.
    pub fetch_timeout: Duration,
    /// How many fetches may be in flight at once; browsers open six connections to one host.
    pub parallel: NonZeroUsize,
    /// How many read models are remembered after the last unwatch, for a screen that comes back.
    pub remembered: usize,
    /// How long they are remembered.
    pub remembered_for: Duration,
    /// The longest time for a connection to open, for its first message, and for the answer to a narrowing.
    pub patience: Duration,
    /// How long the first message of the first stream is waited for before a read model that it carries is fetched.
    pub first_message_wait: Duration,
    /// With server-sent events: when a new stream is opened after this long, WebSocket gets another attempt.
    pub websocket_retry: Duration,
    /// A connection that lasted this long was stable: the wait after its loss starts short again.
    pub stable: Duration,
    /// The longest wait that a server can demand with `retry_ms`, `spread_ms` or `Retry-After`.
    pub longest_wait: Duration,
    /// After so many losses in a row the engine gives up. None: never.
    pub attempts: Option<NonZeroU32>,
}

/// The settings as the engine uses them: times in milliseconds, with the least values that end every loop.
#[derive(Debug)]
pub(super) struct Timing {
    pub(super) quiet: u64,
    pub(super) max_wait: u64,
    pub(super) safety: u64,
    pub(super) poll_interval: u64,
    pub(super) backoff_first: u64,
    pub(super) backoff_most: u64,
    pub(super) fetch_timeout: u64,
    pub(super) remembered_for: u64,
    pub(super) patience: u64,
    pub(super) first_message_wait: u64,
    pub(super) websocket_retry: u64,
    pub(super) stable: u64,
    pub(super) longest_wait: u64,
    pub(super) parallel: usize,
    pub(super) remembered: usize,
    pub(super) attempts: u32,
}

impl Timing {
    pub(super) fn new(settings: &EngineSettings) -> Self {
        Self {
            quiet: to_ms(settings.quiet).max(1),
            max_wait: to_ms(settings.max_wait),
            safety: to_ms(settings.safety).max(LEAST_WAIT),
            poll_interval: to_ms(settings.poll_interval).max(LEAST_WAIT),
            backoff_first: to_ms(settings.backoff_first).max(LEAST_WAIT),
            backoff_most: to_ms(settings.backoff_most).max(LEAST_WAIT),
            fetch_timeout: to_ms(settings.fetch_timeout).max(LEAST_WAIT),
            remembered_for: to_ms(settings.remembered_for),
            patience: to_ms(settings.patience).max(LEAST_WAIT),
            first_message_wait: to_ms(settings.first_message_wait),
            websocket_retry: to_ms(settings.websocket_retry),
            stable: to_ms(settings.stable),
            longest_wait: to_ms(settings.longest_wait),
            parallel: settings.parallel.get(),
            remembered: settings.remembered,
            attempts: settings.attempts.map_or(u32::MAX, NonZeroU32::get),
        }
    }
}

/// A time in whole milliseconds: inside of the engine a time is a number, which is half the code of a [`Duration`].
#[inline(never)]
pub(super) fn to_ms(time: Duration) -> u64 {
    // Later than any clock, and far enough from the end of the numbers that each sum fits.
    time.as_secs().min(NEVER / 1_000) * 1_000 + u64::from(time.subsec_millis())
}

#[inline(never)]
pub(super) fn from_ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Longer than any application waits, and short enough to be doubled.
pub(super) const LONG: u64 = 1 << 40;

/// The earlier of two times, of which each may be missing.
pub(super) fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

/// Over a hundred million years.
const NEVER: u64 = u64::MAX >> 2;

/// Short enough for any test, and a pause.
const LEAST_WAIT: u64 = 10;

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(50),
            max_wait: Duration::from_millis(250),
            safety: Duration::from_secs(60),
            poll_interval: Duration::from_secs(5),
            backoff_first: Duration::from_millis(500),
            backoff_most: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(30),
            parallel: const { NonZeroUsize::new(6).expect("not zero") },
            remembered: 64,
            remembered_for: Duration::from_secs(600),
            patience: Duration::from_secs(15),
            first_message_wait: Duration::from_secs(1),
            websocket_retry: Duration::from_secs(300),
            stable: Duration::from_secs(5),
            longest_wait: Duration::from_secs(60),
            attempts: None,
        }
    }
}
