//! The tail: hands the log's notices to the outlet, pass by pass.
//!
//! The bell only wakes the tail. The notices always come from the table, so a lost ring delays a notice by milliseconds
//! but never loses one. The end of a pass is fixed when the pass begins: a steady writer cannot hold the hub's window
//! open.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use requery_entities::change;
use sea_orm::DbBackend;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outlet::Outlet;
use super::{Between, LogPlace, between, continuity, notice};
use crate::protocol::{Cursor, Notice};
use crate::server::access::scope::Scope;
use crate::server::database::sqlite::bell::Bell;
use crate::server::database::{ChangePlace, Database, DatabaseError, Position};
use crate::server::jobs::TroubleLog;

mod postgres;

/// How many changes are read at once. A bound on memory; the rest of the pass follows at once.
const CHANGES_PER_BATCH: usize = 1_000;
/// How often a database that is away is tried again.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);
/// For how long a failed read of the log is repeated before the database is opened again, which costs every stream a
/// resync. Notices wait meanwhile.
const READ_PATIENCE: Duration = Duration::from_millis(500);
/// The pause before a failed read is repeated.
const READ_PAUSE: Duration = Duration::from_millis(50);

/// Hands on the changes that are appended to the log, from now on and until `shutdown`.
///
/// The tail survives every fault of the file: it opens the file again as soon as possible. `log_grew` wakes the
/// followers that read the log at their own pace.
pub async fn tail(
    database: Database,
    from: Cursor,
    outlet: Outlet,
    log_grew: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let ended = async {
        let mut read = ReadLog::up_to(&from);
        let mut reopened: Option<Instant> = None;
        let mut reopenings = postgres::Reopenings::default();
        while !outlet.is_closed() {
            let Err(error) = follow(&database, &mut read, &outlet, &log_grew, &shutdown).await else { return };
            if read.is_to_repeat(&error, Instant::now()) {
                let _ = shutdown.run_until_cancelled(tokio::time::sleep(READ_PAUSE)).await;
                continue;
            }
            tracing::warn!(%error, "could not follow the change log; opening the database again");
            if database.backend() == DbBackend::Postgres {
                reopenings.rest(&shutdown).await;
                if shutdown.run_until_cancelled(postgres::reopen(&database, &mut read, &outlet)).await != Some(true) {
                    return;
                }
                log_grew.notify_one();
                continue;
            }
            // A file that opens but fails again at once must not keep a core and a disk busy.
            if let Some(at) = reopened {
                let rest = REOPEN_INTERVAL.saturating_sub(at.elapsed());
                let _ = shutdown.run_until_cancelled(tokio::time::sleep(rest)).await;
            }
            read = match shutdown.run_until_cancelled(reopen(&database, &outlet)).await.flatten() {
                Some(cursor) => ReadLog::up_to(&cursor),
                None => return,
            };
            reopened = Some(Instant::now());
            // The index job may have to walk all rows of the file: it must not wait for the next change.
            log_grew.notify_one();
        }
    };
    ended.await;
}

/// The part of the log of one run that the tail has handed on.
struct ReadLog {
    epoch: String,
    reached: Position,
    newest: Option<change::Model>,
    /// Since when no read has succeeded.
    failing_since: Option<Instant>,
}

impl ReadLog {
    fn up_to(cursor: &Cursor) -> Self {
        let (epoch, reached) = (cursor.epoch().to_owned(), Position::of(cursor));
        Self { epoch, reached, newest: None, failing_since: None }
    }

    /// Notes a failure to read the log. Returns whether to read again from the same file: the storage can have failed
    /// for a moment, and SQLite reports a failed read of the disk as damage.
    fn is_to_repeat(&mut self, error: &DatabaseError, now: Instant) -> bool {
        if !matches!(error, DatabaseError::Storage(_) | DatabaseError::Damaged(_) | DatabaseError::Busy) {
            return false;
        }
        let first = *self.failing_since.get_or_insert_with(|| {
            tracing::warn!(%error, "could not read the change log; reading it again");
            now
        });
        now - first < READ_PATIENCE
    }
}

/// Follows the log of the open file until `shutdown`, or until the error that ends this.
async fn follow(
    database: &Database,
    read: &mut ReadLog,
    outlet: &Outlet,
    log_grew: &Notify,
    shutdown: &CancellationToken,
) -> Result<(), DatabaseError> {
    if database.backend() == DbBackend::Postgres {
        return postgres::follow(database, read, outlet, log_grew, shutdown).await;
    }
    let mut bell = Bell::connect(database).await?;
    let followed = shutdown.run_until_cancelled(follow_with(&mut bell, database, read, outlet, log_grew)).await;
    // An open connection would keep the file from being closed in order, and would meet the connections to another
    // file.
    bell.close().await;
    match followed {
        None => Ok(()),
        Some(Ok(never)) => match never {},
        Some(Err(error)) => Err(error),
    }
}

