//! The state of the connection in words, for people.

use std::fmt;

use crate::engine::{LossReason, Status};

impl Status {
    /// The word of the contract.
    pub fn as_str(&self) -> &'static str {
        match self {
            Status::Connecting => "connecting",
            Status::Live => "live",
            Status::CatchingUp => "catching up",
            Status::Reconnecting { .. } => "reconnecting",
            Status::Polling => "polling",
            Status::Offline => "offline",
            Status::Closed { .. } => "closed",
            Status::Disabled => "disabled",
        }
    }
}

/// The word of the contract, with the reason of an end.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Closed { reason } => write!(f, "closed: {reason}"),
            Status::Reconnecting { reason, .. } => write!(f, "reconnecting: {}", reason.as_str()),
            _ => f.write_str(self.as_str()),
        }
    }
}

/// Why the engine ended the connection by itself. None: the driver reported the end, and knows more of it.
pub(super) fn found_by_the_engine(reason: LossReason) -> Option<&'static str> {
    match reason {
        LossReason::Silent => Some("the server sent no message for too long"),
        LossReason::NoFirstMessage => Some("the server sent no first message in time"),
        LossReason::NotConfirmed => Some("the server did not answer the request for notices in time"),
        LossReason::Closing => Some("the server closed the stream"),
        LossReason::NetworkReturned => Some("the network of the device was away"),
        LossReason::Asked => Some("the application asked for a new connection"),
        LossReason::Ended | LossReason::NotReached | LossReason::Busy => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::engine::{CloseReason, LossReason, Status};

    #[test]
    fn a_status_says_its_word_and_its_reason() {
        let closed = Status::Closed { reason: CloseReason::Attempts };
        assert_eq!(closed.to_string(), format!("closed: {}", CloseReason::Attempts));
        let reconnecting =
            Status::Reconnecting { next_try: None, since: Duration::ZERO, reason: LossReason::NoFirstMessage };
        assert_eq!(reconnecting.to_string(), "reconnecting: no first message");
        assert_eq!((Status::CatchingUp.to_string().as_str(), closed.as_str()), ("catching up", "closed"));
    }
}
