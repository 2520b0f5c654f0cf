//! The statistics of the open streams.

use std::cmp::Reverse;

use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};

use super::Group;
use crate::server::hub::{Hub, StreamStatistics};
use crate::server::metrics::StreamTransportName;

/// How many streams an answer lists. The others are only counted; a larger body serves no person.
const LISTED: usize = 1_000;

pub(super) struct StreamApi(pub(super) Hub);

/// The open streams.
#[derive(Object)]
struct OpenStreams {
    /// The number of open streams.
    total: u64,
    /// The streams, those that lag the furthest first and then the oldest first; at most 1,000 of them.
    items: Vec<OpenStream>,
}

/// An open stream.
#[derive(Object)]
struct OpenStream {
    /// The way of the stream.
    transport: StreamWay,
    /// The project of the stream; `null` for all projects.
    #[oai(nullable)]
    project: Option<String>,
    /// The number of read models that the client watches; `null` if it watches all.
    #[oai(nullable)]
    watches: Option<u64>,
    /// The milliseconds since the stream was opened.
    age_ms: u64,
    /// How many flushes the client did not take yet, with the one that is being sent.
    flushes_behind: u64,
    /// The frames that were sent.
    frames: u64,
    /// The bytes of these frames.
    bytes: u64,
    /// The frames a second since the stream was opened.
    frames_per_second: f64,
    /// The bytes a second since the stream was opened.
    bytes_per_second: f64,
}

/// The way of a stream.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
enum StreamWay {
    /// `GET /ws`.
    Websocket,
    /// `GET /api/v1/stream`.
    Events,
}

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Health")]
impl StreamApi {
    /// The open streams, with their lag and their rates
    ///
    /// An answer tells no address of a client. It is no read model: no notice reports a change of it.
    #[oai(path = "/streams", method = "get", operation_id = "streams")]
    async fn streams(&self) -> Json<OpenStreams> {
        let mut all = self.0.statistics();
        let total = all.len() as u64;
        all.sort_by_key(|one| Reverse((one.flushes_behind, one.age)));
        Json(OpenStreams { total, items: all.iter().take(LISTED).map(OpenStream::of).collect() })
    }
}

impl OpenStream {
    fn of(statistics: &StreamStatistics) -> Self {
        // A stream that was just opened has no rate yet.
        let seconds = statistics.age.as_secs_f64().max(1.0);
        let rate = |count: u64| (count as f64 / seconds * 1e3).round() / 1e3;
        Self {
            transport: match statistics.transport {
                StreamTransportName::WebSocket => StreamWay::Websocket,
                StreamTransportName::Events => StreamWay::Events,
            },
            project: statistics.project.clone(),
            watches: statistics.watches.map(|watches| watches as u64),
            age_ms: u64::try_from(statistics.age.as_millis()).unwrap_or(u64::MAX),
            flushes_behind: statistics.flushes_behind as u64,
            frames: statistics.frames,
            bytes: statistics.bytes,
            frames_per_second: rate(statistics.frames),
            bytes_per_second: rate(statistics.bytes),
        }
    }
}
