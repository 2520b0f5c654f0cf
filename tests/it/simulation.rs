//! A server, a network and an engine in simulated time: whatever happens between them, once it ends every watched read
//! model that is held is what the database holds.
//!
//! The server keeps a change log with runs, loses its tail now and then, prunes, conflates, lags; the network cuts
//! connections (or lets them look alive), delays, fails and answers from caches. Nothing here sleeps or reads a clock.

mod server;
mod world;

use proptest::prelude::*;
use world::{Op, World};

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..6u8, 1..5u8).prop_map(|(kind, task)| Op::Change { kind, task }),
        3 => (0..6u8).prop_map(Op::Watch),
        2 => (0..6u8).prop_map(Op::Unwatch),
        2 => Just(Op::Cut),
        1 => Just(Op::HalfOpen),
        1 => Just(Op::Restart { lost: 0 }),
        1 => (1..4u8).prop_map(|lost| Op::Restart { lost }),
        1 => Just(Op::Prune),
        1 => Just(Op::Lag),
        1 => Just(Op::Strange),
        1 => any::<bool>().prop_map(Op::Hidden),
        1 => any::<bool>().prop_map(Op::Offline),
        1 => any::<bool>().prop_map(Op::Disabled),
        2 => (0..100u8, 1..120u16).prop_map(|(failing, slow)| Op::Network { failing, slow }),
        2 => (0..100u8).prop_map(Op::Caching),
        1 => (0..3000u32).prop_map(Op::Spread),
    ]
}

/// Mostly short gaps, so that things meet; sometimes long ones.
fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..60u64, 3 => 60..800u64, 1 => 800..40_000u64]
}

/// How many cases are tried: as many as `REQUERY_CASES` says.
pub fn cases(otherwise: u32) -> u32 {
    std::env::var("REQUERY_CASES").map_or(otherwise, |cases| cases.parse().expect("REQUERY_CASES is a number"))
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
        for (gap, op) in ops {
            world.run_for(gap);
            world.apply(op);
        }
        world.mend();
        world.run_for(200_000);
        world.check_settled();

        // A reconnect that missed nothing asks for nothing, be it after a cut or a clean restart.
        for op in [Op::Cut, Op::Restart { lost: 0 }] {
            let before = world.asked;
            world.apply(op);
            world.run_for(40_000);
            prop_assert_eq!(world.asked, before, "fetched after an unchanged reconnect");
            world.check_settled();
        }

        // A burst shorter than max wait costs at most two fetches of each read model.
        world.unwatch_all();
        world.apply(Op::Watch(1));
        world.run_for(5_000);
        let before = world.asked;
        for gap in [0, 30, 45, 10, 49, 0, 20, 45, 45, 45, 40] {
            world.run_for(gap);
            world.apply(Op::Change { kind: 0, task: 1 });
        }
        world.run_for(5_000);
        prop_assert!(world.asked - before <= 2, "{} fetches for one burst", world.asked - before);
        world.check_settled();
    }
}
