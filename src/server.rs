//! The server: one port for REST, streams and the documents.
//!
//! A write goes through [`database`] in one transaction; the database's own triggers append to its log. [`change_log`]
//! tails that log, [`hub`] merges the notices of a short window and hands them to every [`feed`], and `net` writes a
//! feed to a socket. [`search`] follows the same log and keeps an index of the words in the rows. No code here
//! publishes a notice: every notice comes from the log.
//!
//! Stable are `protocol`, `engine` and `client`. Of the server only [`run`], [`run_on`], [`config`] and [`error`] are
//! documented, and its other modules can change with any version.

pub mod config;

mod jobs;

mod leaving;

mod listing;

mod net;
#[doc(hidden)]
pub use net::bare::BareBroadcast;

#[doc(hidden)]
pub mod text;

#[doc(hidden)]
pub mod access;

#[doc(hidden)]
pub mod metrics;

#[doc(hidden)]
pub mod feed;

#[doc(hidden)]
pub mod hub;

#[doc(hidden)]
pub mod change_log;

#[doc(hidden)]
pub mod database;

#[doc(hidden)]
pub mod copy;

#[doc(hidden)]
pub mod search;

#[doc(hidden)]
pub mod read;

#[doc(hidden)]
pub mod ingest;

#[doc(hidden)]
pub mod agents;

#[doc(hidden)]
pub mod http;

pub mod error;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use access::gate::Gate;
use access::scope::Scope;
use change_log::Outlet;
use config::ServerConfig;
use database::{Database, postgres};
use error::RunError;
use http::routes::Streams;
use hub::Hub;
use jobs::{BringInLogJob, Jobs, LeaseJob, SchemaJob, StorageProbeJob, WatchFileJob};
use search::SearchIndex;

/// How many batches of the log may wait for the hub. The hub does no I/O, so a short queue is enough.
const HUB_INPUTS: usize = 16;
/// How long streams may take to send their last frame.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves on `listener` until `shutdown`. Calls `ready` as soon as requests are answered.
pub async fn run(
    listener: TcpListener,
    config: ServerConfig,
    shutdown: CancellationToken,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    config.admit(&listener)?;
    let database = Database::open(config.database.clone()).await?;
    run_on(database, listener, config, shutdown, ready).await
}

/// Serves like [`run`], on a database that is open already: for a program that also writes to it in the same process.
/// Closes the database at the end.
pub async fn run_on(
    database: Database,
    listener: TcpListener,
    config: ServerConfig,
    shutdown: CancellationToken,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    let address = config.admit(&listener)?;
    let cursor = database.snapshot(Scope::All).await?.cursor().clone();
    database.give_way(config.background_pause);
    database.keep_answers(config.read_cache);
    database.send_whole(config.short_answer);
    let hub = Hub::new(cursor.clone(), database.metrics());
    let log_grew = Arc::new(Notify::new());
    let index = SearchIndex::new(database.clone(), log_grew.clone());

    // The jobs end after the streams, so that each stream still gets its last frames.
    let mut jobs = Jobs::default();
    let (to_hub, hub_inputs) = mpsc::channel(HUB_INPUTS);
    let outlet = Outlet::new(database.clone(), to_hub, &cursor);
    jobs.start_required(change_log::tail(database.clone(), cursor, outlet, log_grew, jobs.stop_token()));
    jobs.start_required(hub::run(hub.clone(), hub_inputs, config.window, jobs.stop_token()));
    // On Postgres several servers can serve one database, and one of them keeps what is derived from the rows.
    jobs.start_keeper(change_log::fold::FoldJob(database.clone()), &database);
    let prune = change_log::prune::PruneJob { database: database.clone(), retention: config.retention };
    jobs.start_keeper(prune, &database);
    jobs.start_keeper(index.job(), &database);
    if database.is_shared() {
        jobs.start_keeper(change_log::floor::FloorJob(database.clone()), &database);
        jobs.start_required(postgres::bell::listen(database.clone(), jobs.stop_token()));
        jobs.start_required(postgres::bell::ring_others(database.clone(), jobs.stop_token()));
        jobs.start_repeated(LeaseJob(database.clone()));
        jobs.start_repeated(SchemaJob { database: database.clone(), interval: config.schema_check_interval });
    } else {
        jobs.start_repeated(leaving::LeavingJob::new(database.clone()));
        jobs.start_repeated(listing::ListingJob::new(database.clone()));
        jobs.start_repeated(WatchFileJob::new(database.clone(), config.file_check_interval));
        jobs.start_repeated(BringInLogJob::new(database.clone()));
    }
    jobs.start_repeated(StorageProbeJob::new(database.clone()));
    let (spool, session_files) = (config.spool.as_deref(), config.session_files.as_deref());
    agents::start_jobs(&mut jobs, &database, config.silence_limits, spool, session_files, address);

    let stop = shutdown.child_token();
    let streams = Streams::new(database.clone(), hub.clone(), &config, stop.clone());
    let gate = Gate::new(address, &config.allow_hosts, &config.allow_origins);
    let app = http::routes::app(gate, streams.clone(), index);
    let goodbye = async {
        stop.cancelled().await;
        hub.close();
    };
    ready();
    let mut serving = std::pin::pin!(async { tokio::join!(net::listen::serve(listener, app, stop.clone()), goodbye) });
    let broken = tokio::select! {
        _ = &mut serving => None,
        ended = jobs.required_job_ended() => {
            stop.cancel();
            serving.await;
            Some(ended.err().map_or("a required job ended".to_owned(), |panic| panic.to_string()))
        }
    };
    streams.wait_for_last_frames(GOODBYE_TIMEOUT).await;
    jobs.stop().await;
    database.close("the server ended").await;
    broken.map_or(Ok(()), |reason| Err(RunError::Broken(reason)))
}
