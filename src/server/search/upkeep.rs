//! Brings the index to where the log is, in steps that hold up a writer for some milliseconds each.
//!
//! The log only says which rows to look at; what is indexed is how they are in one snapshot. So each step can be
//! repeated, and one that was interrupted is. Where the log does not tell what is missing, all rows are walked, the
//! newest first, and the index answers meanwhile from what it has.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, Statement};

use super::rows::Table;
use super::state::State;
use super::write::{self, Batch};
use super::{Index, damage, follow, gone};
use crate::server::database::sqlite::health::Health;
use crate::server::database::{DatabaseError, ReadTransaction};

/// How many changes or rows one step looks at.
pub(super) const AT_ONCE: u32 = 200;
/// How many changes are followed one by one. Further behind, the newest rows are indexed first.
const FOLLOWED: i64 = 100_000;
/// How long to rest after a step, in times of what it held up others: they have the lock most of the time.
const REST: u32 = 2;
const SHORTEST_REST: Duration = Duration::from_millis(1);
/// How often it looks by itself.
const LOOK: Duration = Duration::from_secs(30);
/// How long to wait after something went wrong: twice as long each time, up to a minute.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long after the last trouble the next is a new one.
const OVER: Duration = Duration::from_secs(600);
/// How many kinds of trouble are told of in that time.
const TOLD: usize = 10;
/// How soon an index that was made again is made again, and one that was looked at is looked at again. What damages it
/// more often is not cured by that.
const MENDED: Duration = Duration::from_secs(60);

