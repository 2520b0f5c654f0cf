//! The contract, held against a real server: what each write is told as, on both streams, whoever writes.
//!
//! A test is a table of writes and the frames they give. Everything between a write and the sentinel written after it
//! is compared, so nothing may come that is not listed.

mod wire;
use wire::{Wire, id};

mod notices;

mod frames;

mod columns;

mod cascades;

mod conflicts;

mod commits;

mod log;

mod window;
