//! The changes that the cache has noted: how far it has heard of the log, and where in the log each read model changed
//! last.
//!
//! Every doubt is answered by the floor: an answer that does not contain the floor counts as stale. So a read model
//! that is not in the table cannot be taken for an unchanged one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::engine::invalidation;
use crate::protocol::{Cursor, EveryTask, Notice, ReadModel, Watched};
use crate::server::access::scope::Scope;
use crate::server::database::read_key::ReadKey;
use crate::server::database::{ChangePlace, Position};

mod recent;
use recent::RecentChanges;

/// How many read models each of the two halves of the table holds. With more changes the older half is dropped, and an
/// answer that was read before them and not used since is read again. A half takes less than 8 MB, without the open
/// transactions of its positions.
const READ_MODELS: usize = 28_000;

/// A read model with the project of the caller, as a number. Two with one number only make each other stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Dependency {
    number: u64,
    is_task: bool,
}

/// The changes of one run of the database, up to a cursor.
pub(super) struct NotedChanges {
    reached: Cursor,
    /// Contains every change of a read model that is not in the table.
    floor: Position,
    /// The last change that can concern every task.
    every_task: Position,
    newer: HashMap<Dependency, LastChange>,
    older: HashMap<Dependency, LastChange>,
    /// The last change in the older half.
    older_end: Position,
    /// The last change that was noted.
    last: Position,
    /// A position right before the last change. All changes of a transaction have one position on Postgres, so that of
    /// the change before can contain the last one.
    before_last: Position,
    half: usize,
    recent: RecentChanges,
}

/// The last change of a read model. The changes between two completed cursors count as one.
#[derive(Clone)]
struct LastChange {
    at: Position,
    /// A position right before the change.
    before: Position,
    /// The change before: between it and `before` the read model did not change.
    previous: Position,
    /// None: only the position is known.
    exact: Option<ExactChange>,
}

/// How many transactions an exact change names at most. More of them in one pass are a load in which each answer is read
/// again anyway.
const TRANSACTIONS: usize = 16;

/// The transactions of the last changes of a read model, on Postgres.
///
/// The position of a change contains all transactions that had ended when the tail looked, and an answer that was read a
/// moment before can lack some of them. Such an answer is current if it contains the transactions of the changes.
#[derive(Clone)]
struct ExactChange {
    /// Contains every change of the read model but those of the transactions.
    after: Position,
    transactions: Vec<u64>,
}

/// The cursor since which the changes of an answer are read: the answer was the same there as at the cursor of the
/// caller, and the log has few changes from there on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server::database) struct Base {
    pub(in crate::server::database) cursor: Cursor,
    /// No change of the answer is noted that the caller does not hold.
    pub(in crate::server::database) is_current: bool,
}

impl Dependency {
    /// The read model of a caller. A task has the same answer in every scope that contains it, and its notices name it
    /// in every project, so its changes are noted once.
    pub(super) fn new(read_model: &ReadModel, project: Option<&str>) -> Self {
        let (is_task, project) = match read_model {
            ReadModel::Task(_) => (true, None),
            ReadModel::Overview | ReadModel::Bookmarks | ReadModel::Agents => (false, project),
        };
        let mut hasher = DefaultHasher::new();
        (read_model, project).hash(&mut hasher);
        Self { number: hasher.finish(), is_task }
    }

    /// The read model of a caller with this scope.
    pub(super) fn of(read_model: &ReadModel, scope: &Scope) -> Self {
        Self::new(read_model, scope.project())
    }
}

impl ExactChange {
    /// The same with a further transaction. None if there are too many.
    fn with(&self, transaction: u64) -> Option<Self> {
        let mut exact = self.clone();
        if !exact.transactions.contains(&transaction) {
            exact.transactions.push(transaction);
        }
        (exact.transactions.len() <= TRANSACTIONS).then_some(exact)
    }

    fn is_in(&self, at: &Position) -> bool {
        at.covers(&self.after) && self.transactions.iter().all(|transaction| at.contains(*transaction))
    }
}

impl NotedChanges {
    /// No answer that was read before `cursor` is current.
    pub(super) fn from(cursor: Cursor) -> Self {
        Self::with_table(cursor, READ_MODELS)
    }

    fn with_table(cursor: Cursor, half: usize) -> Self {
        let floor = Position::of(&cursor);
        Self {
            reached: cursor,
            every_task: floor.clone(),
            older_end: floor.clone(),
            last: floor.clone(),
            before_last: floor.clone(),
            floor,
            newer: HashMap::new(),
            older: HashMap::new(),
            half,
            recent: RecentChanges::default(),
        }
    }

    /// The cursor up to which every change is noted.
    pub(super) fn reached(&self) -> &Cursor {
        &self.reached
    }

