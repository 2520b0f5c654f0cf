//! The window: it holds notices back for a moment, so that a burst of changes costs each screen one flush.
//!
//! The first notice after a quiet time goes out at once. Later notices wait until one window has passed since the last
//! flush. A flush has at most one notice for each kind and task: the newest, with the number of changes that it stands
//! for. The window reads no clock and does no I/O: the time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use crate::protocol::limits;
use crate::protocol::{Cursor, Notice, TaskId};

/// How many deliveries a flush may cause before the window widens: half a microsecond each makes 10 ms of one core.
const HEAVY: usize = 20_000;
/// The widest window under load, as a multiple of the base width.
const WIDEST: u32 = 8;

/// Collects notices until they are due.
#[derive(Debug)]
pub struct Window {
    base: Duration,
    widen: u32,
    pending: Vec<Merged>,
    index_by_key: HashMap<MergeKey, usize>,
    doubt: Option<&'static str>,
    /// A pass over the log has begun and no cursor completes it yet. The last cursor does not contain the pending
    /// notices, so the flush has to wait.
    incomplete: bool,
    cursor: Option<Cursor>,
    due: Option<Duration>,
    last_flush: Option<Duration>,
}

/// One notice for `count` changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The newest of the merged notices.
    pub notice: Notice,
    /// The number of changes that it stands for.
    pub count: u32,
}

/// The content of one flush.
#[derive(Clone, Debug, PartialEq)]
pub enum Flushed {
    /// At most one for each kind and task.
    Notices {
        /// The notices, in the order in which their kind and task first came.
        merged: Vec<Merged>,
        /// Contains the changes of all these notices.
        cursor: Cursor,
    },
    /// Every read model is in doubt.
    Doubt {
        /// The reason, for the client's log.
        reason: &'static str,
        /// Every answer from now on contains this cursor.
        cursor: Cursor,
    },
}

/// The key by which notices are merged: kind, task, project and parent. A task that moves gives a notice in both
/// projects, and one for each of the two parents.
type MergeKey = (&'static str, Option<TaskId>, String, Option<TaskId>);

impl Window {
    /// A window that is `base` wide while the load is light.
    pub fn new(base: Duration) -> Self {
        Self {
            base,
            widen: 1,
            pending: Vec::new(),
            index_by_key: HashMap::new(),
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
            if self.pending.len() >= limits::NOTICES_PER_WINDOW {
                self.doubt = Some("too much changed at once");
                self.pending.clear();
                self.index_by_key.clear();
                return;
            }
            match self.index_by_key.get(&merge_key(&notice)) {
                Some(at) => {
                    let held = &mut self.pending[*at];
                    held.count = held.count.saturating_add(1);
                    held.notice = notice.merged_with(&held.notice);
                }
                None => {
                    self.index_by_key.insert(merge_key(&notice), self.pending.len());
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
        self.index_by_key.clear();
    }

    /// Drops all pending notices.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.index_by_key.clear();
        self.doubt = None;
        self.incomplete = false;
        self.due = None;
    }

    /// The time of the next flush. None while no notice waits, and while a pass is incomplete.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.due.filter(|_| !self.incomplete)
    }

    /// The flush that is due at `now`. The number of listeners decides whether the window widens.
    pub fn poll_flush(&mut self, now: Duration, listeners: usize) -> Option<Flushed> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.due = None;
        self.last_flush = Some(now);
        let cursor = self.cursor.clone()?;
        let merged = std::mem::take(&mut self.pending);
        self.index_by_key.clear();
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

fn merge_key(notice: &Notice) -> MergeKey {
    (notice.kind(), notice.task_id().cloned(), notice.project().to_owned(), notice.parent_task_id().cloned())
}
