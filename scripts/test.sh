#!/usr/bin/env bash
# All checks: format, lints, features, documentation, tests. As root on a system with apt-get it installs sqlite3.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests write databases from another process, with the `sqlite3` program.
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

# A CI machine makes a new checkout for each run, so the compiled dependencies stay outside of it.
if [ "${CI:-}" = true ]; then
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/requery/target}"
fi

say() { printf '\n== %s\n' "$*"; }

say "format"
cargo fmt --all -- --check

say "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings

say "features: the core alone, then the client alone"
cargo check --lib --no-default-features --quiet
cargo check --lib --no-default-features --features client --quiet

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

say "tests"
cargo test --workspace --quiet -- --skip forwarder::

# A hook gives up after a quarter of a second, so these tests run alone and one after the other.
say "tests that measure time"
cargo test --test it --quiet -- forwarder:: --test-threads 1

say "all passed"
