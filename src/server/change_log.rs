//! The change log: the only source of notices.
//!
//! The database's triggers append to `changes`. `tail` follows the log and hands its notices to the `outlet`, `since`
//! reads the changes that a returning client has missed, `fold` adds the log to the figures and `prune` deletes its
//! old end. Every follower remembers a [`Position`](super::database::Position) and reads the changes `between` two
//! positions.

use requery_entities::change;

use crate::protocol::{Notice, NoticeColumns};

mod between;
pub use between::{Between, LogPlace, between};

mod continuity;
pub use continuity::{RunAndRows, continues, has_gaps};

mod outlet;
pub use outlet::Outlet;

mod tail;
pub use tail::tail;

mod since;
pub use since::since;

pub mod fold;
pub mod gone;
pub mod prune;

/// The notice of a row of the log. None for an unknown kind, which a newer version wrote.
fn notice(row: &change::Model) -> Option<Notice> {
    Notice::from_columns(&NoticeColumns {
        kind: &row.kind,
        project: &row.project,
        task_id: row.task_id.as_deref(),
        parent_task_id: row.parent_task_id.as_deref(),
        object_id: row.object_id.as_deref(),
        status: row.status.as_deref(),
        count: row.count,
        event_class: row.event_class.as_deref(),
        status_changed: row.status_changed,
    })
}
