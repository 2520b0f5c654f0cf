//! The settings of a server: one struct, passed down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;

use super::agents::SilenceLimits;
use super::database::Location;
use super::error::RunError;
use crate::protocol::limits;

/// What a server is told.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The database file.
    pub database: Location,
    /// Names under which the server may be asked for besides its own addresses, without a port.
    pub allow_hosts: Vec<String>,
    /// Pages of other origins that may ask, as a browser writes them: `https://example.org`.
    pub allow_origins: Vec<String>,
    /// Serve addresses that others can reach although anyone who can may read and write everything.
    pub insecure_no_auth: bool,
    /// Time between heartbeats, 25 s. Under the 60 s after which most proxies cut what is silent, twice over.
    pub heartbeat: Duration,
    /// How long notices are held back to be merged, 40 ms: less than a person notices.
    pub window: Duration,
    /// How long the change log is kept, 7 days: a laptop closed over a holiday still continues where it was.
    pub retention: Duration,
    /// How many streams may be open at once, 10,000: some 60 MB of them.
    pub max_streams: usize,
    /// For how long an agent may be silent before its task is flagged stale, and before it is given up: 30 minutes and
    /// 24 hours.
    pub silence_limits: SilenceLimits,
    /// Folder in which hooks leave what they could not deliver, none: what is left for this address is taken in.
    pub spool: Option<PathBuf>,
}

impl ServerConfig {
    /// The defaults, for a database.
    pub fn new(database: Location) -> Self {
        Self {
            database,
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            insecure_no_auth: false,
            heartbeat: limits::HEARTBEAT,
            window: Duration::from_millis(40),
            retention: Duration::from_secs(7 * 24 * 3600),
            max_streams: limits::STREAMS,
            silence_limits: SilenceLimits::default(),
            spool: None,
        }
    }

    /// The address of `listener`, if the server may answer there. Asked before a database is opened, since opening makes
    /// a missing file.
    pub fn admit(&self, listener: &TcpListener) -> Result<SocketAddr, RunError> {
        let address = listener.local_addr()?;
        if self.admits(address) { Ok(address) } else { Err(RunError::Exposed(address)) }
    }

    /// Whether the server may answer at `address`: on loopback, or anywhere with `insecure_no_auth`.
    pub fn admits(&self, address: SocketAddr) -> bool {
        address.ip().is_loopback() || self.insecure_no_auth
    }
}
