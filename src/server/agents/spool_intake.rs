//! Takes in what hooks could not deliver while no server answered.
//!
//! In the order in which it came and under the deliveries it was first sent with, so that nothing overtakes and nothing
//! doubles, whenever either side is killed. It runs beside everything else: nobody waits for it, and files are read on
//! threads that may wait.

use std::io;
use std::time::{Duration, Instant};

use sea_orm::DbErr;

use super::hooks::{HookDelivery, HookTime, take_hook};
use crate::agent::spool::{Spool, SpoolClaim, SpooledRecord};
use crate::server::access::scope::Scope;
use crate::server::database::{Database, DatabaseError};
use crate::server::jobs::{BackgroundJob, JobError, StepProgress};

/// How often it is looked for: a hook that found records waiting has put its own behind them.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How many records one transaction takes in. A writer waits for it some milliseconds.
const RECORDS_PER_TRANSACTION: usize = 32;
/// How many bytes of records are held in memory, one record more or less.
const MAX_HELD_BYTES: usize = 4 * 1024 * 1024;
/// How long to wait for a hook that is putting a record there.
const SPOOL_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Why nothing was taken in this time.
#[derive(Debug, thiserror::Error)]
enum TakeInError {
    #[error("could not use {0}")]
    Folder(String, #[source] io::Error),
    #[error("the database did not take it")]
    Database(#[from] DatabaseError),
    #[error("the database did not take it")]
    Hook(#[source] DbErr),
}

/// The background job that takes in spooled records.
pub struct SpoolIntakeJob {
    /// The database.
    pub database: Database,
    /// The spool of this server.
    pub spool: Spool,
}

impl BackgroundJob for SpoolIntakeJob {
    const PURPOSE: &'static str = "take in the records that hooks left in the spool";

    async fn step(&mut self) -> Result<StepProgress, JobError> {
        match run_once(&self.database, &self.spool).await {
            Ok(0) => Ok(StepProgress::Idle),
            Ok(taken) => {
                tracing::info!(taken, "took in {taken} records of hooks that had waited");
                Ok(StepProgress::More { rest: Duration::ZERO })
            }
            Err(TakeInError::Database(error)) => Err(error.into()),
            Err(TakeInError::Hook(error)) => Err(DatabaseError::from(error).into()),
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

/// Takes in what waits now; how many records that were.
async fn run_once(database: &Database, spool: &Spool) -> Result<usize, TakeInError> {
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
            let names = claim.waiting()?;
            Ok(Some((claim, names)))
        })
        .await
        .map_err(failed)?
    };
    let Some((mut claim, mut names)) = claimed else { return Ok(0) };
    let mut taken = 0;
    while !names.is_empty() {
        let (back, rest, read) = blocking(move || read(claim, names)).await.map_err(failed)?;
        (claim, names) = (back, rest);
        let mut settled = take_all(database, read).await?;
        let stopped = settled.stopped.take();
        taken += settled.delivered.len();
        claim = blocking(move || {
            let delivered: Vec<&str> = settled.delivered.iter().map(String::as_str).collect();
            let hopeless: Vec<&str> = settled.hopeless.iter().map(String::as_str).collect();
            claim.settle(&delivered, &hopeless, Instant::now() + SPOOL_LOCK_TIMEOUT)?;
            Ok(claim)
        })
        .await
        .map_err(failed)?;
        if let Some(error) = stopped {
            // What comes behind it must not overtake it.
            return Err(TakeInError::Hook(error));
        }
    }
    Ok(taken)
}

type ReadRecords = Vec<(String, Option<SpooledRecord>)>;

/// The next few records; none where a file is not one.
fn read(claim: SpoolClaim, mut names: Vec<String>) -> io::Result<(SpoolClaim, Vec<String>, ReadRecords)> {
    let (mut read, mut bytes) = (Vec::new(), 0);
    let mut rest = names.drain(..);
    while read.len() < RECORDS_PER_TRANSACTION && bytes < MAX_HELD_BYTES {
        let Some(name) = rest.next() else { break };
        if let Some(record) = claim.read(&name)? {
            let record = record.ok();
            bytes += record.as_ref().map_or(0, |record| record.body.len());
            read.push((name, record));
        }
    }
    let rest = rest.collect();
    Ok((claim, rest, read))
}

/// What became of records.
#[derive(Default)]
struct IntakeOutcome {
    delivered: Vec<String>,
    hopeless: Vec<String>,
    /// Why the rest was not tried.
    stopped: Option<DbErr>,
}

async fn take_all(database: &Database, read: ReadRecords) -> Result<IntakeOutcome, TakeInError> {
    let taken = database.write(Scope::All, async |tx| {
        let mut settled = IntakeOutcome::default();
        for (name, record) in &read {
            match delivery(name, record.as_ref()) {
                Some(delivery) => {
                    take_hook(tx, delivery, hook_time(record.as_ref())).await.map_err(TakeInError::Hook)?;
                    settled.delivered.push(name.clone());
                }
                None => settled.hopeless.push(name.clone()),
            }
        }
        Ok(settled)
    });
    match taken.await {
        Ok(committed) => Ok(committed.into_parts().0),
        Err(TakeInError::Hook(_)) => take_each(database, read).await,
        Err(error) => Err(error),
    }
}

/// The same one by one, after the database refused one of them. One that it refuses while it takes the next would be in
/// the way for ever, so it is put aside; if it takes none, it is the database that is to blame.
async fn take_each(database: &Database, read: ReadRecords) -> Result<IntakeOutcome, TakeInError> {
    let mut settled = IntakeOutcome::default();
    let mut refused: Option<(String, DbErr)> = None;
    for (name, record) in read {
        let Some(delivery) = delivery(&name, record.as_ref()) else {
            settled.hopeless.push(name);
            continue;
        };
        let taken = database.write(Scope::All, async |tx| {
            take_hook(tx, delivery, hook_time(record.as_ref())).await.map_err(TakeInError::Hook)
        });
        match taken.await {
            Ok(_) => {
                if let Some((name, error)) = refused.take() {
                    tracing::warn!(record = name, "could not take in {name}, which a hook left: {error}");
                    settled.hopeless.push(name);
                }
                settled.delivered.push(name);
            }
            Err(TakeInError::Hook(error)) if refused.is_none() => refused = Some((name, error)),
            Err(TakeInError::Hook(error)) => return Ok(IntakeOutcome { stopped: Some(error), ..settled }),
            Err(error) => return Err(error),
        }
    }
    Ok(IntakeOutcome { stopped: refused.map(|(_, error)| error), ..settled })
}

/// What a file holds. None, and told: nothing that can be taken.
fn delivery(name: &str, record: Option<&SpooledRecord>) -> Option<HookDelivery> {
    let read = match record.and_then(|record| Some((record, record.source.parse().ok()?))) {
        Some((record, runtime)) => HookDelivery::read(runtime, Some(&record.delivery), &record.body)
            .map(|delivery| delivery.of(record.process.as_ref().and_then(|process| process.parse().ok()).as_ref()))
            .map_err(|error| error.to_string()),
        None => Err("it is no whole record".to_owned()),
    };
    read.inspect_err(|why| tracing::warn!(record = name, "could not take in {name}, which a hook left: {why}")).ok()
}

fn hook_time(record: Option<&SpooledRecord>) -> HookTime {
    let now_ms = chrono::Utc::now().timestamp_millis();
    record.map_or(HookTime::Now(now_ms), |record| HookTime::late(record.at_ms, now_ms))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
