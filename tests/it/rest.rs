//! REST over a real socket: every operation, every kind of failure.

mod client;
pub use client::{Answer, Client, TASK};

mod failures;
mod pages;
mod reads;
mod writes;
