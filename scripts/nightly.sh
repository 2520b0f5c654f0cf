#!/bin/sh
# Runs the property tests with many more cases than `cargo test` does, in the simulation and against a real server, and
# the fault run with random faults: full disks, failing calls, moved files, restored copies, stepped clocks.
#
# Then it looks for ten minutes at views behind a faulty network (a view that is called fresh has to be fresh), runs 5,000
# hooks on a busy machine (none may be lost), breaks each rule of a client once, and measures the size of the engine in a
# browser.
#
# The property tests and further suites run on Postgres too, and a transaction stays open for a minute.
#
# The recordings of agents are replayed with other speeds and orders, with repetitions and restarts.
#
# A failure prints the smallest failing case and, for the real server, the seed that reproduces the case.
#
# A case of the fault run has up to 14 faults and takes about half a minute. Only root can fill a disk.
#
#   scripts/nightly.sh [CASES_IN_THE_SIMULATION] [CASES_WITH_A_REAL_SERVER] [CASES_WITH_FAULTS]
set -eu
cd "$(dirname "$0")/.."
simulated=${1:-200000}
real=${2:-1000}
faults=${3:-200}

REQUERY_CASES="$simulated" cargo test --locked --test it -- simulation::
REQUERY_CASES="$real" cargo test --locked --test it -- --test-threads 1 property:: story::
REQUERY_CASES="$real" REQUERY_TEST_DATABASE=postgres cargo test --locked --test it -- --test-threads 1 property:: story::
REQUERY_TEST_DATABASE=postgres cargo test --locked --test it -- rest:: search:: streams:: scopes:: read_cache::
REQUERY_CASES="$real" cargo test --locked --test it -- hooks::orders:: hooks::replays::
REQUERY_CASES="$faults" cargo test --locked --test it -- --test-threads 1 --ignored --nocapture faults::random
cargo test --locked --test it -- --ignored --nocapture postgres::
cargo test --locked --test it -- --test-threads 1 --ignored --nocapture freshness::
cargo test --locked --test it -- --test-threads 1 --ignored --nocapture late_hooks::
scripts/mutate-rules
scripts/web-engine
