//! One test binary.

mod engine;
mod simulation;
