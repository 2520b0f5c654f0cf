//! The window: it holds notices back for a moment, so that a burst of changes costs each screen one flush.
//!
//! The first notice after a quiet time goes out at once. Later notices wait until one window has passed since the last
//! flush. A flush has at most one notice for each kind and task: the newest, with the number of changes that it stands
//! for. A notice for which a person may wait goes out early, with all that waits: a task that started, that ended or
//! that has another status in some other way, a question, a plan, and a todo list. The window reads no clock and does
//! no I/O: the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::protocol::limits;
use crate::protocol::model::Lane;
use crate::protocol::{Cursor, Notice, TaskId};

/// Sending takes at most two thirds of the time: the window is at least so many times as wide as the last flush took.
const WINDOW_PER_SENDING: f64 = 1.5;
/// The shortest time from the end of an early flush to the next one.
const EARLY_PAUSE: Duration = Duration::from_millis(10);
/// The kinds of events that a person waits for, see [`is_urgent`].
const URGENT_EVENTS: [&str; 4] = ["permission.requested", "plan", "question", "todo"];
/// The lanes of such events. Many agents ask, and write their todo list, by a call of a tool.
const URGENT_LANES: [Lane; 2] = [Lane::Questions, Lane::Todos];

/// Collects notices until they are due.
#[derive(Debug)]
pub struct Window {
    base: Duration,
    /// The time from one flush at the end of a window to the next.
    width: Duration,
    pending: Vec<Merged>,
    index_by_key: HashMap<MergeKey, usize>,
    doubt: Option<&'static str>,
    /// A pass over the log has begun and no cursor completes it yet. The last cursor does not contain the pending
    /// notices, so the flush has to wait.
    incomplete: bool,
    cursor: Option<Cursor>,
    due: Option<Duration>,
    early: Option<Duration>,
    /// The time when the change of the first pending notice was read.
    read_at: Option<Instant>,
    last_flush: Option<Duration>,
    /// The flush that was taken last.
    last: FlushKind,
    /// No flush begins before: the last early one took so long.
    rest_until: Duration,
    /// No early flush begins before.
    early_from: Duration,
}

/// The reason for a flush.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FlushKind {
    /// The window ended.
    AtEnd,
    /// The window ended, and a person may wait for a notice of the flush.
    UrgentAtEnd,
    /// A person may wait for a notice of the flush, and the window had not ended.
    Early,
}

/// A flush whose time has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// The content.
    pub flushed: Flushed,
    /// The time when the change of its first notice was read. None: it has no notice, only a doubt.
    pub read_at: Option<Instant>,
    /// How many notices were merged into another one.
    pub merged_away: u64,
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
            width: base,
            pending: Vec::new(),
            index_by_key: HashMap::new(),
            doubt: None,
            incomplete: false,
            cursor: None,
            due: None,
            early: None,
            read_at: None,
            last_flush: None,
            last: FlushKind::AtEnd,
            rest_until: Duration::ZERO,
            early_from: Duration::ZERO,
        }
    }

    /// Takes notices of a pass, whose changes were read from the log at `read_at`. They go out once
    /// [`Window::handle_complete`] has named the cursor that contains them.
    pub fn handle_notices(&mut self, notices: Vec<Notice>, read_at: Instant, now: Duration) {
        self.incomplete = true;
        self.read_at.get_or_insert(read_at);
        self.plan(now);
        if notices.iter().any(is_urgent) {
            self.early.get_or_insert(now.max(self.early_from));
        }
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
        self.early = None;
        self.read_at = None;
    }

    /// The time of the next flush. None while no notice waits, and while a pass is incomplete.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let due = self.early.into_iter().chain(self.due).min();
        due.filter(|_| !self.incomplete)
    }

    /// The flush that is due at `now`.
    pub fn poll_flush(&mut self, now: Duration) -> Option<Due> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.last = match (self.due.is_some_and(|due| due <= now), self.early) {
            (true, None) => FlushKind::AtEnd,
            (true, Some(_)) => FlushKind::UrgentAtEnd,
            (false, _) => FlushKind::Early,
        };
        // An early flush is no reason to let the next notices wait longer.
        if self.last != FlushKind::Early {
            self.last_flush = Some(now);
        }
        (self.due, self.early) = (None, None);
        let read_at = self.read_at.take();
        let cursor = self.cursor.clone()?;
        let merged = std::mem::take(&mut self.pending);
        self.index_by_key.clear();
        let merged_away = merged.iter().map(|one| u64::from(one.count) - 1).sum();
        let flushed = match self.doubt.take() {
            Some(reason) => Flushed::Doubt { reason, cursor },
            None if merged.is_empty() => return None,
            None => Flushed::Notices { merged, cursor },
        };
        Some(Due { flushed, read_at, merged_away })
    }

    /// Notes that the last flush was sent at `now`, and how long that took. The window widens with it. An early flush
    /// may have few notices, so it says nothing about the next window; a pause of half of its time follows instead.
    pub fn handle_sent(&mut self, took: Duration, now: Duration) {
        let widest = self.base * limits::WIDEST_WINDOW;
        match self.last {
            FlushKind::AtEnd | FlushKind::UrgentAtEnd => {
                self.width = took.mul_f64(WINDOW_PER_SENDING).clamp(self.base, widest);
            }
            FlushKind::Early => self.rest_until = now + (took / 2).min(widest),
        }
        if self.last != FlushKind::AtEnd {
            self.early_from = now + EARLY_PAUSE.max(took / 2);
        }
    }

    fn plan(&mut self, now: Duration) {
        let earliest = self.last_flush.map_or(now, |last| last + self.width);
        self.due.get_or_insert(earliest.max(self.rest_until).max(now));
    }
}

/// Whether a person may wait for this change. The log does not say to which status a task changed, so every change of a
/// status counts. It does not say either with which status a task started, and a task can start as waiting.
fn is_urgent(notice: &Notice) -> bool {
    let fields = notice.fields();
    let kinds = fields.kinds.into_iter().flatten();
    let mut lanes = fields.lanes.into_iter().flatten();
    matches!(notice, Notice::TaskStarted(_))
        || fields.status.is_some()
        || fields.status_changed == Some(&true)
        || kinds.map(String::as_str).any(|kind| URGENT_EVENTS.contains(&kind))
        || lanes.any(|lane| URGENT_LANES.contains(lane))
}

fn merge_key(notice: &Notice) -> MergeKey {
    (notice.kind(), notice.task_id().cloned(), notice.project().to_owned(), notice.parent_task_id().cloned())
}
