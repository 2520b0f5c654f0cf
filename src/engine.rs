//! The core without I/O.

pub mod invalidation;
