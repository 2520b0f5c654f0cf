#!/bin/sh
# Runs the property tests with many more cases than `cargo test` does, in the simulation and against a real server.
#
# A failure prints the smallest failing case and, for the real server, the seed that reproduces the case.
#
#   scripts/nightly.sh [CASES_IN_THE_SIMULATION] [CASES_WITH_A_REAL_SERVER]
set -eu
cd "$(dirname "$0")/.."
simulated=${1:-200000}
real=${2:-1000}

REQUERY_CASES="$simulated" cargo test --locked --test it -- simulation::
REQUERY_CASES="$real" cargo test --locked --test it -- --test-threads 1 property:: story::
