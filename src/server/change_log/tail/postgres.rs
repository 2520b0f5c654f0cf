//! The tail on Postgres: a pass is the rows that one snapshot shows and the snapshot before did not.
//!
//! A database that was away has lost nothing as long as its epoch is the same. Then the tail goes on where it was, and
//! no client notices more than the delay.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{CHANGES_PER_BATCH, REOPEN_INTERVAL, ReadLog, notice};
use crate::protocol::{Cursor, Notice};
use crate::server::access::scope::Scope;
use crate::server::change_log::{Outlet, continues};
use crate::server::database::postgres::location::ANSWER_TIMEOUT;
use crate::server::database::postgres::log_reader::{LogReader, LoggedChange};
use crate::server::database::{ChangePlace, Database, DatabaseError, Position};
use crate::server::jobs::TroubleLog;

/// The pause before the first tries to reach the database again. A restart of Postgres takes less than a second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The pauses before a database that was reached again fails again: at once, then after a pause that grows. A few failures
/// in a row are the end of one outage, and each pause refuses requests.
#[derive(Default)]
pub(super) struct Reopenings {
    last: Option<Instant>,
    pause: Duration,
}

impl Reopenings {
    /// Pauses before the database is opened again.
    pub(super) async fn rest(&mut self, shutdown: &CancellationToken) {
        self.pause = match self.last {
            Some(at) if at.elapsed() < 2 * REOPEN_INTERVAL => (self.pause * 2).clamp(FIRST_PAUSE, REOPEN_INTERVAL),
            _ => Duration::ZERO,
        };
        let _ = shutdown.run_until_cancelled(tokio::time::sleep(self.pause)).await;
        self.last = Some(Instant::now());
    }
}

/// What a pass handed on so far.
struct Pass<'p> {
    outlet: &'p Outlet,
    from: &'p Position,
    to: &'p Cursor,
    has_unknown_kind: bool,
}

/// Follows the log until `shutdown`, or until the error that ends this.
pub(super) async fn follow(
    database: &Database,
    read: &mut ReadLog,
    outlet: &Outlet,
    log_grew: &Notify,
    shutdown: &CancellationToken,
) -> Result<(), DatabaseError> {
    let mut log = LogReader::connect(database).await?;
    let followed = shutdown.run_until_cancelled(follow_with(&mut log, database, read, outlet, log_grew)).await;
    log.close().await;
    match followed {
        None => Ok(()),
        Some(Ok(never)) => match never {},
        Some(Err(error)) => Err(error),
    }
}

async fn follow_with(
    log: &mut LogReader,
    database: &Database,
    read: &mut ReadLog,
    outlet: &Outlet,
    log_grew: &Notify,
) -> Result<Infallible, DatabaseError> {
    loop {
        let (cursor, changes) = read_pass(log, database, &read.reached, outlet).await?;
        read.reached = Position::of(&cursor);
        read.failing_since = None;
        database.metrics().log_lag.set(0);
        if changes > 0 {
            log.stay_awake();
            database.note_growth(changes);
            log_grew.notify_one();
        }
        log.wait(database).await;
    }
}

/// Hands on the rows that are visible now and were not in `from`. Returns the cursor that contains them, and how many
/// there were.
async fn read_pass(
    log: &mut LogReader,
    database: &Database,
    from: &Position,
    outlet: &Outlet,
) -> Result<(Cursor, usize), DatabaseError> {
    let mut look = log.look(database, from).await?;
    let cursor = look.cursor.clone();
    let mut changes = look.part(CHANGES_PER_BATCH).await?;
    if changes.is_empty() {
        // Other transactions of the server move the snapshot, which tells a client nothing.
        outlet.quiet(&cursor);
        return Ok((cursor, 0));
    }
    let mut pass = Pass { outlet, from, to: &cursor, has_unknown_kind: false };
    let mut read = 0;
    while !changes.is_empty() {
        let is_last = changes.len() < CHANGES_PER_BATCH;
        read += changes.len();
        pass.hand_on(&changes).await;
        if is_last {
            break;
        }
        // At least: the number of the rest is not known.
        database.metrics().log_lag.set(CHANGES_PER_BATCH as i64);
        changes = look.part(CHANGES_PER_BATCH).await?;
    }
    pass.complete().await;
    Ok((cursor, read))
}

impl Pass<'_> {
    /// Hands on the notices of rows.
    async fn hand_on(&mut self, changes: &[LoggedChange]) {
        // A hub that is busy takes the notices later.
        let read_at = Instant::now().into_std();
        let to = Position::of(self.to);
        let place = |change: &LoggedChange| ChangePlace {
            position: self.from.up_to(&to, change.xid),
            transaction: Some(change.xid),
        };
        match changes.iter().map(|change| notice(&change.row)).collect::<Option<Vec<Notice>>>() {
            Some(notices) if !self.has_unknown_kind && !notices.is_empty() => {
                self.outlet.notices(notices, read_at, changes.iter().map(place)).await;
            }
            Some(_) => {}
            None => self.has_unknown_kind = true,
        }
    }

    /// Hands on that the pass is complete.
    async fn complete(self) {
        match self.has_unknown_kind {
            true => self.outlet.doubt("a change of a kind that is not known", self.to.clone()).await,
            false => self.outlet.complete(self.to.clone()).await,
        }
    }
}

/// Tries to reach the database again until it succeeds. False when the hub has ended.
pub(super) async fn reopen(database: &Database, read: &mut ReadLog, outlet: &Outlet) -> bool {
    let began = Instant::now();
    let mut trouble = TroubleLog::new(REOPEN_INTERVAL);
    let mut pause = FIRST_PAUSE;
    // Answers from memory are not right any more: another server can write while this one hears of nothing.
    outlet.pause();
    while !outlet.is_closed() {
        match resume(database, read, outlet).await {
            Ok(()) => return true,
            Err(error) => {
                database.note_unreachable();
                if trouble.is_new(&error, began.elapsed()) {
                    tracing::error!(error, "the database is away; it is tried again every second");
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(REOPEN_INTERVAL);
    }
    false
}

/// Goes on from the last cursor if the log still continues it. Otherwise every read model is in doubt.
async fn resume(database: &Database, read: &mut ReadLog, outlet: &Outlet) -> Result<(), String> {
    database.reopen().await.map_err(|error| error.to_string())?;
    let reached = read.reached.cursor(&read.epoch);
    let compared = async {
        let now = database.snapshot(Scope::All).await?;
        let goes_on = continues(&now, &reached).await?;
        Ok::<_, DatabaseError>((now.cursor().clone(), goes_on))
    };
    // Postgres can end again meanwhile. Requests wait for a connection until the tail sees that.
    let compared = timeout(ANSWER_TIMEOUT, compared).await;
    let compared = compared.map_err(|_| "the server did not answer in time".to_owned())?;
    let (cursor, goes_on) = compared.map_err(|error| error.to_string())?;
    if goes_on {
        tracing::info!("the database is back, and nothing was missed");
        read.failing_since = None;
        outlet.resume(&reached);
        return Ok(());
    }
    tracing::info!(epoch = cursor.epoch(), "the database is open again");
    *read = ReadLog::up_to(&cursor);
    outlet.doubt("the database was opened anew", cursor).await;
    Ok(())
}
