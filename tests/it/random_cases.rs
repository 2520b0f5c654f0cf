//! The number of random cases, and the seed that repeats them.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// The number of cases, from the environment variable `REQUERY_CASES` if it is set.
pub fn cases(otherwise: u32) -> u32 {
    std::env::var("REQUERY_CASES").map_or(otherwise, |cases| cases.parse().expect("REQUERY_CASES is a number"))
}

/// The settings of a test against a real server. The test prints its seed. Such a case takes seconds and a failing one
/// runs into its time limits, so few attempts are made to shrink it.
pub fn with_real_server(otherwise: u32, most_shrinks: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(fastrand::u64(..)),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    eprintln!("PROPTEST_RNG_SEED={rng_seed}");
    let max_shrink_iters = config.max_shrink_iters.min(most_shrinks);
    ProptestConfig { cases: cases(otherwise), failure_persistence: None, max_shrink_iters, rng_seed, ..config }
}
