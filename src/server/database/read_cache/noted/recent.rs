//! The last changes themselves. They tell without a query that a caller needs a whole answer: the query for its changes
//! would come on top of the whole read.

use std::collections::{HashSet, VecDeque};

use crate::protocol::limits;
use crate::protocol::{BookmarkId, EventId, Notice, NoticeKind, ReadModel, TaskId};
use crate::server::access::scope::Scope;
use crate::server::database::Position;
use crate::server::database::read_key::{ListedRows, ReadKey, most_changed_rows};

/// The last changes that were noted, as many as an answer with changes can be about, with the position of each.
#[derive(Default)]
pub(super) struct RecentChanges(VecDeque<(Position, Notice)>);

/// What a change says about a list.
enum Named<'n> {
    Nothing,
    /// The row with this id changed.
    Row(&'n str),
    /// The change does not name each row that it changed.
    NotAll,
}

impl RecentChanges {
    pub(super) fn note(&mut self, notice: &Notice, position: &Position) {
        if self.0.len() as u64 >= limits::SINCE_CHANGES {
            self.0.pop_front();
        }
        self.0.push_back((position.clone(), notice.clone()));
    }

    /// Whether a caller that holds the answer at `at` is known to need the whole one. False says nothing: the log
    /// decides.
    pub(super) fn need_whole(&self, read: &ReadKey, scope: &Scope, at: &Position) -> bool {
        let (Some((rows, limit)), Some(read_model)) = (read.listed(), read.read_model()) else { return false };
        let mut changed = HashSet::new();
        self.0.iter().rev().take_while(|(position, _)| !at.covers(position)).any(|(_, notice)| {
            match named(rows, read_model, scope, notice) {
                Named::Nothing => false,
                Named::Row(id) => changed.insert(id) && changed.len() > most_changed_rows(limit),
                Named::NotAll => true,
            }
        })
    }
}

/// The kinds are those of the queries for the changed rows in `sql::change_log`.
fn named<'n>(rows: ListedRows, read_model: &ReadModel, scope: &Scope, notice: &'n Notice) -> Named<'n> {
    use NoticeKind as Kind;
    let (kind, fields) = (notice.notice_kind(), notice.fields());
    let is_of_task = || matches!(read_model, ReadModel::Task(own) if fields.task_id == Some(own));
    let row = |id: Option<&'n str>| id.map_or(Named::Nothing, Named::Row);
    match rows {
        ListedRows::Tasks | ListedRows::Bookmarks if !scope.contains(notice.project()) => Named::Nothing,
        ListedRows::Tasks => match kind {
            Kind::TasksPurged => Named::NotAll,
            Kind::TaskStarted | Kind::TaskUpdated | Kind::TaskCompleted | Kind::TaskDeleted | Kind::EventLogged => {
                row(fields.task_id.map(TaskId::as_str))
            }
            _ => Named::Nothing,
        },
        ListedRows::Bookmarks => match kind {
            Kind::TasksPurged | Kind::TaskDeleted => Named::NotAll,
            Kind::BookmarkSaved | Kind::BookmarkDeleted => row(fields.bookmark_id.map(BookmarkId::as_str)),
            _ => Named::Nothing,
        },
        ListedRows::Events if !is_of_task() => Named::Nothing,
        ListedRows::Events => match kind {
            Kind::TaskStarted | Kind::TaskDeleted => Named::NotAll,
            Kind::EventLogged | Kind::EventUpdated => row(fields.event_id.map(EventId::as_str)),
            _ => Named::Nothing,
        },
    }
}
