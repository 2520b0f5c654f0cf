//! Tests that run on Postgres whichever engine the environment names.

mod faults;
mod grants;
mod harness;
mod lease;
mod order;
mod pgbouncer;
mod replica;
mod replicas;
mod session;
mod standby;
