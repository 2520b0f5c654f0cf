#!/usr/bin/env bash
# Everything that has to hold: format, lints, documents, features, tests. Installs what the tests need where it may.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests write databases from another process as a person would, with the `sqlite3` program.
if ! command -v sqlite3 >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends sqlite3 >/dev/null
  else
    echo "test.sh: the tests need the sqlite3 program (apt-get install sqlite3, brew install sqlite)" >&2
    exit 1
  fi
fi

for component in rustfmt clippy; do
  if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
    rustup component add "$component"
  fi
done

# Where checkouts come and go, what was compiled stays.
if [ "${CI:-}" = true ]; then
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/requery/target}"
fi

say() { printf '\n== %s\n' "$*"; }

say "format"
cargo fmt --all -- --check

say "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings

say "features: the core alone, the client alone"
cargo check --lib --no-default-features --quiet
cargo check --lib --no-default-features --features client --quiet

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

say "tests"
cargo test --workspace --quiet -- --skip forwarder::

# A hook gives up after a quarter of a second, so these have the machine to themselves.
say "tests of what ends by the clock"
cargo test --test it --quiet -- forwarder:: --test-threads 1

say "all passed"
