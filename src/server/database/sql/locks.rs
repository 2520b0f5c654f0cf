//! The locks that one writer takes to keep the others out, on an engine with several writers.

use super::Sql;

/// Takes the lock with the name `?1` until the end of the transaction.
pub const TAKE: Sql = Sql::postgres("select pg_advisory_xact_lock(hashtextextended($1::text, 0))");
