//! Fetches: what a driver is told to fetch, how a fetch ends, and the state of a held answer.

use std::time::Duration;

use super::signal::SignalKind;
use crate::protocol::Cursor;

/// A request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetch<K> {
    /// The id of this fetch, which the driver passes back with the outcome.
    pub ticket: Ticket,
    /// The read model to fetch.
    pub model: K,
    /// The cursor that the answer must cover, for `Requery-At-Least`.
    pub at_least: Option<Cursor>,
    /// The last reason why the model is stale.
    pub why: Why,
}

/// The id of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// The id as a number, for a boundary that only numbers cross.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The id with this number.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Why a read model is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// A screen began to show it.
    Watched,
    /// A message of this kind came.
    Signal(SignalKind),
    /// The last fetch is long ago.
    Safety,
    /// No stream can be opened, so the read model is fetched again and again.
    Polled,
    /// The application asked for it.
    Asked,
}

impl Why {
    /// The reason in a word. `notice_name` names the kinds of notices of the domain.
    pub fn name<'a>(self, notice_name: impl FnOnce(u16) -> &'a str) -> &'a str {
        match self {
            Why::Watched => "watched",
            Why::Safety => "safety",
            Why::Polled => "polled",
            Why::Asked => "asked",
            Why::Signal(kind) => kind.name(notice_name),
        }
    }
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// A body came; it was read at this cursor.
    Fresh(&'a Cursor),
    /// The held body is right at this cursor.
    NotModified(&'a Cursor),
    /// The read model did not exist at this cursor.
    Gone(&'a Cursor),
    /// No usable answer came.
    Failed {
        /// The wait that the server demands, if any.
        retry_after: Option<Duration>,
    },
}

/// Whether to show the answer of a fetch.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchVerdict {
    /// Show the answer.
    Keep,
    /// Discard the answer: it is older than the shown one, or its fetch was given up.
    Drop,
}

/// The state of a read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held<'a> {
    /// How far the held answer can be trusted.
    pub state: HeldState,
    /// The cursor of the held answer.
    pub cursor: Option<&'a Cursor>,
    /// A screen shows it.
    pub watched: bool,
    /// The held answer may be outdated.
    pub stale: bool,
    /// A fetch is under way.
    pub in_flight: bool,
    /// The stream reports the changes of the model, or did so until it was lost.
    pub on_stream: bool,
    /// The read model does not exist, or no longer.
    pub absent: bool,
    /// How many fetches failed since the last success.
    pub failures: u32,
    /// The reason of the last fetch.
    pub why: Option<Why>,
    /// When the held answer was asked for.
    pub asked_at: Option<Duration>,
}

/// How far a held answer can be trusted. The contract names these states, so the set is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeldState {
    /// No answer has come yet.
    #[default]
    Loading,
    /// The answer is true: the stream reports every change of the read model, and reported none.
    Fresh,
    /// A change was reported, or may have been missed.
    Stale,
    /// No change is known, and none could be: the stream is lost, or does not report the changes of this read model.
    Unconfirmed,
    /// The read model does not exist, or no longer.
    Gone,
}

impl HeldState {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            HeldState::Loading => "loading",
            HeldState::Fresh => "fresh",
            HeldState::Stale => "stale",
            HeldState::Unconfirmed => "unconfirmed",
            HeldState::Gone => "gone",
        }
    }
}

impl std::fmt::Display for HeldState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
