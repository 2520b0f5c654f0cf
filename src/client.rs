//! The client: keeps local copies of read models equal to the server's.
//!
//! [`Client::connect`] starts a task that drives the [engine](crate::engine). The task opens a stream (WebSocket, or
//! server-sent events where a proxy blocks upgrades), fetches over REST and stores the newest body of each watched
//! read model. [`Client::overview`], [`Client::task`] and [`Client::bookmarks`] return a [`WatchHandle`]. A handle
//! always shows the newest [`View`] and never queues older ones, so a slow reader costs no memory and delays no other
//! reader.
//!
//! The rules are absent here. The engine decides when to fetch again, when to reconnect and which answer to keep. The
//! domain is absent too: it is a [`Source`]. [`AgentSource`] is the domain of this crate's server, and [`TableSource`]
//! makes a domain of two tables.
//!
//! ```no_run
//! use requery::client::{Client, ClientConfig};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientConfig::new("http://127.0.0.1:7373"))?;
//! let mut bookmarks = client.bookmarks();
//! while let Some(view) = bookmarks.value_changed().await {
//!     println!("{} bookmarks", view.value.map_or(0, |page| page.items.len()));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The folder `examples` of the repository holds complete programs.

mod agent_changes;
mod agent_source;
mod calls;
mod clock;
mod config;
mod driver;
mod error_text;
mod fetch;
mod frame_signal;
mod handle;
mod intake;
mod overlay;
mod project_known;
mod retry_after;
mod shared;
mod shared_times;
mod source;
mod status_words;
mod store;
mod stream;
mod table_source;
mod view;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use crate::engine::{CloseReason, Explanation, HeldState, LossReason, Status};
/// The header of an answer to a write, whose value [`Client::wrote`] and [`Overlay::committed`] take.
pub use crate::protocol::CURSOR_HEADER;
pub use agent_source::{AgentBody, AgentSource, NoticeDetail, OverviewBody, WatchOptions};
pub use calls::{PageQuery, SearchQuery, TaskQuery};
pub use config::{ClientConfig, ConnectError};
pub use fetch::RequestError;
pub use frame_signal::{kind_name, signal, why_name};
pub use handle::WatchHandle;
pub use overlay::Overlay;
pub use source::{BodyError, BodyValue, CarriedBody, Message, ModelRequest, Source};
pub use table_source::{TableError, TableGroup, TableKey, TableSource};
pub use view::View;

use crate::engine::Engine;
use crate::protocol::model::{BookmarkPage, EventPage, SearchResults, TaskDetail, TaskPage};
use crate::protocol::{Cursor, ReadModel, TaskId};
use calls::Reads;
use fetch::ServerEndpoint;
use shared::{Shared, ShownStatus, Touched};

/// A connection to one server, and the store of the read models that are watched.
///
/// A clone is another name of the same client. When the last clone is dropped, the connection and every waiting call on
/// the handles end. The handles keep their last view.
pub struct Client<S: Source = AgentSource> {
    parts: Arc<ClientParts<S>>,
}

struct ClientParts<S: Source> {
    shared: Arc<Shared<S>>,
    endpoint: ServerEndpoint,
}

impl Client {
    /// Starts a client of this crate's server in the background and returns at once.
    ///
    /// The client connects, and connects again after each loss, until it is closed or dropped. A server that does not
    /// answer is a [`Status`], not an error.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] if the address is not usable, [`ConnectError::Http`] if HTTP cannot be set up.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or in one without I/O and time.
    pub fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        Self::connect_to(AgentSource, config)
    }

    /// Keeps the overview current until the handle is dropped: the figures and the first page of tasks.
    pub fn overview(&self) -> WatchHandle<OverviewBody> {
        self.watch(ReadModel::Overview)
    }

    /// Keeps a task current until the handle is dropped.
    pub fn task(&self, id: TaskId) -> WatchHandle<TaskDetail> {
        self.watch(ReadModel::Task(id))
    }

    /// Keeps the first page of bookmarks current until the handle is dropped.
    pub fn bookmarks(&self) -> WatchHandle<BookmarkPage> {
        self.watch(ReadModel::Bookmarks)
    }

    /// Reads a page of tasks once.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if no usable answer came. The read is not repeated.
    pub async fn tasks(&self, query: &TaskQuery) -> Result<TaskPage, RequestError> {
        self.reads().tasks(query).await
    }

    /// Reads a page of the events of a task once, the newest first.
    ///
    /// # Errors
    ///
    /// [`RequestError::NotFound`] if the task does not exist in the client's project; other errors if no usable answer
    /// came.
    pub async fn timeline(&self, task: &TaskId, page: &PageQuery) -> Result<EventPage, RequestError> {
        self.reads().timeline(task, page).await
    }

    /// Reads a page of bookmarks once.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if no usable answer came.
    pub async fn bookmark_page(&self, page: &PageQuery) -> Result<BookmarkPage, RequestError> {
        self.reads().bookmark_page(page).await
    }

    /// Searches tasks, events and bookmarks once.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if no usable answer came.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchResults, RequestError> {
        self.reads().search(query).await
    }

    fn reads(&self) -> Reads<'_> {
        Reads { endpoint: &self.parts.endpoint, at_least: self.shared().lock().engine.floor().cloned() }
    }
}

