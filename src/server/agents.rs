//! Coding agents: their hooks, their transcripts and their silence, written through the verbs of `ingest`.
//!
//! This file is the only interface of the feature: the rest of the program uses no module below it. The feature takes
//! hook records and transcripts, reports when hooks were last heard, and runs two background jobs: one takes in the
//! records that hooks left in the spool, the other looks for silent agents. The known agents, their hooks and their
//! spool are in [`crate::agent`], which the command line uses as well.

use std::net::SocketAddr;
use std::path::Path;

use super::database::Database;
use super::jobs::Jobs;
use crate::agent::spool::Spool;

mod hooks;
pub use hooks::{HookDelivery, HookError, HookTime, take_hook};

mod transcripts;
pub use transcripts::{TranscriptStretch, finished_part, take_stretch};

mod last_heard;
pub(super) use last_heard::hooks_last_heard;

mod silence;
use silence::SilenceJob;
pub use silence::{
    AnsweredTask, Judgement, JudgingServer, OutsideSigns, SilenceLimits, carry_out, carry_out_answer, find_answered,
    judge_silences, sessions_with_a_word,
};

mod spool_intake;
use spool_intake::SpoolIntakeJob;

/// Starts the background jobs of the agents: the search for silent agents, and the intake of spooled hook records.
///
/// `spools` is the folder with one spool for each server, and `address` names the spool of this one. `session_files` is
/// the folder of the files in which sessions of Claude Code say their status. Both jobs run on each server of a
/// database: only a server on the machine of an agent knows the process, the words and the spool of the agent.
pub(super) fn start_jobs(
    jobs: &mut Jobs,
    database: &Database,
    limits: SilenceLimits,
    spools: Option<&Path>,
    session_files: Option<&Path>,
    address: SocketAddr,
) {
    let spool = spools.map(|base| Spool::of(base, &address.ip().to_string(), address.port()));
    let silence = SilenceJob::new(database.clone(), limits, spool.clone(), session_files.map(Path::to_owned));
    jobs.start_repeated(silence);
    if let Some(spool) = spool {
        jobs.start_repeated(SpoolIntakeJob::new(database.clone(), spool));
    }
}