async fn follow_with(
    bell: &mut Bell,
    database: &Database,
    read: &mut ReadLog,
    outlet: &Outlet,
    log_grew: &Notify,
) -> Result<Infallible, DatabaseError> {
    loop {
        let end = bell.check(database, &read.epoch, &read.reached, read.newest.as_ref()).await?;
        let pass = between(&read.reached, &end);
        if !pass.is_empty() {
            note_lag(database, &pass);
            bell.stay_awake();
            log_grew.notify_one();
            read.newest =
                read_pass(bell, database, &pass, end.cursor(&read.epoch), read.newest.clone(), outlet).await?;
            read.reached = end;
        }
        database.metrics().log_lag.set(0);
        read.failing_since = None;
        bell.wait(database).await?;
    }
}

/// Shows how many changes wait to be handed on.
fn note_lag(database: &Database, rest: &Between) {
    database.metrics().log_lag.set(i64::try_from(rest.most_changes()).unwrap_or(i64::MAX));
}

/// Hands on one pass. `before` is the newest row of the pass before. Returns the newest row that was read.
async fn read_pass(
    bell: &mut Bell,
    database: &Database,
    pass: &Between,
    cursor: Cursor,
    before: Option<change::Model>,
    outlet: &Outlet,
) -> Result<Option<change::Model>, DatabaseError> {
    let mut rest = pass.clone();
    let mut newest = None;
    let mut read = 0;
    let mut has_unknown_kind = false;
    loop {
        let mut rows = bell.changes(rest.start(), rest.end(), CHANGES_PER_BATCH as u64).await?;
        // A hub that is busy takes the notices later.
        let read_at = Instant::now().into_std();
        let is_last = rows.len() < CHANGES_PER_BATCH;
        read += rows.len() as u64;
        match rows.iter().map(notice).collect::<Option<Vec<Notice>>>() {
            Some(notices) if !has_unknown_kind && !notices.is_empty() => {
                let position = |row: &change::Model| rest.after_row(LogPlace::of_id(row.id));
                let places = rows.iter().map(|row| ChangePlace { position: position(row), transaction: None });
                outlet.notices(notices, read_at, places).await;
            }
            Some(_) => {}
            None => has_unknown_kind = true,
        }
        newest = rows.pop().or(newest);
        match &newest {
            Some(row) if !is_last => {
                rest = between(&rest.after_row(LogPlace::of_id(row.id)), pass.end());
                note_lag(database, &rest);
            }
            _ => break,
        }
    }
    if continuity::has_gaps(DbBackend::Sqlite, pass, read) {
        // Another program deleted rows before they were read, and maybe before they were counted: opening the file
        // again counts the events anew.
        return Err(DatabaseError::Away("rows of the change log were deleted before the server read them".to_owned()));
    }
    let newest = newest.or(before);
    // Noted before a client of a stream can know the cursor.
    database.note_read(pass.end(), newest.as_ref());
    match has_unknown_kind {
        true => outlet.doubt("a change of a kind that is not known", cursor).await,
        false => outlet.complete(cursor).await,
    }
    Ok(newest)
}

/// Tries to open the database again until it succeeds. None when the hub has ended.
async fn reopen(database: &Database, outlet: &Outlet) -> Option<Cursor> {
    let began = Instant::now();
    let mut trouble = TroubleLog::new(REOPEN_INTERVAL);
    let mut is_away = false;
    while !outlet.is_closed() {
        let opened = match database.reopen().await {
            Ok(()) => database.snapshot(Scope::All).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match opened {
            Ok(read) => {
                let cursor = read.cursor().clone();
                tracing::info!(epoch = cursor.epoch(), "the database is open again");
                let reason = "the database was opened anew";
                outlet.doubt(reason, cursor.clone()).await;
                return Some(cursor);
            }
            Err(error) => {
                if trouble.is_new(&error, began.elapsed()) {
                    tracing::error!(error, "the database is away; it is tried again every second");
                }
                if !is_away {
                    outlet.database_away().await;
                    is_away = true;
                }
            }
        }
        tokio::time::sleep(REOPEN_INTERVAL).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::ReadLog;
    use crate::protocol::Cursor;
    use crate::server::database::DatabaseError;

    #[test]
    fn a_failed_read_is_repeated_for_a_while() {
        let (began, mut read) = (Instant::now(), ReadLog::up_to(&Cursor::counter("epoch", 1)));
        let text = || "the message of SQLite".to_owned();
        for (at_ms, error, expected) in [
            (0, DatabaseError::Storage(text()), true),
            (400, DatabaseError::Damaged(text()), true),
            (450, DatabaseError::Away(text()), false),
            (500, DatabaseError::Busy, false),
            (60_000, DatabaseError::Storage(text()), false),
        ] {
            assert_eq!(read.is_to_repeat(&error, began + Duration::from_millis(at_ms)), expected, "{at_ms}");
        }
    }
}
