//! The server: one port for REST, streams and the documents.
//!
//! A write goes through [`database`] in one transaction; the database's own triggers append to its log. [`change_log`]
//! tails that log, [`hub`] merges what it finds for a short window and hands it to every [`feed`], and `ws` and
//! `sse` write a feed to a socket; [`search`] follows it with an index of its words. No code here publishes a notice:
//! what is sent always comes from the log.

pub mod config;

mod net;

pub mod access;

pub mod feed;

pub mod hub;

pub mod change_log;

pub mod database;

pub mod search;

pub mod read;

pub mod ingest;

pub mod agents;

pub mod http;

pub mod error;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use config::Config;
use database::{Database, DatabaseError, OpenError};

/// How many batches of the log may wait for the hub. The hub is always quick; this only decouples the two.
const TAILED: usize = 16;
/// The longest a client waits before it comes back after the server went away, so that they do not all come at once.
const RETRY: Duration = Duration::from_secs(2);
/// How long streams may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Everyone who reaches the address could read and write everything.
    #[error(
        "{0} can be reached by others, and nobody is asked who they are; --insecure-no-auth serves it all the same"
    )]
    Exposed(SocketAddr),
    /// The listener has no address.
    #[error("the listener has no address: {0}")]
    Listener(#[from] std::io::Error),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What follows the log or keeps it ended before the server did.
    #[error("a part of the server broke: {0}")]
    Broken(String),
    /// The database was opened and then could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Serves on `listener` until `shutdown`.
pub async fn run(listener: TcpListener, config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    run_and_tell(listener, config, shutdown, || ()).await
}

/// The same, and calls `ready` when the first request will be answered.
pub async fn run_and_tell(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    admitted(&listener, &config)?;
    let database = Database::open(config.database.clone()).await?;
    run_on(database, listener, config, shutdown, ready).await
}

/// The same on a database that is open, for whoever writes to it in the same process; closes it at the end.
pub async fn run_on(
    database: Database,
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    let address = admitted(&listener, &config)?;
    let cursor = database.snapshot().await?.cursor().clone();
    let hub = hub::Hub::new(cursor.clone());

    // These outlive the streams, so that a stream's last frames still come.
    let (mut background, ended) = (JoinSet::new(), CancellationToken::new());
    let (sink, tailed) = mpsc::channel(TAILED);
    let news = Arc::new(Notify::new());
    background.spawn(change_log::tail(database.clone(), cursor, sink, news.clone(), ended.clone()));
    background.spawn(hub::run(hub.clone(), tailed, config.window, ended.clone()));
    let upkeep = change_log::upkeep::keep(database.clone(), config.retention);
    background.spawn(ended.clone().run_until_cancelled_owned(upkeep).map(|_| ()));
    let index = search::Index::new(database.clone(), news);
    let follow = search::upkeep::keep(index.clone());
    background.spawn(ended.clone().run_until_cancelled_owned(follow).map(|_| ()));

    let spool = |base| crate::agent::spool::Spool::of(base, &address.ip().to_string(), address.port());
    let spool = config.spool.as_deref().map(spool);
    let reaper = agents::silence::keep(database.clone(), config.patience, spool.clone());
    background.spawn(ended.clone().run_until_cancelled_owned(reaper).map(|_| ()));
    let mut spooled = None;
    if let Some(spool) = spool {
        // Beside the rest: the server is as good as ever without it.
        spooled = Some(tokio::spawn(
            ended.clone().run_until_cancelled_owned(agents::spool_intake::take_in(database.clone(), spool)),
        ));
    }

    let stop = shutdown.child_token();
    let streams = http::routes::Streams {
        source: feed::Source {
            database: database.clone(),
            hub: hub.clone(),
            heartbeat: config.heartbeat,
            retry: RETRY,
        },
        places: Arc::new(Semaphore::new(config.max_streams)),
        tasks: TaskTracker::new(),
        draining: stop.clone(),
    };
    let gate = access::gate::Gate::new(address, &config.allow_hosts, &config.allow_origins);
    let goodbye = async {
        stop.cancelled().await;
        hub.close();
    };
    let app = http::routes::app(gate, streams.clone(), index);
    ready();
    let mut serving = std::pin::pin!(async { tokio::join!(net::listen::serve(listener, app, stop.clone()), goodbye) });
    let broken = tokio::select! {
        _ = &mut serving => None,
        broken = background.join_next() => {
            // Without it the streams would look alive and be deaf.
            stop.cancel();
            serving.await;
            broken
        }
    };
    streams.tasks.close();
    let _ = tokio::time::timeout(GOODBYE, streams.tasks.wait()).await;
    ended.cancel();
    while background.join_next().await.is_some() {}
    if let Some(spooled) = spooled {
        let _ = spooled.await;
    }
    database.close("the server ended").await;
    match broken {
        None => Ok(()),
        Some(Ok(())) => Err(RunError::Broken("it ended".to_owned())),
        Some(Err(panic)) => Err(RunError::Broken(panic.to_string())),
    }
}

/// The address, if it may be served. Asked before a database is opened, which makes one where there is none.
fn admitted(listener: &TcpListener, config: &Config) -> Result<SocketAddr, RunError> {
    let address = listener.local_addr()?;
    if config.admits(address) { Ok(address) } else { Err(RunError::Exposed(address)) }
}
