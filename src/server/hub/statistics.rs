//! The statistics of the open streams: what each of them watches and got so far, without the address of its client.

use std::time::{Duration, Instant};

use crate::server::metrics::StreamTransportName;

/// The figures of one open stream.
#[derive(Clone, Debug)]
pub struct StreamStatistics {
    /// The transport.
    pub transport: StreamTransportName,
    /// The project of the stream. None: all projects.
    pub project: Option<String>,
    /// The number of read models that the client watches. None: all.
    pub watches: Option<usize>,
    /// The time since the stream was opened.
    pub age: Duration,
    /// The flushes that the client did not take yet, with the one that is being sent.
    pub flushes_behind: usize,
    /// The frames that were handed to the connection.
    pub frames: u64,
    /// The bytes of these frames.
    pub bytes: u64,
}

/// The part of the statistics that a seat holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeatFigures {
    /// None until the transport is known.
    pub(super) opened: Option<(StreamTransportName, Instant)>,
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl SeatFigures {
    /// Notes frames that were handed to the connection.
    pub(super) fn note(&mut self, frames: u64, bytes: u64) {
        self.frames += frames;
        self.bytes += bytes;
    }

    /// The statistics of the stream at this seat. None while the stream is being opened.
    pub(super) fn of_stream(
        self,
        project: Option<&str>,
        watches: Option<usize>,
        flushes_behind: usize,
        now: Instant,
    ) -> Option<StreamStatistics> {
        let (transport, opened) = self.opened?;
        Some(StreamStatistics {
            transport,
            project: project.map(str::to_owned),
            watches,
            age: now.saturating_duration_since(opened),
            flushes_behind,
            frames: self.frames,
            bytes: self.bytes,
        })
    }
}
