//! The way in which the next stream is opened: by WebSocket, or by server-sent events where the network blocks it.

use super::settings::Timing;

/// How a stream is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket: the client can narrow the stream.
    #[default]
    WebSocket,
    /// Server-sent events: the client cannot send.
    ServerSentEvents,
}

impl Transport {
    fn other(self) -> Self {
        match self {
            Transport::WebSocket => Transport::ServerSentEvents,
            Transport::ServerSentEvents => Transport::WebSocket,
        }
    }
}

/// The number of failed attempts in a row after which the other transport is tried.
const ATTEMPTS: u32 = 2;

/// The transport that worked, and the failed attempts since then.
#[derive(Debug, Default)]
pub(super) struct Transports {
    /// The transport that worked last; WebSocket before any did.
    worked: Transport,
    /// Failed attempts in a row.
    failed: u32,
    /// Both transports failed, and none has worked since.
    exhausted: bool,
    /// With server-sent events: when WebSocket gets another attempt.
    websocket_at: Option<u64>,
    /// The attempt under way is that one.
    probing: bool,
}

impl Transports {
    /// The transport of the next attempt.
    pub(super) fn next(&mut self, now: u64) -> Transport {
        self.probing = self.failed == 0 && self.websocket_at.is_some_and(|at| at <= now);
        if self.probing {
            return Transport::WebSocket;
        }
        // Two attempts with the one, two with the other, and so on.
        if (self.failed / ATTEMPTS).is_multiple_of(2) { self.worked } else { self.worked.other() }
    }

    /// A stream works.
    pub(super) fn handle_success(&mut self, transport: Transport, settings: &Timing, now: u64) {
        self.worked = transport;
        self.failed = 0;
        self.exhausted = false;
        self.probing = false;
        let retry = now + settings.websocket_retry;
        self.websocket_at = (transport == Transport::ServerSentEvents).then_some(retry);
    }

    /// A stream ended before it worked.
    pub(super) fn handle_failure(&mut self, settings: &Timing, now: u64) {
        if std::mem::take(&mut self.probing) {
            // The other transport still works, as far as is known.
            self.websocket_at = Some(now + settings.websocket_retry);
        } else {
            self.failed = self.failed.saturating_add(1);
            self.exhausted |= self.failed >= 2 * ATTEMPTS;
        }
    }

    /// The network, or the application's wish, is new: each transport gets another attempt. Polling goes on meanwhile.
    pub(super) fn begin_anew(&mut self, now: u64) {
        self.failed = 0;
        self.websocket_at = self.websocket_at.map(|_| now);
    }

    /// Both transports failed: read models are polled.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted
    }
}
