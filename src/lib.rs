//! Requery keeps every open screen true.
//!
//! Many writers change a database, and many people watch it on many screens. Requery tells each screen *that* a change
//! happened and where. After a short debounce the screen fetches only the affected read models again, over REST.
//!
//! Read the modules in this order: `protocol` is the wire, `engine` the client's rules without I/O. `client` and
//! `server` are the two sides that do the I/O. The modules `protocol`, `engine` and `client` are the stable interface.

pub mod protocol;

pub mod engine;

#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "server")]
#[doc(hidden)]
pub mod agent;

#[cfg(feature = "server")]
pub mod server;

/// Compiles the examples of the README.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
