//! Coding agents: what their hooks, their transcripts and their silence say, written through the verbs of `ingest`.

pub mod hooks;
pub mod silence;
pub mod spool_intake;
pub mod transcripts;
