//! Looks after agents that say nothing: asks the clock and the system, and leaves the judging to `ingest`.

use std::time::Duration;

use super::database::{Database, DatabaseError};
use super::ingest::hook::silence::{self, Patience};
use crate::process::Process;

/// How often it looks: as soon as this a person sees that a process is gone.
const EVERY: Duration = Duration::from_secs(5);
/// How often for those with less patience: a tenth of it, but not all the time.
const OFTEN: Duration = Duration::from_millis(100);
/// How many tasks one transaction changes. A writer waits for it some milliseconds.
const AT_ONCE: usize = 32;

/// Looks for as long as it is polled.
pub async fn keep(database: Database, patience: Patience) {
    let listening_since = now_ms();
    let every = (patience.stale_after / 10).clamp(OFTEN, EVERY);
    loop {
        // Before the first look there is time to take in what was heard while nobody listened.
        tokio::time::sleep(every).await;
        match look(&database, patience, listening_since).await {
            // Tried again soon; whoever made it busy or took it away is told of elsewhere.
            Ok(()) | Err(DatabaseError::Busy | DatabaseError::Away(_)) => {}
            Err(error) => tracing::error!(%error, "could not look for silent agents"),
        }
    }
}

async fn look(database: &Database, patience: Patience, listening_since: i64) -> Result<(), DatabaseError> {
    let now_ms = now_ms();
    let read = database.begin_read().await?;
    let judgements = silence::judge_all(&*read, patience, listening_since, now_ms, is_alive).await?;
    drop(read);
    for some in judgements.chunks(AT_ONCE) {
        let write = database.begin_write().await?;
        for judgement in some {
            silence::carry_out(&*write, judgement, now_ms).await?;
        }
        write.commit().await?;
    }
    Ok(())
}

fn is_alive(process: &str) -> Option<bool> {
    process.parse::<Process>().ok()?.is_alive()
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
