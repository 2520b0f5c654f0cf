//! The contract against a real server: the frames that each write sends on both streams, for requests and for plain
//! SQL.
//!
//! A test is a table of writes and their frames. After each write the test writes a sentinel and compares all frames up
//! to the sentinel, so a frame that is not listed fails the test.

mod wire;
use wire::{Wire, id};

mod notices;

mod details;

mod envelope;

mod frames;

mod columns;

mod cascades;

mod conflicts;

mod counts;

mod kept;

mod needs_you;

mod trees;

mod commits;

mod log;

mod figures;

mod window;
