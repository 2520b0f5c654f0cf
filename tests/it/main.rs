//! One test binary: real servers on port 0, real databases, real sockets.

#![allow(clippy::unwrap_used)]

mod app;
mod home;
mod process;
mod proxy;
mod sources;
mod viewer;

mod crates;
mod layers;
mod lengths;
mod names;
mod page_names;
mod sql_home;

mod engine;
mod simulation;

mod contract;
mod contract_page;
mod contract_rest;
mod database;
mod feed;
mod file_check;
mod lost_tail;
mod moves;
mod rest;
mod schema;
mod search;
mod streams;
mod transactions;

mod commands;
mod examples;
mod forwarder;
mod hooks;
mod import;
mod install;

mod property;
mod story;