impl<S: Source> Client<S> {
    /// Starts a client of a server with this domain in the background and returns at once, as
    /// [`connect`](Client::connect) does.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] if the address is not usable, [`ConnectError::Http`] if HTTP cannot be set up.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or in one without I/O and time.
    pub fn connect_to(source: S, config: ClientConfig) -> Result<Self, ConnectError> {
        let address = config::address(&config.server).ok_or_else(|| ConnectError::Address(config.server.clone()))?;
        let http = fetch::http().map_err(|error| ConnectError::Http(error.into()))?;
        let engine = Engine::new(config.settings.clone(), source.carried(), fastrand::u64(..));
        let endpoint = ServerEndpoint { http, address, project: config.project.clone() };
        let shared = Arc::new(Shared::new(source, engine));
        let driver = driver::Driver::new(Arc::clone(&shared), endpoint.clone(), &config);
        tokio::spawn(driver.run());
        Ok(Self { parts: Arc::new(ClientParts { shared, endpoint }) })
    }

    /// Keeps a read model current until the returned handle is dropped.
    ///
    /// Several handles of one read model share its fetches and its body. A handle of a type that does not belong to the
    /// read model never has a value.
    pub fn watch<T: BodyValue<S>>(&self, model: S::Key) -> WatchHandle<T, S> {
        self.watch_with(model, S::Options::default())
    }

    /// The same for a part of the changes, see [`WatchHandle::only`].
    pub fn watch_with<T: BodyValue<S>>(&self, model: S::Key, options: S::Options) -> WatchHandle<T, S> {
        WatchHandle::begin(Arc::clone(&self.parts.shared), model, options)
    }

    /// The state of the connection. It is [`Status::Disabled`] after the end of the client.
    pub fn status(&self) -> Status {
        self.shared().lock().status()
    }

    /// Why the last connection ended, in words with all causes. None: no connection has ended yet.
    pub fn loss(&self) -> Option<Arc<str>> {
        self.shared().lock().loss.clone()
    }

    /// Whether the server has tasks or figures of the project of this client. `false` can mean that the name of the
    /// project has a typing error.
    ///
    /// `true` before the server has said otherwise, and for a client of all projects.
    pub fn is_project_known(&self) -> bool {
        self.shared().lock().project.0
    }

    /// The time until the next attempt to connect. `None` unless the client waits for one.
    pub fn until_next_try(&self) -> Option<Duration> {
        match self.status() {
            Status::Reconnecting { next_try: Some(at), .. } => Some(at.saturating_sub(self.now())),
            _ => None,
        }
    }

    /// The time since the stream was lost. `None` unless the client reconnects.
    pub fn lost_for(&self) -> Option<Duration> {
        match self.status() {
            Status::Reconnecting { since, .. } => Some(self.now().saturating_sub(since)),
            _ => None,
        }
    }

    /// The time since the client began. The times in a [`Status`] and in an [`Explanation`] are of this clock.
    pub fn now(&self) -> Duration {
        self.shared().times.clock.now()
    }

    /// Returns a way to wait for changes of the status and of every watched read model.
    ///
    /// The first wait may report a change from before this call.
    pub fn changes(&self) -> Changes {
        let state = self.shared().lock();
        Changes { store: state.store.revision(), status: state.status_changes() }
    }