    /// Notes a change. The changes come in the order of the log.
    pub(super) fn note(&mut self, notice: &Notice, place: &ChangePlace) {
        let position = &place.position;
        self.recent.note(notice, position);
        let reached = Position::of(&self.reached);
        if !self.last.covers(position) {
            self.before_last = if self.last.covers(&reached) { self.last.clone() } else { reached };
        }
        let before = self.before_last.clone();
        for stale in invalidation::stale(notice) {
            match stale {
                Watched::Group(EveryTask) => self.every_task = position.clone(),
                Watched::One(model @ ReadModel::Task(_)) => self.put(Dependency::new(&model, None), &before, place),
                Watched::One(model) => {
                    self.put(Dependency::new(&model, None), &before, place);
                    self.put(Dependency::new(&model, Some(notice.project())), &before, place);
                }
            }
        }
    }

    fn put(&mut self, changed: Dependency, before: &Position, place: &ChangePlace) {
        let (at, last, reached) = (place.position.clone(), self.last_change(changed), Position::of(&self.reached));
        let change = match last {
            Some(last) if !reached.covers(&last.at) => {
                let exact = last.exact.as_ref().zip(place.transaction);
                LastChange { at, exact: exact.and_then(|(exact, also)| exact.with(also)), ..last.clone() }
            }
            _ => LastChange {
                at,
                before: before.clone(),
                previous: last.map_or_else(|| self.floor.clone(), |last| last.at.clone()),
                // The table can have dropped an earlier change of this pass, but not without the floor.
                exact: place
                    .transaction
                    .filter(|_| reached.covers(&self.floor))
                    .map(|transaction| ExactChange { after: reached, transactions: vec![transaction] }),
            },
        };
        if self.newer.len() >= self.half && !self.newer.contains_key(&changed) {
            self.older = std::mem::take(&mut self.newer);
            // The changes that stay are behind all changes that are dropped.
            self.floor = std::mem::replace(&mut self.older_end, self.last.clone());
        }
        self.newer.insert(changed, change);
        self.last = place.position.clone();
    }

    fn last_change(&self, dependency: Dependency) -> Option<&LastChange> {
        self.newer.get(&dependency).or_else(|| self.older.get(&dependency))
    }

    /// Notes that every change in `cursor` was noted. Returns false if the cursor is of another run.
    pub(super) fn complete(&mut self, cursor: &Cursor) -> bool {
        let reached = self.reached.joined(cursor);
        let is_ours = reached.is_some();
        self.reached = reached.unwrap_or_else(|| self.reached.clone());
        is_ours
    }

    /// Whether no change of `dependency` is noted that an answer at `cursor` does not contain.
    pub(super) fn is_current(&self, dependency: Dependency, cursor: &Cursor) -> bool {
        if cursor.epoch() != self.reached.epoch() {
            return false;
        }
        let at = Position::of(cursor);
        let has_last = match self.last_change(dependency) {
            Some(change) => at.covers(&change.at) || change.exact.as_ref().is_some_and(|exact| exact.is_in(&at)),
            None => at.covers(&self.floor),
        };
        has_last && self.has_every_task(dependency, &at)
    }

    /// Whether a caller that holds the answer at `cursor` is known to need the whole one.
    pub(super) fn need_whole(&self, read: &ReadKey, scope: &Scope, cursor: &Cursor) -> bool {
        cursor.epoch() == self.reached.epoch() && self.recent.need_whole(read, scope, &Position::of(cursor))
    }

    /// The base of the changes for a caller that holds an answer at `cursor`. All the callers that hold the answer
    /// before the last change get the same one.
    pub(super) fn base(&self, dependency: Dependency, cursor: &Cursor) -> Base {
        if self.is_current(dependency, cursor) {
            let now = self.reached.joined(cursor).unwrap_or_else(|| cursor.clone());
            return Base { cursor: now, is_current: true };
        }
        let cursor = self.before_last_change(dependency, cursor).unwrap_or_else(|| cursor.clone());
        Base { cursor, is_current: false }
    }

    fn before_last_change(&self, dependency: Dependency, cursor: &Cursor) -> Option<Cursor> {
        let at = Position::of(cursor);
        let change = self.last_change(dependency).filter(|_| cursor.epoch() == self.reached.epoch())?;
        let is_between = at.covers(&change.previous) && !at.covers(&change.at) && self.has_every_task(dependency, &at);
        is_between.then(|| change.before.cursor(cursor.epoch()))
    }

    fn has_every_task(&self, dependency: Dependency, at: &Position) -> bool {
        !dependency.is_task || at.covers(&self.every_task)
    }
}

#[cfg(test)]
mod tests;
