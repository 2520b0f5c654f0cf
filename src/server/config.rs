//! The settings of a server: one struct, passed down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;

use super::agents::SilenceLimits;
use super::database::{Location, READ_CACHE};
use super::error::RunError;
use crate::protocol::limits;

/// The settings of one server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The database file.
    pub database: Location,
    /// Host names that the server answers to besides its own addresses, without a port.
    pub allow_hosts: Vec<String>,
    /// Other origins whose pages may send requests, as a browser writes them: `https://example.org`.
    pub allow_origins: Vec<String>,
    /// Allows an address that other machines can reach. The server has no authentication: each client that reaches it
    /// can read and write all rows.
    pub insecure_no_auth: bool,
    /// Time between heartbeats, 25 s. Most proxies close a connection that was silent for 60 s: two heartbeats fit into
    /// that time.
    pub heartbeat: Duration,
    /// How long notices are held back to be merged, 40 ms: too short for a person to see.
    pub window: Duration,
    /// How long other programs must not have written before the server does work in the background, 250 ms: longer than
    /// a script pauses between two runs of `sqlite3`, and shorter than a person waits for a search to find a new row.
    pub background_pause: Duration,
    /// How often the whole file is checked for damage while it is written, 30 s: a check of 64 MiB takes a core for a
    /// second.
    pub file_check_interval: Duration,
    /// How often the schema of Postgres is compared with ours, 5 s. A program that drops a trigger keeps every screen stale
    /// until then.
    pub schema_check_interval: Duration,
    /// How long the change log is kept, 7 days: a laptop that was closed over a holiday still resumes.
    pub retention: Duration,
    /// The memory for answers to reads, in bytes, 64 MiB: an overview of a few KB for each of 1,000 projects, the
    /// details of 1,000 open tasks, and as much again compressed.
    pub read_cache: u64,
    /// The length up to which an answer whose older form is in memory is sent whole to a caller that asks for its
    /// changes, in bytes of JSON, 1 KiB: it takes one statement, and its changes take four.
    pub short_answer: usize,
    /// How many streams may be open at once, 10,000. That many streams need about 60 MB of memory.
    pub max_streams: usize,
    /// How long an agent may be silent before its task is flagged stale, and before the task is given up as lost: 30
    /// minutes and 24 hours.
    pub silence_limits: SilenceLimits,
    /// The folder of the spool, in which hooks leave records that they could not deliver. The server takes in the
    /// records for its own address. Default: no spool.
    pub spool: Option<PathBuf>,
    /// The folder in which each running session of Claude Code keeps a file with its status. The server reads the files
    /// of its own user and machine, and never writes there. Default: no folder.
    pub session_files: Option<PathBuf>,
}

impl ServerConfig {
    /// The default settings for a database.
    pub fn new(database: Location) -> Self {
        Self {
            database,
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            insecure_no_auth: false,
            heartbeat: limits::HEARTBEAT,
            window: limits::WINDOW,
            background_pause: Duration::from_millis(250),
            file_check_interval: Duration::from_secs(30),
            schema_check_interval: Duration::from_secs(5),
            retention: limits::CHANGE_LOG_AGE,
            read_cache: READ_CACHE,
            short_answer: 1024,
            max_streams: limits::STREAMS,
            silence_limits: SilenceLimits::default(),
            spool: None,
            session_files: None,
        }
    }

    /// The address of `listener`, if the settings allow it. Checked before the database is opened, since opening
    /// creates a missing file.
    pub fn admit(&self, listener: &TcpListener) -> Result<SocketAddr, RunError> {
        let address = listener.local_addr()?;
        if self.admits(address) { Ok(address) } else { Err(RunError::Exposed(address)) }
    }

    /// Whether the server may listen on `address`: on loopback always, elsewhere only with `insecure_no_auth`.
    pub fn admits(&self, address: SocketAddr) -> bool {
        address.ip().is_loopback() || self.insecure_no_auth
    }
}
