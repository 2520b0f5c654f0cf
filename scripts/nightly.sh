#!/bin/sh
# The long forms of what `cargo test` does in short: many more days in the simulation, and against a real server.
#
# A failure names the smallest case that was found and, for the real server, the seed to run it again with.
set -eu
cd "$(dirname "$0")/.."
simulated=${1:-200000}
real=${2:-1000}

cargo test --locked --release --test it --no-run
REQUERY_CASES="$simulated" cargo test --locked --release --test it -- simulation::
REQUERY_CASES="$real" cargo test --locked --release --test it -- --test-threads 1 property:: story::
