//! A server, a network and an engine in simulated time. After any faults, once they end, every watched read model of
//! the client equals the database.
//!
//! The server has a change log with epochs: it loses the end of the log, prunes, merges notices and lags. The network
//! cuts connections or leaves them half-open, delays and fails requests, and answers from caches. The test never sleeps
//! and reads no clock.

mod extremes;
mod invariants;
mod op;
mod pace;
mod server;
mod world;

use proptest::prelude::*;

use crate::random_cases::cases;
use op::Op;
use world::World;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..6u8, 1..5u8).prop_map(|(kind, task)| Op::Change { kind, task }),
        2 => (1..5u8, any::<bool>()).prop_map(|(task, away)| Op::Move { task, away }),
        2 => (1..5u8).prop_map(Op::Write),
        5 => (0..6u8).prop_map(Op::Watch),
        4 => (0..6u8).prop_map(Op::Unwatch),
        1 => (0..6u8).prop_map(Op::Refresh),
        1 => Just(Op::Reconnect),
        1 => (0..3000u32).prop_map(Op::Closing),
        2 => Just(Op::Cut),
        1 => Just(Op::HalfOpen),
        1 => Just(Op::Restart { lost: 0 }),
        1 => (1..4u8).prop_map(|lost| Op::Restart { lost }),
        1 => Just(Op::Prune),
        1 => Just(Op::Lag),
        2 => (1..5u8, any::<bool>()).prop_map(|(task, cursor)| Op::UnknownChange { task, cursor }),
        1 => any::<(bool, bool)>().prop_map(|(websocket, sse)| Op::Transports { websocket, sse }),
        1 => any::<bool>().prop_map(Op::Hidden),
        1 => any::<bool>().prop_map(Op::Offline),
        1 => any::<bool>().prop_map(Op::Disabled),
        2 => (0..100u8, 1..120u16).prop_map(|(failing, slow)| Op::Network { failing, slow }),
        2 => (0..100u8).prop_map(Op::Caching),
        1 => (0..60u8).prop_map(Op::OldInstance),
        1 => (0..3000u32).prop_map(Op::Spread),
    ]
}

/// Mostly short gaps, so that operations overlap, and some long ones.
fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..60u64, 3 => 60..800u64, 1 => 800..40_000u64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(1500), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_watched_read_model_converges_to_the_database(
        seed in any::<u64>(),
        duplex in any::<bool>(),
        ops in prop::collection::vec((gap(), op()), 0..60),
    ) {
        let mut world = World::new(seed, duplex);
        // A look at every few operations: a later change must not make good for a lost one.
        for few in ops.chunks(6) {
            for (gap, op) in few {
                world.run_for(*gap);
                world.apply(*op);
            }
            world.settle();
        }
        world.bring_tasks_home();
        world.settle();

        // A reconnect without a missed change causes no fetch, neither after a cut nor after a clean restart.
        for op in [Op::Cut, Op::Restart { lost: 0 }] {
            let before = world.fetches;
            world.apply(op);
            world.run_for(40_000);
            prop_assert_eq!(world.fetches, before, "fetched after an unchanged reconnect");
            world.check_settled();
        }

        // A burst shorter than `max_wait` causes at most two fetches of a read model.
        world.unwatch_all();
        world.apply(Op::Watch(1));
        world.run_for(5_000);
        let before = world.fetches;
        for gap in [0, 30, 45, 10, 49, 0, 20, 45, 45] {
            world.run_for(gap);
            world.apply(Op::Change { kind: 0, task: 1 });
        }
        world.run_for(5_000);
        prop_assert!(world.fetches - before <= 2, "{} fetches for one burst", world.fetches - before);
        world.check_settled();
    }
}