    /// Waits until the status has this property, which it may have already. Returns the status, or `None` once the
    /// client has ended.
    pub async fn wait_for_status(&self, mut property: impl FnMut(&Status) -> bool) -> Option<Status> {
        let mut changes = self.shared().lock().status_changes();
        loop {
            // The property is code of the application, so it runs outside of the locks.
            let status = changes.borrow_and_update().connection.clone();
            if property(&status) {
                return Some(status);
            }
            changes.changed().await.ok()?;
        }
    }

    /// A person asks for `model` anew: it is fetched at once, and a wait that the server demanded ends.
    ///
    /// A read model without a watch is left alone.
    pub fn refresh(&self, model: &S::Key) {
        self.shared().call(Touched::one(model), |state, now| state.engine.refresh(model, now));
    }

    /// The application wrote, and `model` shows what it wrote. `cursor` is the answer's header `Requery-Cursor`
    /// ([`CURSOR_HEADER`]).
    ///
    /// The read model is fetched without a debounce. Every answer that is asked for from now on covers the write, also
    /// for a read model that is watched later, and for a single read such as [`tasks`](Client::tasks).
    pub fn wrote(&self, model: &S::Key, cursor: &Cursor) {
        self.shared().call(Touched::one(model), |state, now| state.wrote(model, cursor, now));
    }

    /// Whether the screen is visible. A hidden one collects notices and fetches once when it is visible again.
    pub fn set_visible(&self, is_visible: bool) {
        self.shared().call(Touched::All, |state, now| match is_visible {
            true => state.engine.handle_visible(now),
            false => state.engine.handle_hidden(),
        });
    }

    /// Whether the device has network. Without it the client tries no connection.
    pub fn set_online(&self, is_online: bool) {
        self.shared().call(Touched::All, |state, now| match is_online {
            true => state.engine.handle_online(now),
            false => state.engine.handle_offline(),
        });
    }

    /// Closes the connection and fetches no read model until [`resume`](Self::resume). The views stay.
    pub fn pause(&self) {
        self.shared().call(Touched::All, |state, _| state.engine.disable());
    }

    /// Ends [`pause`](Self::pause). Also the way out of [`Status::Closed`].
    pub fn resume(&self) {
        self.shared().call(Touched::All, |state, now| state.engine.enable(now));
    }

    /// Replaces the stream by a new one at once, and ends every wait. Also the way out of [`Status::Closed`].
    pub fn reconnect_now(&self) {
        self.shared().call(Touched::All, |state, now| state.engine.reconnect(now));
    }

    /// Why `model` is stale, since when, and what its next fetch waits for. `None`: it was never watched, or its last
    /// watch ended long ago.
    pub fn explain(&self, model: &S::Key) -> Option<Explanation> {
        let now = self.now();
        self.shared().lock().engine.explain(model, now)
    }

    /// The [explanation](Self::explain) in one line, as in `stale since 5000 (event.logged), waits for quiet until
    /// 5050`. The times are milliseconds of [`now`](Self::now).
    pub fn explain_in_words(&self, model: &S::Key) -> Option<String> {
        let explanation = self.explain(model)?;
        Some(explanation.words(|kind| self.shared().source.kind_name(kind)).to_string())
    }

    /// Ends the client and all its clones: every waiting call returns, and the server gets a close frame. Waits for at
    /// most a second until the server has confirmed it.
    pub async fn close(&self) {
        self.shared().end();
        self.shared().ended.cancelled().await;
    }

    /// Whether the client has ended: by [`close`](Self::close), or with its runtime.
    pub fn is_closed(&self) -> bool {
        self.shared().lock().store.has_ended()
    }

    fn shared(&self) -> &Shared<S> {
        &self.parts.shared
    }
}

impl<S: Source> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

impl<S: Source> Drop for ClientParts<S> {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// Waits for changes of a [`Client`].
#[derive(Debug)]
pub struct Changes {
    store: watch::Receiver<u64>,
    status: watch::Receiver<ShownStatus>,
}

impl Changes {
    /// Waits until the status or a watched read model changes. Returns `false` once the client has ended.
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
