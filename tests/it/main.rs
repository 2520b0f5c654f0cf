//! One test binary: real servers on port 0, real databases, real sockets.

#![allow(clippy::unwrap_used)]

mod app;
mod cluster;
mod home;
mod io_faults;
mod process;
mod proxy;
mod random_cases;
mod screens;
mod small_disk;
mod sources;
mod store;
mod viewer;

mod crates;
mod layers;
mod lengths;
mod mutations;
mod names;
mod page_names;
mod sql_home;
mod wasm_doors;

mod engine;
mod simulation;

mod audience;
mod background;
mod client;
mod contract;
mod contract_page;
mod contract_rest;
mod copy;
mod database;
mod durability;
mod failed_reads;
mod feed;
mod file_check;
mod journals;
mod lost_tail;
mod metrics;
mod misbehaving;
mod moves;
mod own_writes;
mod plans;
mod postgres;
mod rest;
mod schema;
mod scopes;
mod search;
mod since;
mod stored_text;
mod streams;
mod transactions;

mod commands;
mod examples;
mod faults;
mod forwarder;
mod freshness;
mod hooks;
mod import;
mod install;
mod late_hooks;
mod settings;
mod watch;

mod property;
mod read_cache;
mod story;
