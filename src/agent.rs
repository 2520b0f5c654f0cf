//! Coding agents as the command line and the server both know them: their names, their processes, the files in
//! which their sessions say their status, and the spool of their hooks.
//!
//! No database and no network: the forwarder runs this code inside an agent's hook.

pub mod runtime;

pub mod name;

pub mod hook_catalogue;

pub mod process;

pub mod session_file;

pub mod host;

pub mod spool;

pub mod checksum;
