//! The client: keeps what somebody watches as it is on the server.
//!
//! [`Client::connect`] starts a task that drives the [engine](crate::engine): it opens a stream (WebSocket, or
//! server-sent events where upgrades do not get through), fetches over REST and keeps the newest body of each read
//! model. [`Client::watch`] hands out a [`Watch`]: always the newest [`View`], never a queue of them, so that nothing
//! waits for a reader and nothing grows.
//!
//! What is absent: rules. When to ask again, when to reconnect and what to believe is the engine's matter.

mod driver;
mod fetch;
mod sse;
mod store;
mod transport;
mod ws;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub use crate::engine::{Status, Why};
pub use store::{Body, State, View, Watch};

use crate::engine::EngineSettings;
use crate::protocol::ReadModel;
use store::Store;

/// What to connect to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server is: `http://127.0.0.1:7373`, perhaps with a path.
    pub server: String,
    /// One project; none is all of them.
    pub project: Option<String>,
    /// How patient to be.
    pub settings: EngineSettings,
}

impl Config {
    /// All projects of the server at this address.
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), project: None, settings: EngineSettings::default() }
    }
}

/// Why there is nothing to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("{0:?} is not the address of a server (expected for example http://127.0.0.1:7373)")]
    Address(String),
    /// The HTTP client could not be made.
    #[error("could not set up HTTP")]
    Http(#[source] reqwest::Error),
}

/// A connection to a server, and what is held of it. Ends when dropped.
#[derive(Debug)]
pub struct Client {
    store: Arc<Store>,
    status: watch::Receiver<Status>,
    started: Instant,
    _driver: AbortOnDropHandle<()>,
}

impl Client {
    /// Begins to connect, and goes on doing so: a server that is away is no error but a [`Status`].
    ///
    /// Must be called within a tokio runtime.
    pub fn connect(config: Config) -> Result<Self, ConnectError> {
        let address = address(&config.server).ok_or_else(|| ConnectError::Address(config.server.clone()))?;
        let http = fetch::http().map_err(ConnectError::Http)?;
        let store = Arc::new(Store::default());
        let (sender, status) = watch::channel(Status::Connecting);
        let started = Instant::now();
        let target = fetch::Target { http, address, project: config.project };
        let driver = driver::Driver::new(target, config.settings, Arc::clone(&store), sender, started);
        Ok(Self { store, status, started, _driver: AbortOnDropHandle::new(tokio::spawn(driver.run())) })
    }

    /// Looks at `model` until the handle is dropped.
    pub fn watch(&self, model: ReadModel) -> Watch {
        Store::watch(&self.store, model)
    }

    /// How things stand with the server.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// How long until the next try to connect, while there is one to wait for.
    pub fn until_next_try(&self) -> Option<Duration> {
        match &*self.status.borrow() {
            Status::Reconnecting { next_try: Some(at) } => Some(at.saturating_sub(self.started.elapsed())),
            _ => None,
        }
    }

    /// Wakes whenever the status or anything that is watched changed.
    pub fn changes(&self) -> Changes {
        Changes { store: self.store.revision(), status: self.status.clone() }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.store.close();
    }
}

/// Wakes whenever something changed; several changes may be one.
#[derive(Debug)]
pub struct Changes {
    store: watch::Receiver<u64>,
    status: watch::Receiver<Status>,
}

impl Changes {
    /// Waits for the next change. Says `false` once the client is gone.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            changed = self.store.changed() => changed.is_ok(),
            changed = self.status.changed() => changed.is_ok(),
        }
    }
}

/// The address with a path that others can be put behind.
fn address(text: &str) -> Option<Url> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&text).ok().filter(|url| url.scheme() == "http" && url.has_host())?;
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses() {
        let check = |text, expected: Option<&str>| assert_eq!(address(text).as_ref().map(|url| url.as_str()), expected);
        check("http://127.0.0.1:7373", Some("http://127.0.0.1:7373/"));
        check("localhost:7373", Some("http://localhost:7373/"));
        check("http://proxy/requery?x=1#y", Some("http://proxy/requery/"));
        check("https://example.org", None);
        check("", None);
        check("http://", None);
    }
}
