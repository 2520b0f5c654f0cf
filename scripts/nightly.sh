#!/bin/sh
# The random tests with many more cases than `cargo test` runs: the simulation, then the tests against a real server.
#
#   scripts/nightly.sh [CASES OF THE SIMULATION] [CASES AGAINST A REAL SERVER]
#
# A failure prints the smallest case that was found. A case against the real server also prints the seed that runs it
# again.
set -eu
cd "$(dirname "$0")/.."
simulated=${1:-200000}
real=${2:-1000}

REQUERY_CASES="$simulated" cargo test --locked --test it -- simulation::
REQUERY_CASES="$real" cargo test --locked --test it -- --test-threads 1 property:: story::
