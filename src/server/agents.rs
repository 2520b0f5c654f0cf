//! Coding agents: what their hooks, their transcripts and their silence say, written through the verbs of `ingest`.

use std::net::SocketAddr;
use std::path::Path;

use super::database::Database;
use super::jobs::Jobs;
use crate::agent::spool::Spool;

use silence::Patience;

pub mod hooks;
pub mod silence;
pub mod spool_intake;
pub mod transcripts;

/// Starts the background jobs of the agents: the search for silent agents, and the intake of spooled hook records.
///
/// `spools` is the folder with one spool for each server, and `address` names the spool of this one.
pub(super) fn start_jobs(
    jobs: &mut Jobs,
    database: &Database,
    patience: Patience,
    spools: Option<&Path>,
    address: SocketAddr,
) {
    let spool = spools.map(|base| Spool::of(base, &address.ip().to_string(), address.port()));
    jobs.start_repeated(silence::SilenceJob::new(database.clone(), patience, spool.clone()));
    if let Some(spool) = spool {
        jobs.start_repeated(spool_intake::SpoolIntakeJob { database: database.clone(), spool });
    }
}
