#!/usr/bin/env bash
# Runs all checks: format, lints, features, documentation and tests. Installs missing tools if it has the permission.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests use the program `sqlite3` to write to a database from another process, as a person might.
if ! command -v sqlite3 >/dev/null && ! scripts/apt-install sqlite3; then
  echo "test.sh: the tests need the sqlite3 program (apt-get install sqlite3, brew install sqlite)" >&2
  exit 1
fi

# A part of the tests also runs on Postgres 15 or later. Debian has its programs outside of the PATH.
has_postgres() { command -v psql >/dev/null && { command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1; }
if ! has_postgres && ! scripts/apt-install postgresql; then
  echo "test.sh: the tests need Postgres 15 or later (apt-get install postgresql, brew install postgresql@17)" >&2
  exit 1
fi

# Some of these tests run servers behind PgBouncer. Debian has it in a folder that is not in the PATH of every user.
has_pgbouncer() { command -v pgbouncer || ls /usr/sbin/pgbouncer /usr/local/sbin/pgbouncer 2>/dev/null; }
if [ -z "$(has_pgbouncer)" ] && ! scripts/apt-install pgbouncer; then
  echo "test.sh: the tests need PgBouncer (apt-get install pgbouncer, brew install pgbouncer)" >&2
  exit 1
fi

# One of these tests runs an example with nginx. Debian has it in a folder that is not in the PATH of every user.
has_nginx() { command -v curl >/dev/null && { command -v nginx || ls /usr/sbin/nginx /usr/local/sbin/nginx 2>/dev/null; }; }
if [ -z "$(has_nginx)" ] && ! scripts/apt-install nginx-light curl; then
  echo "test.sh: the tests need nginx and curl (apt-get install nginx-light curl, brew install nginx)" >&2
  exit 1
fi

# One of these tests moves the clock of Postgres, which only works on Linux.
has_faketime() {
  for folder in /usr/lib/*/faketime /usr/lib /usr/lib64 /usr/local/lib; do
    if [ -e "$folder/libfaketime.so.1" ]; then return 0; fi
  done
  return 1
}
if [ "$(uname)" = Linux ] && ! has_faketime && ! scripts/apt-install libfaketime; then
  echo "test.sh: the tests need libfaketime (apt-get install libfaketime)" >&2
  exit 1
fi

for component in rustfmt clippy; do
  if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
    rustup component add "$component"
  fi
done

# A CI run starts from a fresh checkout. The compiled dependencies stay in a folder outside of it.
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

say "prose"
scripts/word-measure --max 1.0

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# A hook gives up after a quarter of a second, the check of a file must delay no notice, and a supervisor takes a server
# for gone after a second. Tests that run at the same time could slow all three down, so these run alone.
deadlines="forwarder:: late_hooks:: file_check:: streams::load::"

# The suites that run on both engines. The tests below `postgres` need no engine to be named, so they run with all others.
# scripts/nightly.sh runs more of them.
on_postgres="contract:: story:: property:: own_writes:: since::"

# Some tests send SIGHUP. A script that `nohup` started ignores it, and its children inherit that.
hangup=()
if env --default-signal=HUP true 2>/dev/null; then
  hangup=(env --default-signal=HUP)
fi

say "tests"
# Most tests wait for a server and not for a core.
threads=$((3 * $(getconf _NPROCESSORS_ONLN)))
# shellcheck disable=SC2046,SC2086
${hangup[@]+"${hangup[@]}"} cargo test --workspace --quiet -- $(printf -- '--skip %s ' $deadlines) \
  --test-threads "$threads"

say "tests on Postgres"
# shellcheck disable=SC2046,SC2086
REQUERY_TEST_DATABASE=postgres cargo test --test it --quiet -- $on_postgres $(printf -- '--skip %s ' $deadlines) \
  --test-threads "$threads"

say "tests with deadlines, one at a time"
# shellcheck disable=SC2086
cargo test --test it --quiet -- $deadlines --test-threads 1

say "web"
REQUERY_BINARY="${CARGO_TARGET_DIR:-$PWD/target}/debug/requery" scripts/web-test

say "all checks passed"
