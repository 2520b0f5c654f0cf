//! A real server, real sockets and a real database file. After any writes through the API or by SQL, and any failures
//! of the server and the network, every client shows the state of the database.
//!
//! The [simulation](crate::simulation) runs thousands of cases in simulated time, with a simulated server. This test
//! runs few cases, with the real server. `REQUERY_CASES` sets their number. The test prints its seed, and the
//! same seed in `PROPTEST_RNG_SEED` runs it again.

pub mod world;

use proptest::prelude::*;

use crate::random_cases::with_real_server;
use world::{End, Op, Sql, World, Write};

fn op() -> impl Strategy<Value = Op> {
    let viewer = || 0..World::VIEWERS;
    let model = || 0..World::MODELS;
    prop_oneof![
        10 => prop::collection::vec(write(), 1..8).prop_map(Op::Writes),
        4 => (any::<bool>(), prop::collection::vec(sql(), 1..4))
            .prop_map(|(at_once, statements)| Op::Sql { at_once, statements }),
        4 => (0..60u64).prop_map(Op::Pause),
        3 => (viewer(), model()).prop_map(|(viewer, model)| Op::Watch { viewer, model }),
        2 => (viewer(), model()).prop_map(|(viewer, model)| Op::Unwatch { viewer, model }),
        3 => viewer().prop_map(Op::Cut),
        2 => (viewer(), 0..300u64).prop_map(|(viewer, ms)| Op::Stall { viewer, ms }),
        2 => (viewer(), 0..30u64).prop_map(|(viewer, ms)| Op::Delay { viewer, ms }),
        1 => Just(Op::Restart(End::Stopped)),
        1 => Just(Op::Restart(End::Crashed)),
    ]
}

pub fn write() -> impl Strategy<Value = Write> {
    let task = || 0..World::TASKS;
    prop_oneof![
        4 => (task(), any::<bool>()).prop_map(|(task, child)| Write::Start { task, child }),
        2 => (task(), 0..4usize).prop_map(|(task, status)| Write::Status { task, status }),
        1 => task().prop_map(Write::Title),
        4 => (task(), 0..4u8).prop_map(|(task, event)| Write::Log { task, event }),
        2 => (task(), 0..4u8).prop_map(|(task, event)| Write::Update { task, event }),
        1 => (task(), 0..4u8).prop_map(|(task, event)| Write::Drop { task, event }),
        1 => task().prop_map(Write::Begin),
        1 => task().prop_map(Write::End),
        2 => task().prop_map(Write::Mark),
        1 => task().prop_map(Write::Unmark),
        1 => task().prop_map(Write::Delete),
        1 => Just(Write::Purge),
        3 => (0..3u8, 0..World::HOOKS).prop_map(|(session, hook)| Write::Hook { session, hook }),
    ]
}

pub fn sql() -> impl Strategy<Value = Sql> {
    let task = || 0..World::TASKS;
    prop_oneof![
        2 => Just(Sql::RenameAll),
        2 => task().prop_map(Sql::Insert),
        1 => task().prop_map(Sql::Replace),
        1 => task().prop_map(Sql::Delete),
        2 => (task(), 1..200u32).prop_map(|(task, events)| Sql::Log { task, events }),
        1 => task().prop_map(Sql::DropEvents),
        1 => (task(), task()).prop_map(|(task, parent)| Sql::Move { task, parent }),
        1 => task().prop_map(Sql::Project),
        1 => (1..120u32).prop_map(Sql::Many),
        1 => task().prop_map(Sql::RolledBack),
        1 => Just(Sql::Prune),
        1 => Just(Sql::UnknownKind),
    ]
}

proptest! {
    #![proptest_config(with_real_server(20, 12))]

    #[test]
    fn every_watched_read_model_converges_to_the_database(ops in prop::collection::vec(op(), 0..25)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for op in ops {
                world.apply(op).await;
            }
            world.end_faults().await;
            world.settle().await;
            world.probe().await;
            for end in [None, Some(End::Stopped), Some(End::Crashed)] {
                let before = world.request_counts();
                match end {
                    None => world.cut(),
                    Some(end) => world.restart(end).await,
                }
                world.reconnected(&before).await;
                world.probe().await;
                for request in world.requests_since(&before) {
                    assert!(
                        request.ends_with("/bookmarks") || request.ends_with("/ws") || request.ends_with("/stream"),
                        "only a bookmark changed around {end:?}, but a client sent {request}"
                    );
                }
            }
            world.end().await;
        });
    }
}
