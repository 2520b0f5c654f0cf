//! Tests that run on Postgres whichever engine the environment names.

mod agents;
mod applied;
mod bell;
mod conflicts;
mod example;
mod faults;
mod grants;
mod harness;
mod lease;
mod order;
mod outages;
mod pgbouncer;
mod replica;
mod replicas;
mod schema;
mod session;
mod standby;
mod tls;
mod world;
