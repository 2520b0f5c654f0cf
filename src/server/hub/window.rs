//! The window: what is held back for a moment, so that a burst costs each screen one flush.
//!
//! The first change after quiet goes out at once; later ones wait until the window since the last flush has passed. In
//! a flush there is at most one notice for each kind and task, the newest, with the count of those it stands for. No
//! clock, no I/O: it is told the time.

use std::collections::HashMap;
use std::time::Duration;

use crate::protocol::{Cursor, Notice, TaskId};

/// How many notices wait at most. A window that holds more is a doubt about everything, which costs a screen less.
const MOST: usize = 10_000;
/// How many deliveries a flush may cause before the window widens: some 10 ms of one core at half a microsecond each.
const HEAVY: usize = 20_000;
/// How much wider than its base a window gets.
const WIDEST: u32 = 8;

/// Collects notices until they are due.
#[derive(Debug)]
pub struct Window {
    base: Duration,
    widen: u32,
    pending: Vec<Merged>,
    places: HashMap<Place, usize>,
    doubt: Option<&'static str>,
    /// A pass over the log has begun and no cursor completes it yet: a flush now would name changes that follow later.
    incomplete: bool,
    cursor: Option<Cursor>,
    due: Option<Duration>,
    last_flush: Option<Duration>,
}

/// One notice for `count` changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The newest of them.
    pub notice: Notice,
    /// How many.
    pub count: u32,
}

/// What became due.
#[derive(Clone, Debug, PartialEq)]
pub enum Flushed {
    /// At most one for each kind and task.
    Notices {
        /// The notices, in the order in which their kind and task first came.
        merged: Vec<Merged>,
        /// Contains all of them.
        cursor: Cursor,
    },
    /// Everything is in doubt.
    Doubt {
        /// Why.
        reason: &'static str,
        /// What everything asked for from now on contains.
        cursor: Cursor,
    },
}

/// What is merged: one kind, one task, one project. A task that moves is told of in both its projects, and a change of
/// parent for both parents.
type Place = (&'static str, Option<TaskId>, String, Option<TaskId>);

impl Window {
    /// A window that is `base` wide while it is not heavy.
    pub fn new(base: Duration) -> Self {
        Self {
            base,
            widen: 1,
            pending: Vec::new(),
            places: HashMap::new(),
            doubt: None,
            incomplete: false,
            cursor: None,
            due: None,
            last_flush: None,
        }
    }

    /// Takes notices of a pass. They go out once [`Window::handle_complete`] has named the cursor that contains them.
    pub fn handle_notices(&mut self, notices: Vec<Notice>, now: Duration) {
        self.incomplete = true;
        self.plan(now);
        for notice in notices {
            if self.doubt.is_some() {
                return;
            }
            if self.pending.len() >= MOST {
                self.doubt = Some("too much changed at once");
                self.pending.clear();
                self.places.clear();
                return;
            }
            match self.places.get(&place(&notice)) {
                Some(at) => {
                    let held = &mut self.pending[*at];
                    held.count = held.count.saturating_add(1);
                    held.notice = newer(&held.notice, notice);
                }
                None => {
                    self.places.insert(place(&notice), self.pending.len());
                    self.pending.push(Merged { notice, count: 1 });
                }
            }
        }
    }

    /// Takes the cursor that contains every notice taken so far: the pass is complete.
    pub fn handle_complete(&mut self, cursor: Cursor) {
        self.incomplete = false;
        self.cursor = Some(cursor);
    }

    /// Takes a doubt about everything up to `cursor`. It completes the pass.
    pub fn handle_doubt(&mut self, reason: &'static str, cursor: Cursor, now: Duration) {
        self.handle_complete(cursor);
        self.plan(now);
        self.doubt = Some(reason);
        self.pending.clear();
        self.places.clear();
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.places.clear();
        self.doubt = None;
        self.incomplete = false;
        self.due = None;
    }

    /// The time of the next flush. None while no notice waits, and while a pass is incomplete.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.due.filter(|_| !self.incomplete)
    }

    /// What is due at `now`, for so many listeners.
    pub fn poll_flush(&mut self, now: Duration, listeners: usize) -> Option<Flushed> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.due = None;
        self.last_flush = Some(now);
        let cursor = self.cursor.clone()?;
        let merged = std::mem::take(&mut self.pending);
        self.places.clear();
        let heavy = merged.len().saturating_mul(listeners) > HEAVY;
        self.widen = if heavy { (self.widen * 2).min(WIDEST) } else { (self.widen / 2).max(1) };
        if let Some(reason) = self.doubt.take() {
            return Some(Flushed::Doubt { reason, cursor });
        }
        (!merged.is_empty()).then_some(Flushed::Notices { merged, cursor })
    }

    fn plan(&mut self, now: Duration) {
        let earliest = self.last_flush.map(|last| last + self.base * self.widen);
        self.due.get_or_insert(earliest.map_or(now, |earliest| earliest.max(now)));
    }
}

fn place(notice: &Notice) -> Place {
    let parent = match notice {
        Notice::TaskStarted(notice) => notice.parent_task_id.clone(),
        Notice::TaskUpdated(notice) => notice.parent_task_id.clone(),
        Notice::TaskCompleted(notice) => notice.parent_task_id.clone(),
        Notice::TaskDeleted(notice) => notice.parent_task_id.clone(),
        Notice::TasksPurged(_)
        | Notice::SessionStarted(_)
        | Notice::SessionEnded(_)
        | Notice::EventLogged(_)
        | Notice::EventUpdated(_)
        | Notice::BookmarkSaved(_)
        | Notice::BookmarkDeleted(_) => None,
    };
    (notice.kind(), notice.task_id().cloned(), notice.project().to_owned(), parent)
}

/// The newer of two notices of one place. What a purge counts adds up.
fn newer(held: &Notice, notice: Notice) -> Notice {
    match (held, notice) {
        (Notice::TasksPurged(held), Notice::TasksPurged(mut purged)) => {
            purged.count += held.count;
            Notice::TasksPurged(purged)
        }
        (_, notice) => notice,
    }
}
