//! The shortest and the longest times in every setting and in every demand of a server.

use std::time::Duration;

use requery::engine::{ConnectionId, Engine, EngineAction, EngineSettings, Loss, Outcome, Signal, Ticket, What};
use requery::protocol::{Cursor, ReadModel};

/// Sets one of the times.
type Setting = fn(&mut EngineSettings) -> &mut Duration;

const SETTINGS: [Setting; 13] = [
    |settings| &mut settings.quiet,
    |settings| &mut settings.max_wait,
    |settings| &mut settings.safety,
    |settings| &mut settings.poll_interval,
    |settings| &mut settings.backoff_first,
    |settings| &mut settings.backoff_most,
    |settings| &mut settings.fetch_timeout,
    |settings| &mut settings.remembered_for,
    |settings| &mut settings.patience,
    |settings| &mut settings.first_message_wait,
    |settings| &mut settings.websocket_retry,
    |settings| &mut settings.stable,
    |settings| &mut settings.longest_wait,
];

/// Runs a client for ten seconds, in steps of a millisecond, beside a server that closes, fails and demands waits.
fn run(settings: EngineSettings, start: Duration, demand: Duration) {
    let case = format!("{settings:?}, {demand:?}");
    let mut engine = Engine::new(settings, vec![ReadModel::Overview], 1);
    let cursor = |changes| Cursor::counter("a", changes);
    let mut answers: Vec<Ticket> = Vec::new();
    let mut connections: Vec<ConnectionId> = Vec::new();
    engine.watch(ReadModel::Overview, start);
    for step in 0..10_000_u64 {
        let now = start.saturating_add(Duration::from_millis(step));
        for (number, ticket) in answers.drain(..).enumerate() {
            let failed = Outcome::Failed { retry_after: Some(demand) };
            let read = cursor(step);
            let outcome = if (step + number as u64).is_multiple_of(3) { failed } else { Outcome::Fresh(&read) };
            let _ = engine.handle_fetched(ticket, outcome, now);
        }
        for id in connections.drain(..) {
            engine.handle_connected(id, true, now);
            let what = What::Snapshot { heartbeat_ms: u32::MAX, carries: vec![ReadModel::Overview] };
            engine.handle_signal(id, &Signal { cursor: Some(cursor(step)), more: false, spread_ms: None, what }, now);
            let what = What::Stale { kind: None, places: vec![ReadModel::Overview.into()] };
            let spread_ms = step.is_multiple_of(2).then_some(u32::MAX);
            engine.handle_signal(id, &Signal { cursor: Some(cursor(step + 1)), more: false, spread_ms, what }, now);
            match step % 3 {
                0 => engine.handle_disconnected(id, Loss::Busy { retry_after: Some(demand) }, now),
                1 => {
                    let what = What::Closing { retry_ms: u32::MAX };
                    engine.handle_signal(id, &Signal { cursor: None, more: false, spread_ms: None, what }, now);
                }
                _ => engine.handle_disconnected(id, Loss::Ended, now),
            }
        }
        let mut actions = 0;
        while let Some(action) = engine.poll(now) {
            actions += 1;
            assert!(actions < 20, "the engine does not end: {case}");
            match action {
                EngineAction::Fetch(fetch) => answers.push(fetch.ticket),
                EngineAction::Connect { id, .. } => connections.push(id),
                EngineAction::Disconnect(_) | EngineAction::Narrow(..) | EngineAction::Cancel(_) => {}
            }
        }
        engine.poll_timeout();
        engine.next_expiry(now);
        engine.explain(&ReadModel::Overview, now);
        engine.age(&ReadModel::Overview, now);
    }
}

#[test]
fn no_time_makes_the_engine_panic_or_run_for_ever() {
    for setting in SETTINGS {
        for value in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let mut settings = EngineSettings::default();
            *setting(&mut settings) = value;
            run(settings, Duration::ZERO, Duration::from_secs(1));
        }
    }
    for value in [Duration::ZERO, Duration::MAX] {
        let mut settings = EngineSettings::default();
        SETTINGS.iter().for_each(|setting| *setting(&mut settings) = value);
        settings.remembered = 0;
        run(settings.clone(), Duration::ZERO, value);
        run(settings, Duration::MAX, value);
    }
}
