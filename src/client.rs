//! The client: keeps local copies of read models equal to the server's.
//!
//! [`Client::connect`] starts a task that drives the [engine](crate::engine). The task opens a stream (WebSocket, or
//! server-sent events where a proxy blocks upgrades), fetches over REST and stores the newest body of each watched
//! read model. [`Client::watch`] returns a [`WatchHandle`]. A handle always shows the newest [`View`] and never queues
//! older ones, so a slow reader costs no memory and delays no other reader.
//!
//! The rules are absent here. The engine decides when to fetch again, when to reconnect and which answer to keep.
//!
//! ```no_run
//! use requery::client::{Client, ClientConfig, ViewState};
//! use requery::protocol::ReadModel;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientConfig::new("http://127.0.0.1:7373"))?;
//! let mut watch = client.watch(ReadModel::Bookmarks);
//! while watch.changed().await {
//!     let view = watch.view();
//!     if view.state == ViewState::Fresh
//!         && let Some(page) = view.body.as_ref().and_then(|body| body.bookmarks())
//!     {
//!         println!("{} bookmarks", page?.items.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The folder `examples` of the repository holds three complete programs.

mod config;
mod driver;
mod fetch;
mod frame_signal;
mod store;
mod stream;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub use crate::engine::{Status, Why};
pub use config::{ClientConfig, ConnectError};
pub use frame_signal::{kind_name, signal, why_name};
pub use store::WatchHandle;
pub use view::{Body, BodyError, View, ViewState};

use crate::protocol::ReadModel;
use driver::ShownStatus;
use store::Store;

/// A connection to one server, and the store of the read models that are watched.
///
/// Dropping the client ends the connection and every waiting call on its handles. The handles keep their last view.
#[derive(Debug)]
pub struct Client {
    store: Arc<Store>,
    status: watch::Receiver<ShownStatus>,
    started: Instant,
    _driver: AbortOnDropHandle<()>,
}

impl Client {
    /// Starts the client in the background and returns at once.
    ///
    /// The client connects, and connects again after each loss, until it is dropped. A server that does not answer is
    /// a [`Status`], not an error.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] if the address is not usable, [`ConnectError::Http`] if HTTP cannot be set up.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or in one without I/O and time.
    pub fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        let address = config::address(&config.server).ok_or_else(|| ConnectError::Address(config.server.clone()))?;
        let http = fetch::http().map_err(|error| ConnectError::Http(error.into()))?;
        let store = Arc::new(Store::default());
        let (sender, status) = watch::channel(ShownStatus { connection: Status::Connecting, project_known: true });
        let started = Instant::now();
        let endpoint = fetch::ServerEndpoint { http, address, project: config.project };
        let driver = driver::Driver::new(endpoint, config.settings, Arc::clone(&store), sender, started);
        Ok(Self { store, status, started, _driver: AbortOnDropHandle::new(tokio::spawn(driver.run())) })
    }

    /// Keeps `model` current until the returned handle is dropped.
    ///
    /// Several handles of one read model share its fetches and its body.
    pub fn watch(&self, model: ReadModel) -> WatchHandle {
        Store::watch(&self.store, model)
    }

    /// The state of the connection.
    pub fn status(&self) -> Status {
        self.status.borrow().connection.clone()
    }

    /// Whether the server has tasks or figures of the project of this client. `false` can mean that the name of the
    /// project has a typing error.
    ///
    /// `true` before the server has said otherwise, and for a client of all projects.
    pub fn is_project_known(&self) -> bool {
        self.status.borrow().project_known
    }

    /// The time until the next attempt to connect. `None` unless the client waits for one.
    pub fn until_next_try(&self) -> Option<Duration> {
        match &self.status.borrow().connection {
            Status::Reconnecting { next_try: Some(at), .. } => Some(at.saturating_sub(self.started.elapsed())),
            _ => None,
        }
    }

    /// Returns a way to wait for changes of the status and of every watched read model.
    ///
    /// The first wait may report a change from before this call.
    pub fn changes(&self) -> Changes {
        Changes { store: self.store.revision(), status: self.status.clone() }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.store.close();
    }
}

/// Waits for changes of a [`Client`].
#[derive(Debug)]
pub struct Changes {
    store: watch::Receiver<u64>,
    status: watch::Receiver<ShownStatus>,
}

impl Changes {
    /// Waits until the status or a watched read model changes. Returns `false` once the client is dropped.
    ///
    /// Changes that happened since the last call return at once, and several changes may be reported as one. The call
    /// can be cancelled without losing a change.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            changed = self.store.changed() => changed.is_ok(),
            changed = self.status.changed() => changed.is_ok(),
        }
    }
}
