//! The work of the engine, counted in read models that are looked at.

use std::time::Duration;

use crate::engine::{ConnectionId, Engine, EngineAction, EngineSettings, HeldState, Outcome, Signal, What};
use crate::protocol::{Cursor, Key, Watched};

/// A read model is a number, and one group includes all.
impl Key for u32 {
    type Group = ();

    fn is_in(&self, (): &()) -> bool {
        true
    }

    fn group(&self) -> Option<()> {
        Some(())
    }
}

/// An engine with a server that answers each fetch after a millisecond.
struct Run {
    engine: Engine<u32>,
    now: Duration,
    changes: u64,
}

impl Run {
    fn cursor(&self) -> Cursor {
        Cursor::counter("a", self.changes)
    }

    fn signal(&mut self, id: ConnectionId, what: What<u32>) {
        let signal = Signal { cursor: Some(self.cursor()), more: false, spread_ms: None, what };
        self.engine.handle_signal(id, &signal, self.now);
    }

    /// Runs until so many read models are fetched.
    fn fetch(&mut self, models: u32) {
        let mut fetches = 0;
        for _ in 0..100 * models {
            match self.engine.poll(self.now) {
                Some(EngineAction::Connect { id, .. }) => {
                    self.signal(id, What::Snapshot { heartbeat_ms: 300_000, carries: Vec::new() });
                }
                Some(EngineAction::Fetch(fetch)) => {
                    fetches += 1;
                    self.now += Duration::from_millis(1);
                    let cursor = self.cursor();
                    let _ = self.engine.handle_fetched(fetch.ticket, Outcome::Fresh(&cursor), self.now);
                }
                Some(EngineAction::Narrow(..) | EngineAction::Cancel(_) | EngineAction::Disconnect(_)) => {}
                None if fetches == models => return,
                None => self.now = self.engine.poll_timeout().expect("more to fetch").max(self.now),
            }
            self.engine.status();
        }
        panic!("{fetches} of {models} fetched");
    }

    fn change(&mut self, place: Watched<u32>) {
        self.changes += 1;
        self.signal(ConnectionId::from_number(1), What::Stale { kind: None, places: vec![place] });
    }
}

/// Watches so many read models, fetches all of them, and lets all of them change twice: by one notice for all, and by
/// one notice each. Then no screen shows them. Returns how many read models were looked at.
fn visits(models: u32) -> usize {
    let engine = Engine::new(EngineSettings::default(), Vec::new(), 1);
    let mut run = Run { engine, now: Duration::ZERO, changes: 1 };
    (0..models).for_each(|model| run.engine.watch(model, run.now));
    run.fetch(models);
    run.change(Watched::Group(()));
    run.fetch(models);
    (0..models).for_each(|model| run.change(Watched::One(model)));
    run.fetch(models);
    (0..models).for_each(|model| run.engine.unwatch(&model, run.now));
    let visits = run.engine.refetcher.slots.visits.get();
    let held = run.engine.held(&(models - 1), run.now).expect("one of the last");
    assert_eq!((held.state, held.cursor), (HeldState::Fresh, Some(&run.cursor())));
    visits
}

#[test]
fn the_work_grows_with_the_number_of_read_models_and_not_with_its_square() {
    let (few, many) = (visits(500), visits(5_000));
    assert!(many <= 11 * few, "{few} read models looked at for 500, {many} for 5,000");
    assert!(many <= 100 * 5_000, "{many} read models looked at for 5,000");
}
