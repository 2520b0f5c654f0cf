//! The metrics: counters of the work that the server does, in the text format of Prometheus.
//!
//! A figure is counted where its work is done. No figure is made by looking at rows or at streams when it is asked for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The counters of one server.
pub struct Metrics {
    registry: Registry,
    /// The reads, by their answer.
    pub reads: Family<Answered, Counter>,
    /// How often a read model was read from the database, by its operation.
    pub queries: Family<Operation, Counter>,
    /// The rows that the queries of reads returned.
    pub rows_read: Counter,
    /// The keys that the queries of reads returned, many in one row.
    pub keys_read: Counter,
    /// The average time that an answer took, from the memory or from the database.
    pub answer_time: AverageTime,
    /// How often an answer was encoded as JSON.
    pub answers_encoded: Counter,
    /// How often an answer was compressed.
    pub answers_compressed: Counter,
    /// The memory of the cached answers, in bytes.
    pub cache_bytes: Gauge,
    /// The cached answers that were dropped because the cache was full.
    pub cache_evictions: Counter,
    /// The open streams, by their transport.
    pub streams: Family<StreamTransport, Gauge>,
    /// How often a first frame was read from the database.
    pub first_frames_read: Counter,
    /// How often the tasks that a stream of one project watches were looked up in the database.
    pub task_look_ups: Counter,
    /// The frames that were handed to a connection.
    pub frames_sent: Counter,
    /// The bytes of these frames.
    pub bytes_sent: Counter,
    /// How often a frame of a change was encoded: a notice, `stale` or `resync`.
    pub frames_encoded: Counter,
    /// How often a flush concerned a stream.
    pub streams_woken: Counter,
    /// The flushes of the hub.
    pub flushes: Counter,
    /// The notices that the hub took.
    pub notices: Counter,
    /// The notices that were merged into another notice of the same flush.
    pub notices_merged: Counter,
    /// The time from the moment the server read the oldest change of a flush in the log until its frames were handed to
    /// all their connections.
    pub send_delay: Histogram,
    /// The changes that are in the log and were not handed to the hub yet.
    pub log_lag: Gauge,
    /// The number of the oldest cursor with which a stream can resume.
    pub log_floor: Gauge,
    /// The hooks that the server took over HTTP.
    pub hooks_taken: Counter,
    /// The hooks that the server took from the spool.
    pub hooks_spooled: Counter,
    /// The hooks that the server refused: their record is not valid.
    pub hooks_refused: Counter,
}

/// A moving average of times.
#[derive(Debug, Default)]
pub struct AverageTime(AtomicU64);

impl AverageTime {
    /// The weight of a new time.
    const NEWEST: f64 = 1.0 / 64.0;

    /// Adds a time to the average.
    pub fn note(&self, took: Duration) {
        // Two notes at once can lose one of them. The average moves on with the next.
        let average = f64::from_bits(self.0.load(Ordering::Relaxed));
        let next = average + (took.as_secs_f64() - average) * Self::NEWEST;
        self.0.store(next.to_bits(), Ordering::Relaxed);
    }

    /// The average.
    pub fn average(&self) -> Duration {
        Duration::try_from_secs_f64(f64::from_bits(self.0.load(Ordering::Relaxed))).unwrap_or_default()
    }
}

/// The label of [`Metrics::reads`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// The source of the answer.
    pub by: AnswerSource,
}

/// The source of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum AnswerSource {
    /// 304: the caller has the answer, and the database was not read.
    NotModified,
    /// The answer was in memory.
    Memory,
    /// The database was read.
    Database,
}

/// The label of [`Metrics::queries`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Operation {
    /// The id of the operation in the OpenAPI document.
    pub operation: &'static str,
}

/// The label of [`Metrics::streams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StreamTransport {
    /// The transport.
    pub transport: StreamTransportName,
}

/// The transport of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum StreamTransportName {
    /// `GET /ws`.
    WebSocket,
    /// `GET /api/v1/stream`.
    Events,
}

