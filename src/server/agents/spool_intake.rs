//! The background job that takes in the records that hooks left in the spool while the server did not answer.
//!
//! Records are taken in the order of the queue and under their first delivery ids. So no record overtakes another and
//! none is taken twice, even if the hook or the server is killed. No request waits for this job, and it reads files on
//! threads that may block.

use std::io;
use std::time::{Duration, Instant};

use sea_orm::DbErr;

use super::hooks::{HookDelivery, HookTime, lock_sessions, take_hook};
use crate::agent::host;
use crate::agent::name::AgentName;
use crate::agent::spool::{Spool, SpoolClaim, SpooledRecord};
use crate::server::database::{BackgroundStep, BackgroundWork, Database, DatabaseError, StepSize, WriteTransaction};
use crate::server::jobs::{BackgroundJob, JobError, StepProgress};

/// The time between two looks into the spool. Records can arrive at any time: a hook that finds records waiting puts
/// its own behind them, even while the server answers.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How many records a transaction takes in: at least, at first and at most. Of fewer, a busy machine spends most of its
/// time on the transactions.
const RECORDS_PER_TRANSACTION: StepSize = StepSize::new(8, 8, 32);
/// How long the intake waits for a pause of other programs, at first and then for each further transaction. Hooks put
/// their records behind those that wait, so the spool has to empty even beside a program that never pauses.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1));
/// How many bytes of records are held in memory. The record that reaches this bound is held as well.
const MAX_HELD_BYTES: usize = 4 * 1024 * 1024;
/// How long to wait for the lock of the spool, which a hook takes to add a record.
const SPOOL_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The reasons why a step fails.
#[derive(Debug, thiserror::Error)]
enum TakeInError {
    #[error("could not use the spool {0}")]
    Folder(String, #[source] io::Error),
    #[error("could not write the spooled hook records to the database")]
    Database(#[from] DatabaseError),
    /// The database refused a record. The cause can be the record.
    #[error("could not write the spooled hook records to the database")]
    Hook(#[source] DatabaseError),
}

impl TakeInError {
    /// The error of a statement. A database that cannot be used now says nothing about the record.
    fn of_statement(error: DbErr) -> Self {
        match error.into() {
            error @ (DatabaseError::Busy
            | DatabaseError::Closed(_)
            | DatabaseError::Away(_)
            | DatabaseError::Storage(_)) => Self::Database(error),
            error => Self::Hook(error),
        }
    }
}

/// The background job that takes in spooled records.
pub struct SpoolIntakeJob {
    /// The database.
    pub database: Database,
    /// The spool of this server.
    pub spool: Spool,
    pace: IntakePace,
}

/// How many records the next transaction takes in, and how long it waits for a pause of other programs.
struct IntakePace {
    records: StepSize,
    patience: Duration,
}

impl IntakePace {
    /// Runs `verbs`, which take in so many records, as one transaction.
    async fn write<T>(
        &mut self,
        database: &Database,
        records: usize,
        verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, TakeInError>,
    ) -> Result<T, TakeInError> {
        let step = database.write_in_background(BackgroundWork::Agents(self.patience), verbs).await?;
        let BackgroundStep { value, held, delayed } = step;
        self.records.note(held, records >= self.records.size() as usize);
        self.patience = if delayed { PATIENCE.1 } else { PATIENCE.0 };
        Ok(value)
    }
}

impl SpoolIntakeJob {
    /// Creates the job.
    pub fn new(database: Database, spool: Spool) -> Self {
        Self { database, spool, pace: IntakePace { records: RECORDS_PER_TRANSACTION, patience: PATIENCE.0 } }
    }
}

impl BackgroundJob for SpoolIntakeJob {
    const PURPOSE: &'static str = "take in the records that hooks left in the spool";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        match run_once(&self.database, &self.spool, &mut self.pace).await {
            Ok(0) => Ok(StepProgress::Idle),
            Ok(taken) => {
                tracing::info!(taken, "took in {taken} hook records from the spool");
                Ok(StepProgress::More)
            }
            Err(TakeInError::Database(error) | TakeInError::Hook(error)) => Err(error.into()),
            Err(error) => {
                let cause = std::error::Error::source(&error).map_or(String::new(), |cause| cause.to_string());
                Err(JobError::failed(format!("{error}: {cause}")))
            }
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Takes in all records that wait now, and returns their number.
async fn run_once(database: &Database, spool: &Spool, pace: &mut IntakePace) -> Result<usize, TakeInError> {
    let folder = || spool.folder().display().to_string();
    let failed = |error| TakeInError::Folder(folder(), error);
    let claimed = {
        let spool = spool.clone();
        blocking(move || {
            if spool.is_empty() {
                return Ok(None);
            }
            let Some(claim) = spool.claim()? else { return Ok(None) };
            claim.sweep();
            let names = claim.waiting(chrono::Utc::now().timestamp_millis())?;
            Ok(Some((claim, names)))
        })
        .await
        .map_err(failed)?
    };
    let Some((mut claim, mut names)) = claimed else { return Ok(0) };
    let mut taken = 0;
    while !names.is_empty() {
        let most = pace.records.size() as usize;
        let (claim_back, names_left, read) = blocking(move || read(claim, names, most)).await.map_err(failed)?;
        (claim, names) = (claim_back, names_left);
        let ReadFiles { records, mut undeliverable } = read;
        // Files without a record need no transaction, so they wait for no pause of other programs.
        let outcome = match records.is_empty() {
            true => IntakeOutcome::default(),
            false => take_together(database, pace, &records).await?,
        };
        let IntakeOutcome { delivered, refused, stop_error } = outcome;
        undeliverable.extend(refused);
        database.metrics().hooks_refused.inc_by(undeliverable.len() as u64);
        database.metrics().hooks_spooled.inc_by(delivered.len() as u64);
        taken += delivered.len();
        claim = blocking(move || {
            let delivered: Vec<&str> = delivered.iter().map(String::as_str).collect();
            let undeliverable: Vec<&str> = undeliverable.iter().map(String::as_str).collect();
            claim.settle(&delivered, &undeliverable, Instant::now() + SPOOL_LOCK_TIMEOUT)?;
            Ok(claim)
        })
        .await
        .map_err(failed)?;
        if let Some(error) = stop_error {
            // The later records wait, so that none of them overtakes the refused one.
            return Err(TakeInError::Hook(error));
        }
    }
    Ok(taken)
}

/// The next files of the queue.
#[derive(Default)]
struct ReadFiles {
    records: Vec<WaitingRecord>,
    /// The files that hold no valid record.
    undeliverable: Vec<String>,
}

/// A valid record in the queue.
struct WaitingRecord {
    /// The name of its file.
    name: String,
    delivery: HookDelivery,
    /// The time at which the hook ran.
    at_ms: i64,
}

/// Reads and parses the next files, outside of any transaction.
fn read(claim: SpoolClaim, mut names: Vec<String>, most: usize) -> io::Result<(SpoolClaim, Vec<String>, ReadFiles)> {
    let (mut files, mut read, mut bytes) = (ReadFiles::default(), 0, 0);
    let mut rest = names.drain(..);
    while read < most && bytes < MAX_HELD_BYTES {
        let Some(name) = rest.next() else { break };
        let Some(record) = claim.read(&name)? else { continue };
        let record = record.ok();
        read += 1;
        bytes += record.as_ref().map_or(0, |record| record.body.len());
        match (delivery(&name, record.as_ref()), record) {
            (Some(delivery), Some(record)) => {
                files.records.push(WaitingRecord { name, delivery, at_ms: record.at_ms });
            }
            _ => files.undeliverable.push(name),
        }
    }
    let rest = rest.collect();
    Ok((claim, rest, files))
}

/// The outcome for the records of one transaction.
#[derive(Default)]
struct IntakeOutcome {
    delivered: Vec<String>,
    /// The records that the database refused.
    refused: Vec<String>,
    /// The error that stopped the intake before the remaining records.
    stop_error: Option<DatabaseError>,
}

async fn take_together(
    database: &Database,
    pace: &mut IntakePace,
    records: &[WaitingRecord],
) -> Result<IntakeOutcome, TakeInError> {
    let taken = pace.write(database, records.len(), async |tx| {
        lock_sessions(tx, records.iter().map(|record| &record.delivery)).await.map_err(TakeInError::of_statement)?;
        for record in records {
            take(tx, record).await?;
        }
        Ok(())
    });
    match taken.await {
        Ok(()) => {
            let delivered = records.iter().map(|record| record.name.clone()).collect();
            Ok(IntakeOutcome { delivered, ..IntakeOutcome::default() })
        }
        Err(TakeInError::Hook(_)) => take_each(database, pace, records).await,
        Err(error) => Err(error),
    }
}

/// Takes the records one by one, after the database refused their common transaction. If the database refuses one
/// record and takes the next, the refused record is put aside, because it would block the queue for ever. If the
/// database refuses two in a row, the database is at fault, and the intake stops.
async fn take_each(
    database: &Database,
    pace: &mut IntakePace,
    records: &[WaitingRecord],
) -> Result<IntakeOutcome, TakeInError> {
    let mut outcome = IntakeOutcome::default();
    let mut refused: Option<(String, DatabaseError)> = None;
    for record in records {
        let name = record.name.clone();
        match pace.write(database, 1, async |tx| take(tx, record).await).await {
            Ok(()) => {
                if let Some((name, error)) = refused.take() {
                    tracing::warn!(
                        record = name,
                        "could not take in the spooled hook record {name}, so it is put aside: {error}"
                    );
                    outcome.refused.push(name);
                }
                outcome.delivered.push(name);
            }
            Err(TakeInError::Hook(error)) if refused.is_none() => refused = Some((name, error)),
            Err(TakeInError::Hook(error)) => return Ok(IntakeOutcome { stop_error: Some(error), ..outcome }),
            Err(error) => return Err(error),
        }
    }
    Ok(IntakeOutcome { stop_error: refused.map(|(_, error)| error), ..outcome })
}

async fn take(tx: &WriteTransaction, record: &WaitingRecord) -> Result<(), TakeInError> {
    let time = HookTime::late(record.at_ms, chrono::Utc::now().timestamp_millis());
    take_hook(tx, tx.scope(), &record.delivery, time).await.map_err(TakeInError::of_statement)
}

/// The delivery in a file. None, with a log line: the file holds no valid record.
fn delivery(name: &str, record: Option<&SpooledRecord>) -> Option<HookDelivery> {
    let read = match record.and_then(|record| Some((record, record.source.parse::<AgentName>().ok()?))) {
        Some((record, source)) => HookDelivery::read(source, Some(&record.delivery), &record.body)
            .map(|delivery| delivery.of(record.process.as_ref().and_then(|process| process.parse().ok()).as_ref()))
            // The spool is a folder of this machine, and so was the agent.
            .map(|delivery| delivery.on(host::name().as_deref()))
            .map_err(|error| error.to_string()),
        None => Err("the file is not a complete record".to_owned()),
    };
    read.inspect_err(|why| {
        tracing::warn!(record = name, "could not take in the spooled hook record {name}, so it is put aside: {why}");
    })
    .ok()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
