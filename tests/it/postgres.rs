//! Tests that run on Postgres whichever engine the environment names.

mod harness;
