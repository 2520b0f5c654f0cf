//! HTTP requests over a real socket: each operation and each kind of failure.

mod client;
pub use client::{Answer, Client, TASK};

mod dashboard;
mod database_errors;
mod deletions;
mod failures;
mod needs_you;
mod pages;
mod projects;
mod reads;
mod work;
mod writes;
