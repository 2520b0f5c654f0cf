//! One test binary: real servers on port 0, real databases, real sockets.

#![allow(clippy::unwrap_used)]

mod app;

mod layers;

mod database;
mod streams;
