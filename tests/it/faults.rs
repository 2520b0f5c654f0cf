//! The fault run: a real server, real writers and real screens, while the disk fails, files move, copies are restored
//! and clocks step.
//!
//! After each fault the world settles, and then these must hold:
//!
//! 1. The database has every acknowledged write, except the writes that the fault threw away on purpose. Every hook
//!    that an agent forwarded is stored too.
//! 2. Every screen shows the answers of the server, and these equal the database as `sqlite3` reads it.
//! 3. No screen ever showed less than the cursor beside it contains.
//! 4. The server never ended by itself, `/readyz` told the truth, and the log has a line for each outage.
//! 5. No process and no mount is left.
//!
//! `scripts/nightly.sh` runs random faults in random order. `REQUERY_CASES` sets the number of cases, the test prints
//! its seed, and the same seed in `PROPTEST_RNG_SEED` runs it again. `REQUERY_FAULTS_PROGRAM` names another build to
//! test. A line for each fault says how long it took: `cargo test --test it -- --nocapture faults::`.

mod claims;
mod clock;
mod fault;
mod ledger;
mod server;
mod world;
mod writers;

use proptest::prelude::*;

use crate::io_faults::IoFault;
use crate::random_cases::with_real_server;
use fault::{Copied, Fault, Name, Restore};
use world::World;

/// Every kind of fault, with the variants that differ most.
fn every_fault() -> Vec<Fault> {
    let io = |call, error, path_end| Fault::Io(IoFault { call, error, path_end, skip: 0, times: 0 });
    let restored = |way, copy| Fault::Restored { way, copy };
    vec![
        Fault::DiskFull,
        io("write", "EIO", "requery.db-wal"),
        io("write", "ENOSPC", "requery.db"),
        io("sync", "EIO", "requery.db"),
        io("read", "EIO", "requery.db"),
        io("open", "EACCES", "requery.db"),
        Fault::Killed { hidden: false },
        Fault::Stopped { hidden: true },
        Fault::MovedAway,
        restored(Restore::MovedUnderServer, Copied::JustBefore),
        restored(Restore::ThroughSqlite, Copied::JustBefore),
        restored(Restore::MovedWhileStopped, Copied::JustBefore),
        restored(Restore::MovedBesideOldWal, Copied::AtTheBeginning),
        restored(Restore::CopiedOver, Copied::JustBefore),
        Fault::SecondServer(Name::Same),
        Fault::SecondServer(Name::SymbolicLink),
        Fault::SecondServer(Name::HardLink),
        Fault::WalRemoved { killed: false },
        Fault::WalRemoved { killed: true },
        Fault::PowerCut { left: 60 },
        Fault::StampedAhead,
        Fault::ClockStepped { days: 10, restarted: true },
        Fault::ClockStepped { days: -10, restarted: true },
        Fault::Sequence("'many'"),
        Fault::Sequence("2.5"),
        Fault::Forgotten { changes: false },
        Fault::Forgotten { changes: true },
        Fault::Pruned { left: 0 },
        Fault::Rebuilt("tasks"),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let error = prop::sample::select(vec!["EIO", "ENOSPC", "EACCES"]);
    // A call that the server makes, and how often at least while the fault run waits for it.
    let call = prop::sample::select(vec![
        ("write", "requery.db-wal", 20),
        ("write", "requery.db", 20),
        ("read", "requery.db-wal", 20),
        ("read", "requery.db", 20),
        ("sync", "requery.db-wal", 2),
        ("sync", "requery.db", 2),
        ("truncate", "requery.db", 2),
        ("open", "requery.db", 8),
        ("open", "requery.db-wal", 4),
        ("open", "requery.db-shm", 1),
    ]);
    let io = (call, error, any::<prop::sample::Index>(), 0..20u32).prop_map(
        |((call, path_end, calls), error, skip, times)| IoFault {
            call,
            error,
            path_end,
            skip: skip.index(calls) as u32,
            times,
        },
    );
    let way = prop::sample::select(vec![
        Restore::MovedUnderServer,
        Restore::ThroughSqlite,
        Restore::MovedWhileStopped,
        Restore::MovedBesideOldWal,
        Restore::CopiedOver,
    ]);
    let copy = prop::sample::select(vec![Copied::AtTheBeginning, Copied::JustBefore]);
    prop_oneof![
        6 => prop::sample::select(every_fault()),
        3 => io.prop_map(Fault::Io),
        2 => (way, copy).prop_map(|(way, copy)| Fault::Restored { way, copy }),
        1 => any::<bool>().prop_map(|hidden| Fault::Killed { hidden }),
        1 => any::<bool>().prop_map(|hidden| Fault::Stopped { hidden }),
        1 => (0..100u64).prop_map(|left| Fault::PowerCut { left }),
        1 => prop::sample::select(vec!["null", "'many'", "2.5", "-1", "9223372036854775807", "x'00'", "seq + 100000"])
            .prop_map(Fault::Sequence),
        1 => any::<bool>().prop_map(|changes| Fault::Forgotten { changes }),
        1 => (0..20u32).prop_map(|left| Fault::Pruned { left }),
        1 => (-400..400i64, any::<bool>()).prop_map(|(days, restarted)| Fault::ClockStepped { days, restarted }),
        1 => prop::sample::select(vec!["tasks", "events", "bookmarks", "sessions"]).prop_map(Fault::Rebuilt),
    ]
}

fn run(faults: &[Fault]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        println!("{} faults: {faults:?}", faults.len());
        let mut world = World::new().await;
        for fault in faults {
            world.suffer(fault).await;
        }
        world.end().await;
    });
}

/// All faults in an order that the seed gives.
fn in_random_order(seed: u64) -> Vec<Fault> {
    let mut faults = every_fault();
    fastrand::Rng::with_seed(seed).shuffle(&mut faults);
    faults
}

#[test]
fn the_first_half_of_all_faults_heals() {
    let faults = in_random_order(1);
    run(&faults[..faults.len() / 2]);
}

#[test]
fn the_second_half_of_all_faults_heals() {
    let faults = in_random_order(1);
    run(&faults[faults.len() / 2..]);
}

proptest! {
    #![proptest_config(with_real_server(1, 8))]

    #[test]
    #[ignore = "a case takes half a minute: scripts/nightly.sh runs many"]
    fn random_faults_heal_in_any_order(faults in prop::collection::vec(fault(), 1..15)) {
        run(&faults);
    }
}

/// Each fault alone, or the faults that `REQUERY_FAULT` names, in its order and in one world.
#[test]
#[ignore = "for a look at single faults: REQUERY_FAULT=Killed,MovedAway"]
fn chosen_faults_heal() {
    if let Ok(words) = std::env::var("REQUERY_FAULT") {
        let named = |word: &str| {
            let word = word.to_owned();
            every_fault().into_iter().filter(move |fault| format!("{fault:?}").contains(&word))
        };
        return run(&words.split(',').flat_map(named).collect::<Vec<_>>());
    }
    let mut failed = Vec::new();
    for fault in every_fault() {
        println!("== {fault:?}");
        if std::panic::catch_unwind(|| run(std::slice::from_ref(&fault))).is_err() {
            failed.push(fault);
        }
    }
    assert!(failed.is_empty(), "these did not heal: {failed:#?}");
}
