//! The pace of fetches, for a steady stream of notices of any rhythm and for answers of any duration.

use std::time::Duration;

use requery::engine::{Engine, EngineAction, EngineSettings, FetchVerdict, Outcome, Signal, Ticket, What};
use requery::protocol::{Cursor, ReadModel};

fn steady_stream(gap: u64, duration: u64) -> (Vec<(u64, u64)>, Vec<u64>) {
    steady_stream_with(EngineSettings::default(), gap, duration)
}

/// Sends a notice in each `gap` for six seconds, and answers each fetch after `duration`. Returns the times of the
/// notices and when each was shown, and the times at which fetches began.
fn steady_stream_with(settings: EngineSettings, gap: u64, duration: u64) -> (Vec<(u64, u64)>, Vec<u64>) {
    let model = ReadModel::Bookmarks;
    let at = Duration::from_millis;
    let cursor = |changes: u64| Cursor::counter("a", changes);
    let signal = |changes, what| Signal { cursor: Some(cursor(changes)), more: false, spread_ms: None, what };
    let mut engine = Engine::new(settings, Vec::new(), 1);
    engine.watch(model.clone(), at(0));
    let mut connection = None;
    // The fetch under way: its ticket, the time of its answer, and the changes that its answer contains.
    let mut flight: Option<(Ticket, u64, u64)> = None;
    let (mut changes, mut pending, mut shown, mut starts) = (5, Vec::new(), Vec::new(), Vec::new());
    for now in 0..13_000 {
        if (5_000..11_000).contains(&now) && (now - 5_000) % gap == 0 {
            changes += 1;
            pending.push((now, changes));
            let what = What::Stale { kind: None, places: vec![model.clone().into()] };
            engine.handle_signal(connection.expect("a connection"), &signal(changes, what), at(now));
        }
        if now == 10 {
            let what = What::Snapshot { heartbeat_ms: 60_000, carries: Vec::new() };
            engine.handle_signal(connection.expect("a connection"), &signal(changes, what), at(now));
        }
        if let Some((ticket, _, contained)) = flight.take_if(|(_, ends, _)| *ends <= now) {
            let outcome = Outcome::Fresh(&cursor(contained));
            assert_eq!(engine.handle_fetched(ticket, outcome, at(now)), FetchVerdict::Keep);
            pending.retain(|(sent, change)| {
                let waits = *change > contained;
                if !waits {
                    shown.push((*sent, now));
                }
                waits
            });
        }
        while let Some(action) = engine.poll(at(now)) {
            match action {
                EngineAction::Connect { id, .. } => connection = Some(id),
                EngineAction::Fetch(fetch) => {
                    assert!(flight.is_none(), "two fetches at {now}");
                    // The server reads at once, and the answer takes its time.
                    flight = Some((fetch.ticket, now + duration, changes));
                    starts.push(now);
                }
                EngineAction::Disconnect(_) | EngineAction::Narrow(..) | EngineAction::Cancel(_) => {}
            }
        }
    }
    assert!(pending.is_empty(), "gap {gap}, duration {duration}: not shown at the end: {pending:?}");
    (shown, starts.into_iter().filter(|start| *start >= 5_000).collect())
}

#[test]
fn a_steady_stream_costs_few_fetches_and_is_shown_soon() {
    for gap in [1, 7, 20, 40, 49, 50, 51, 70, 99, 100, 130, 199, 200, 249, 250, 251, 300, 500, 999, 1_001] {
        for duration in [1, 5, 60, 99, 240, 251, 400, 1_100] {
            let (shown, starts) = steady_stream(gap, duration);
            let case = format!("a notice each {gap} ms, an answer after {duration} ms: {starts:?}");
            for (sent, at) in shown {
                assert!(at - sent <= 250 + 2 * duration, "shown {} ms late, {case}", at - sent);
            }
            for from in &starts {
                let second = starts.iter().filter(|start| (*from..from + 1_000).contains(start)).count();
                let most = if *from < starts[0] + 1_000 { 5 } else { 4 };
                assert!(second <= most, "{second} fetches in the second from {from} on, {case}");
            }
        }
    }
}

/// The bound of the contract is reached, so that a slower pace would be seen.
#[test]
fn a_dense_stream_is_fetched_as_often_as_the_pace_allows() {
    let (_, starts) = steady_stream(20, 5);
    assert_eq!(starts[..5], [5_000, 5_270, 5_530, 5_790, 6_050], "never quiet: max wait after each first notice");
    let (_, starts) = steady_stream(51, 5);
    assert_eq!(
        starts[..5],
        [5_000, 5_101, 5_305, 5_556, 5_811],
        "quiet between two notices: the pace, and quiet again"
    );
}

/// Without a debounce the pace still doubles up to max wait.
#[test]
fn without_a_debounce_a_steady_stream_costs_few_fetches() {
    let mut settings = EngineSettings::default();
    settings.quiet = Duration::ZERO;
    let (_, starts) = steady_stream_with(settings, 1, 1);
    let late = starts.iter().filter(|start| (6_000..11_000).contains(*start)).count();
    assert!((19..=20).contains(&late), "{late} fetches in five seconds: {starts:?}");
}
