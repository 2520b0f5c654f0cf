//! One test binary: real servers on port 0, real databases, real sockets.

#![allow(clippy::unwrap_used)]

mod app;
mod home;

mod layers;

mod engine;
mod simulation;

mod contract_rest;
mod database;
mod rest;
mod streams;

mod commands;
mod forwarder;
mod hooks;
mod install;
