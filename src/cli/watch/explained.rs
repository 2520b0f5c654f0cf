//! Why a read model is stale and what its next fetch waits for, as one line.

use std::time::Duration;

use requery::client::{Client, Explanation};
use requery::engine::WaitsFor;
use requery::protocol::{NoticeKind, ReadModel};

/// The explanation of one read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explained {
    /// The line. Its times are milliseconds since the client began.
    pub(super) text: String,
    /// When the explanation changes without a change of the client.
    pub(super) until: Option<Duration>,
}

impl Explained {
    /// The explanation of `model`. `None` if the client does not watch it.
    pub(super) fn of(client: &Client, model: &ReadModel) -> Option<Self> {
        let explanation = client.explain(model)?;
        Some(Self { text: text(&explanation), until: until(explanation.waits_for) })
    }
}

fn text(explanation: &Explanation) -> String {
    let kind_name = |kind: u16| NoticeKind::ALL.get(usize::from(kind)).map_or("unknown", |kind| kind.as_str());
    explanation.words(kind_name).to_string()
}

fn until(waits_for: WaitsFor) -> Option<Duration> {
    match waits_for {
        WaitsFor::FirstMessage(until)
        | WaitsFor::Quiet(until)
        | WaitsFor::Spread(until)
        | WaitsFor::Pace(until)
        | WaitsFor::Retry(until)
        | WaitsFor::Change(Some(until)) => Some(until),
        // A change of the client ends these waits.
        _ => None,
    }
}
