//! Why a read model is in its state, and what its next fetch waits for.

use std::fmt;
use std::time::Duration;

use super::fetch::{HeldState, Why};
use crate::protocol::Cursor;

/// The state of one read model, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// How far the held answer can be trusted.
    pub state: HeldState,
    /// Why the read model is stale, and since when. None: it is not stale.
    pub stale: Option<(Why, Duration)>,
    /// The cursor that an answer has to cover.
    pub need: Option<Cursor>,
    /// What the next fetch waits for.
    pub waits_for: WaitsFor,
}

/// What the next fetch of a read model waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A screen that shows the read model.
    Watch,
    /// The application, which disabled the engine, or a server that refused it.
    Enable,
    /// The network.
    Network,
    /// The screen, which is hidden.
    Visible,
    /// The answer of the fetch under way.
    Answer,
    /// The end of other fetches: the most are under way.
    Turn,
    /// The first message of the stream, which carries the read model, at most until this time.
    FirstMessage(Duration),
    /// The end of the notices, until this time.
    Quiet(Duration),
    /// The end of the time over which the server spreads its clients.
    Spread(Duration),
    /// The pace of fetches.
    Pace(Duration),
    /// The time after a failure.
    Retry(Duration),
    /// A change; or this time, at which the read model is fetched without one.
    Change(Option<Duration>),
}

impl Explanation {
    /// The explanation in one line, with times in milliseconds of the engine's clock: `stale since 5000 (event.logged),
    /// needs a:6:6:, waits for quiet until 5050`. `notice_name` names the kinds of notices of the domain.
    pub fn words<'n>(&self, notice_name: impl Fn(u16) -> &'n str) -> impl fmt::Display {
        Words { explanation: self, notice_name }
    }
}

struct Words<'a, N> {
    explanation: &'a Explanation,
    notice_name: N,
}

impl<'n, N: Fn(u16) -> &'n str> fmt::Display for Words<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { state, stale, need, waits_for } = self.explanation;
        f.write_str(state.as_str())?;
        if let Some((why, since)) = stale {
            write!(f, " since {} ({})", since.as_millis(), why.name(&self.notice_name))?;
        }
        if let Some(need) = need {
            write!(f, ", needs {need}")?;
        }
        let (words, until) = match waits_for {
            WaitsFor::Watch => ("a screen", None),
            WaitsFor::Enable => ("the application", None),
            WaitsFor::Network => ("the network", None),
            WaitsFor::Visible => ("a visible screen", None),
            WaitsFor::Answer => ("the answer", None),
            WaitsFor::Turn => ("a free request", None),
            WaitsFor::FirstMessage(until) => ("the first message", Some(*until)),
            WaitsFor::Quiet(until) => ("quiet", Some(*until)),
            WaitsFor::Spread(until) => ("the spread", Some(*until)),
            WaitsFor::Pace(until) => ("the pace", Some(*until)),
            WaitsFor::Retry(until) => ("the retry", Some(*until)),
            WaitsFor::Change(until) => ("a change", *until),
        };
        write!(f, ", waits for {words}")?;
        match until {
            Some(until) => write!(f, " until {}", until.as_millis()),
            None => Ok(()),
        }
    }
}
