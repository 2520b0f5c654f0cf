//! The words for the state of the connection: its id, the reasons for its end, and the status that is shown.

use std::fmt;
use std::time::Duration;

/// The id of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(u32);

impl ConnectionId {
    /// The id as a number, for a boundary that only numbers cross.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The id with this number.
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// Why a connection ended, as a driver reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The connection failed or ended.
    Ended,
    /// No connection to the server could be made. This says nothing about the transport.
    NotReached,
    /// The server answered that it cannot take the stream now.
    Busy {
        /// The wait that the server demands, if any.
        retry_after: Option<Duration>,
    },
    /// The server refuses this client, and would refuse it the next time too.
    Refused(String),
}

/// Why the stream was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossReason {
    /// The connection failed or ended.
    Ended,
    /// No connection to the server could be made.
    NotReached,
    /// The server cannot take the stream now.
    Busy,
    /// No message came for too long.
    Silent,
    /// The connection was not open, or had no first message, in time.
    NoFirstMessage,
    /// The server did not answer the request for notices.
    NotConfirmed,
    /// The server said that it closes the stream.
    Closing,
    /// The network of the device was away.
    NetworkReturned,
    /// The application asked for a new connection.
    Asked,
}

impl LossReason {
    /// The reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            LossReason::Ended => "ended",
            LossReason::NotReached => "not reached",
            LossReason::Busy => "busy",
            LossReason::Silent => "silent",
            LossReason::NoFirstMessage => "no first message",
            LossReason::NotConfirmed => "not confirmed",
            LossReason::Closing => "closing",
            LossReason::NetworkReturned => "network returned",
            LossReason::Asked => "asked",
        }
    }
}

/// Why the engine connects no more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The server refuses this client, with this text.
    Refused(String),
    /// The limit of attempts is reached.
    Attempts,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::Refused(text) => text,
            CloseReason::Attempts => "the limit of attempts is reached",
        })
    }
}

/// The state of the connection to the server, for display. The contract names these states, so the set is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The first connection is being opened.
    Connecting,
    /// Connected; read models are stale for moments at most.
    Live,
    /// Connected; read models that changed while disconnected are being fetched.
    CatchingUp,
    /// Not connected.
    Reconnecting {
        /// When the next connection is opened. None: it is being opened now.
        next_try: Option<Duration>,
        /// Since when there is no stream.
        since: Duration,
        /// Why the last connection ended.
        reason: LossReason,
    },
    /// No stream can be opened, and the read models are fetched again and again.
    Polling,
    /// Not connected, and the device has no network.
    Offline,
    /// The engine gave up.
    Closed {
        /// The reason.
        reason: CloseReason,
    },
    /// The application disabled the engine.
    Disabled,
}
