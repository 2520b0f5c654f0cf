//! Requery keeps every open screen true.
//!
//! Many writers change a database; many people watch on many screens. Requery tells each screen *that* something
//! changed and where; the screen asks for just that again, over REST, after a short debounce.
//!
//! Read the modules in this order: the wire, the core without I/O, then the two sides that drive it.

pub mod protocol;

pub mod engine;

#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "server")]
pub mod agent;

#[cfg(feature = "server")]
pub mod server;

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
