//! Messages of the stream, out of numbers.

use requery::engine::{Signal, What};
use requery::protocol::Watched;

use crate::number::{Number, as_cursor};

/// `number` is the heartbeat, the number of the notice's kind, or the wait before the next connection.
pub fn signal(
    kind: u32,
    cursor: &str,
    more: bool,
    spread_ms: f64,
    number: u32,
    places: Vec<Watched<Number>>,
) -> Signal<Number> {
    let what = match kind {
        0 => What::Snapshot { heartbeat_ms: number, carries: singles(places) },
        1 => What::Resumed { heartbeat_ms: number, stale: places },
        2 => What::Stale { kind: None, places },
        3 => What::Stale { kind: Some(number as u16), places },
        4 => What::Watching { confirmed: places },
        5 => What::Heartbeat,
        6 => What::Resync,
        7 => What::Closing { retry_ms: number },
        _ => What::Unknown,
    };
    let spread_ms = (spread_ms >= 0.0).then_some(spread_ms as u32);
    Signal { cursor: as_cursor(cursor), more, spread_ms, what }
}

fn singles(places: Vec<Watched<Number>>) -> Vec<Number> {
    let single = |place| match place {
        Watched::One(model) => Some(model),
        Watched::Group(_) => None,
    };
    places.into_iter().filter_map(single).collect()
}
