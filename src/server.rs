//! The server: one port for REST, streams and the documents.
//!
//! A write goes through [`database`] in one transaction; the database's own triggers append to its log. [`change_log`]
//! tails that log, [`hub`] merges what it finds for a short window and hands it to every [`feed`], and [`ws`] and
//! [`sse`] write a feed to a socket. No code here publishes a notice: what is sent always comes from the log.

pub mod database;

pub mod error;

pub mod ingest;

pub mod read;

pub mod http;