/// Keeps the index for as long as it is polled, whatever goes wrong.
pub async fn keep(index: Index) {
    let mut keeper = Keeper { unmerged: true, mended: None, told: false, looked: None };
    let mut trouble = Trouble::default();
    loop {
        let made = index.database.index().made();
        // A panic is a fault like any other: without the index the server is as good as ever.
        let done = AssertUnwindSafe(keeper.advance(&index)).catch_unwind().await;
        let error = match done {
            Ok(Ok(Some(held))) => {
                rest(held).await;
                continue;
            }
            Ok(Ok(None)) => {
                tokio::select! {
                    () = index.news.notified() => {}
                    () = index.database.index().rung() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
                continue;
            }
            // Tried again soon; whoever made it busy or took it away is told of elsewhere.
            Ok(Err(DatabaseError::Busy | DatabaseError::Away(_))) => {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            Ok(Err(error)) => {
                index.heed(&error, made);
                error.to_string()
            }
            Err(_) => "a fault of ours".to_owned(),
        };
        if trouble.is_new(&error) {
            tracing::error!(%error, "could not keep the search index; trying again");
        }
        tokio::time::sleep(trouble.pause()).await;
    }
}

struct Keeper {
    unmerged: bool,
    mended: Option<Instant>,
    /// Whether it was told that the index is to be made again.
    told: bool,
    looked: Option<Instant>,
}

impl Keeper {
    /// A little of what there is to do. For how long that held up others; none if there was nothing.
    async fn advance(&mut self, index: &Index) -> Result<Option<Duration>, DatabaseError> {
        let damage = index.database.index();
        if damage.is_suspected() && self.looked.is_none_or(|at| at.elapsed() > MENDED) {
            self.looked = Some(Instant::now());
            let made = damage.made();
            let health = index.database.health().await?;
            damage.looked_at();
            match health {
                Health::Sound => {}
                Health::Index(_) => damage.find(made),
                Health::File(detail) => return Err(DatabaseError::Damaged(detail)),
            }
        }
        if damage.is_found() && self.mended.is_none_or(|at| at.elapsed() > MENDED) {
            return self.mend(index).await.map(Some);
        }
        if let Some(held) = step(index).await? {
            self.unmerged = true;
            return Ok(Some(held));
        }
        if !self.unmerged {
            return Ok(None);
        }
        let (more, held) = write::merge(&index.database).await?;
        self.unmerged = more;
        Ok(Some(held))
    }

    /// Makes the index again. Where that fails, it is trouble like any other, told once and tried less and less often:
    /// each try takes the write lock.
    async fn mend(&mut self, index: &Index) -> Result<Duration, DatabaseError> {
        if !self.told {
            tracing::warn!("the search index is damaged; making it again");
            self.told = true;
        }
        let began = Instant::now();
        match damage::mend(&index.database).await {
            Ok(held) => {
                self.mended = Some(began);
                self.told = false;
                Ok(held)
            }
            // Not open, so nobody waits for a lock.
            Err(error) if index.database.epoch().is_none() => Err(error),
            Err(error) => {
                if !matches!(error, DatabaseError::Busy) {
                    index.database.index().give_up();
                }
                Err(DatabaseError::Index(format!("it cannot be made again, everything else works: {error}")))
            }
        }
    }
}

/// What goes wrong again and again: told once, and tried less and less often.
#[derive(Default)]
struct Trouble {
    told: Vec<String>,
    pause: Duration,
    last: Option<Instant>,
}

impl Trouble {
    /// Whether to tell of it.
    fn is_new(&mut self, error: &str) -> bool {
        if self.last.is_none_or(|last| last.elapsed() > OVER) {
            *self = Self::default();
        }
        self.last = Some(Instant::now());
        self.pause = (self.pause * 2).clamp(RETRY, LONGEST_PAUSE);
        let new = self.told.len() < TOLD && !self.told.iter().any(|told| told == error);
        if new {
            self.told.push(error.to_owned());
        }
        new
    }

    fn pause(&self) -> Duration {
        self.pause
    }
}

/// Leaves the lock to others for a while, after it was `held`.
pub(super) async fn rest(held: Duration) {
    tokio::time::sleep((held * REST).max(SHORTEST_REST)).await;
}

/// Follows the log a little, and walks a little where rows are walked. For how long that held up others; none if there
/// was nothing to do.
async fn step(index: &Index) -> Result<Option<Duration>, DatabaseError> {
    let (tx, state) = index.snapshot().await?;
    let end = tx.cursor().snapshot().xmax().cast_signed();
    let behind = state.next < end;
    let floor = floor(&tx).await?;
    let pruned = behind && floor.is_none_or(|floor| floor > state.next);
    let far_behind = state.stage.is_none() && end - state.next > FOLLOWED;
    if state.next == 0 || state.next > end || pruned || far_behind {
        drop(tx);
        write::begin_walk(&index.database).await?;
        return Ok(Some(Duration::ZERO));
    }
    index.reached.send_replace(state.reached());
    let mut done = None;
    if behind {
        done = Some(follow::follow(index, tx, &state, end).await?);
    } else {
        drop(tx);
    }
    if state.stage.is_some() {
        done = Some(done.unwrap_or_default() + walk(index).await?);
    }
    Ok(done)
}

async fn floor(tx: &ReadTransaction) -> Result<Option<i64>, DatabaseError> {
    let statement = Statement::from_string(tx.get_database_backend(), "select min(id) as floor from changes");
    match tx.query_one_raw(statement).await? {
        Some(row) => Ok(row.try_get("", "floor")?),
        None => Ok(None),
    }
}

/// Indexes the next rows of the walk: tasks, bookmarks and events, each from the newest to the oldest, and then deletes
/// the documents of rows that are gone.
async fn walk(index: &Index) -> Result<Duration, DatabaseError> {
    let (tx, before) = index.snapshot().await?;
    let Some(stage) = before.stage.clone() else { return Ok(Duration::ZERO) };
    let mut after = State { stage_at: None, ..before.clone() };
    let mut batch = Batch::default();
    let table = match stage.as_str() {
        "tasks" => Some((Table::Tasks, "bookmarks")),
        "bookmarks" => Some((Table::Bookmarks, "events")),
        "events" => Some((Table::Events, "gone")),
        _ => None,
    };
    if let Some((table, following)) = table {
        let rows = table.before(&tx, before.stage_at.as_deref(), AT_ONCE).await?;
        if table == Table::Tasks {
            // Where one of its events is still under another project, the walk will come to it.
            batch.settled = rows.iter().map(|row| (row.task_id.clone(), row.project())).collect();
        }
        let places: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let positions: Vec<Option<i64>> = rows.iter().map(|row| row.position).collect();
        match batch.take(rows, &mut after, true).checked_sub(1) {
            Some(last) => {
                after.stage_at = Some(positions[last].map_or_else(|| places[last].clone(), |at| at.to_string()));
                batch.settled.truncate(last + 1);
            }
            None => after.stage = Some(following.to_owned()),
        }
    } else {
        let (documents, at) = gone::below(&tx, before.stage_at.as_deref()).await?;
        batch.gone = documents;
        after.stage_at = at;
        if after.stage_at.is_none() {
            after.stage = None;
            after.stage_document = None;
        }
    }
    drop(tx);
    let mut held = batch.write(&index.database, &before, &after).await?;
    if after.stage.is_none() {
        for task_id in gone::tasks(&index.database).await? {
            held += gone::sweep(index, &task_id).await?;
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_PAUSE, RETRY, Trouble};

    #[test]
    fn what_goes_on_is_told_once_and_tried_less_and_less_often() {
        let mut trouble = Trouble::default();
        assert!(trouble.is_new("a"));
        assert_eq!(trouble.pause(), RETRY);
        assert!(!trouble.is_new("a") && trouble.is_new("b"));
        assert_eq!(trouble.pause(), RETRY * 4);
        assert_eq!((0..100).filter(|n| trouble.is_new(&n.to_string())).count(), 8);
        assert_eq!(trouble.pause(), LONGEST_PAUSE);
    }
}
