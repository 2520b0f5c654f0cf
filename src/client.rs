//! The client: keeps what somebody watches as it is on the server.
//!
//! [`Client::connect`] starts a task that drives the [engine](crate::engine): it opens a stream (WebSocket, or
//! server-sent events where upgrades do not get through), fetches over REST and keeps the newest body of each read
//! model. [`Client::watch`] hands out a [`WatchHandle`]: always the newest [`View`], never a queue of them, so that nothing
//! waits for a reader and nothing grows.
//!
//! What is absent: rules. When to ask again, when to reconnect and what to believe is the engine's matter.

mod config;
mod driver;
mod fetch;
mod store;
mod stream;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub use crate::engine::{Status, Why};
pub use config::{ClientConfig, ConnectError};
pub use store::WatchHandle;
pub use view::{Body, View, ViewState};

use crate::protocol::ReadModel;
use store::Store;

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
    pub fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        let address = config::address(&config.server).ok_or_else(|| ConnectError::Address(config.server.clone()))?;
        let http = fetch::http().map_err(ConnectError::Http)?;
        let store = Arc::new(Store::default());
        let (sender, status) = watch::channel(Status::Connecting);
        let started = Instant::now();
        let endpoint = fetch::ServerEndpoint { http, address, project: config.project };
        let driver = driver::Driver::new(endpoint, config.settings, Arc::clone(&store), sender, started);
        Ok(Self { store, status, started, _driver: AbortOnDropHandle::new(tokio::spawn(driver.run())) })
    }

    /// Looks at `model` until the handle is dropped.
    pub fn watch(&self, model: ReadModel) -> WatchHandle {
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