impl Metrics {
    /// The text of all metrics, in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        // From half a millisecond to 16 seconds.
        let send_delay = Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        let mut metrics = Self {
            registry: Registry::with_prefix("requery"),
            reads: Family::default(),
            queries: Family::default(),
            rows_read: Counter::default(),
            keys_read: Counter::default(),
            answer_time: AverageTime::default(),
            answers_encoded: Counter::default(),
            answers_compressed: Counter::default(),
            cache_bytes: Gauge::default(),
            cache_evictions: Counter::default(),
            streams: Family::default(),
            first_frames_read: Counter::default(),
            task_look_ups: Counter::default(),
            frames_sent: Counter::default(),
            bytes_sent: Counter::default(),
            frames_encoded: Counter::default(),
            streams_woken: Counter::default(),
            flushes: Counter::default(),
            notices: Counter::default(),
            notices_merged: Counter::default(),
            send_delay,
            log_lag: Gauge::default(),
            log_floor: Gauge::default(),
            hooks_taken: Counter::default(),
            hooks_spooled: Counter::default(),
            hooks_refused: Counter::default(),
        };
        // A family without a member is left out of the text. A counter that is missing at first hides its first
        // increase.
        for by in [AnswerSource::NotModified, AnswerSource::Memory, AnswerSource::Database] {
            drop(metrics.reads.get_or_create(&Answered { by }));
        }
        for transport in [StreamTransportName::WebSocket, StreamTransportName::Events] {
            drop(metrics.streams.get_or_create(&StreamTransport { transport }));
        }
        let registry = &mut metrics.registry;
        registry.register("reads", "Reads, by the source of their answer", metrics.reads.clone());
        registry.register("queries", "Reads of a read model from the database, by operation", metrics.queries.clone());
        registry.register("rows_read", "Rows that the queries of reads returned", metrics.rows_read.clone());
        registry.register("keys_read", "Keys of rows that the queries of reads returned", metrics.keys_read.clone());
        registry.register("answers_encoded", "Answers that were encoded as JSON", metrics.answers_encoded.clone());
        registry.register("answers_compressed", "Answers that were compressed", metrics.answers_compressed.clone());
        registry.register_with_unit("cache", "Memory of cached answers", Unit::Bytes, metrics.cache_bytes.clone());
        registry.register(
            "cache_evictions",
            "Cached answers that were dropped for room",
            metrics.cache_evictions.clone(),
        );
        registry.register("streams", "Open streams, by transport", metrics.streams.clone());
        registry.register(
            "first_frames_read",
            "First frames of streams that were read from the database",
            metrics.first_frames_read.clone(),
        );
        registry.register(
            "task_look_ups",
            "Look-ups of the tasks that a stream of one project watches",
            metrics.task_look_ups.clone(),
        );
        registry.register("frames_sent", "Frames handed to a connection", metrics.frames_sent.clone());
        registry.register_with_unit("sent", "Bytes of these frames", Unit::Bytes, metrics.bytes_sent.clone());
        registry.register("frames_encoded", "Frames of changes that were encoded", metrics.frames_encoded.clone());
        registry.register("streams_woken", "How often a flush concerned a stream", metrics.streams_woken.clone());
        registry.register("flushes", "Flushes of the hub", metrics.flushes.clone());
        registry.register("notices", "Notices that the hub took", metrics.notices.clone());
        registry.register("notices_merged", "Notices merged into another one", metrics.notices_merged.clone());
        registry.register_with_unit(
            "send_delay",
            "Time from reading a change in the log until its frame was sent",
            Unit::Seconds,
            metrics.send_delay.clone(),
        );
        registry.register("log_lag", "Changes in the log that the hub does not have yet", metrics.log_lag.clone());
        registry.register("log_floor", "Number of the oldest cursor that can be resumed", metrics.log_floor.clone());
        registry.register("hooks_taken", "Hooks taken over HTTP", metrics.hooks_taken.clone());
        registry.register("hooks_spooled", "Hooks taken from the spool", metrics.hooks_spooled.clone());
        registry.register("hooks_refused", "Hooks whose record is not valid", metrics.hooks_refused.clone());
        metrics
    }
}
