//! The state of the connection in words, for people and for programs.

use requery::client::{Client, CloseReason, LossReason, Status};

use super::words;
use crate::cli::terminal_text::escape_control_characters;

/// The state of the connection in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnectionWords {
    /// The state as one or two words, as `live`.
    pub(super) state: &'static str,
    /// The time until the next try, the reason of a loss and its age.
    pub(super) detail: Option<String>,
    /// How much the state concerns a person.
    pub(super) tone: ConnectionTone,
}

/// How much a state of the connection concerns a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionTone {
    /// Changes arrive.
    Good,
    /// Changes do not arrive yet, or arrive late.
    Late,
    /// No changes arrive.
    Bad,
}

impl ConnectionWords {
    /// The words for the present state of the client.
    pub(super) fn of(client: &Client) -> Self {
        let status = client.status();
        let detail = match &status {
            Status::Reconnecting { reason, since, .. } => {
                let next = match client.until_next_try() {
                    Some(wait) => format!("the next try is in {} s", wait.as_secs() + 1),
                    None => "a try is under way".to_owned(),
                };
                let lost = words::age(client.now().saturating_sub(*since));
                Some(format!("lost {lost}: {}; {next}", loss(client, *reason)))
            }
            Status::Polling => Some("no stream can be opened, so the data is fetched every few seconds".to_owned()),
            Status::Closed { reason } => Some(format!("{}; r tries again", closed(client, reason))),
            Status::Connecting | Status::Live | Status::CatchingUp | Status::Offline | Status::Disabled => None,
        };
        let tone = match status {
            Status::Live => ConnectionTone::Good,
            Status::Connecting | Status::CatchingUp | Status::Polling => ConnectionTone::Late,
            Status::Reconnecting { .. } | Status::Offline | Status::Closed { .. } | Status::Disabled => {
                ConnectionTone::Bad
            }
        };
        Self { state: status.as_str(), detail, tone }
    }
}

/// Why the client connects no more, as one sentence.
pub(super) fn closed(client: &Client, reason: &CloseReason) -> String {
    match reason {
        CloseReason::Refused(text) => format!("the server refuses this client: {}", escape_control_characters(text)),
        CloseReason::Attempts => match client.loss() {
            Some(loss) => format!("the last attempt to connect failed: {}", escape_control_characters(&loss)),
            None => "the last attempt to connect failed".to_owned(),
        },
        _ => "the client connects no more".to_owned(),
    }
}

/// Why the client connects no more, as one word for programs.
pub(super) fn closed_word(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Refused(_) => "refused",
        CloseReason::Attempts => "attempts",
        _ => "other",
    }
}

/// Why the stream was lost, with all that is known of the cause.
pub(super) fn loss(client: &Client, reason: LossReason) -> String {
    let text = loss_text(reason);
    match client.loss() {
        Some(cause) => format!("{text} ({})", escape_control_characters(&cause)),
        None => text.to_owned(),
    }
}

/// A reason of a loss as one word, for programs.
pub(super) fn loss_word(reason: LossReason) -> &'static str {
    loss_words(reason).0
}

fn loss_text(reason: LossReason) -> &'static str {
    loss_words(reason).1
}

fn loss_words(reason: LossReason) -> (&'static str, &'static str) {
    match reason {
        LossReason::Ended => ("ended", "the connection ended"),
        LossReason::NotReached => ("not_reached", "the server cannot be reached"),
        LossReason::Busy => ("busy", "the server takes no stream now"),
        LossReason::Silent => ("silent", "no message came for too long"),
        LossReason::NoFirstMessage => ("no_first_message", "no first message came in time"),
        LossReason::NotConfirmed => ("not_confirmed", "the server did not answer the request for notices"),
        LossReason::Closing => ("closing", "the server closed the stream"),
        LossReason::NetworkReturned => ("network_returned", "the network was away"),
        LossReason::Asked => ("asked", "a new connection was asked for"),
        _ => ("other", "the stream was lost"),
    }
}
