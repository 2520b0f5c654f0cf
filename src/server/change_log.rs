//! The change log: the only source of notices.
//!
//! The database's triggers append to `changes`. [`tail`] follows the log and hands its notices to the hub, [`since`]
//! asks it for the changes that a returning client has missed, [`fold`] adds it to the figures and [`prune`] cuts its
//! old end. Every follower remembers a [`Position`](super::database::Position) and asks for the changes [`between`] two of them.

use requery_entities::change;

use crate::protocol::{Notice, NoticeColumns};

mod between;
pub use between::{Between, between};

mod sqlite;
pub use sqlite::reaches_back_to;

mod tail;
pub use tail::tail;

mod since;
pub use since::since;

pub mod fold;
pub mod prune;

/// The notice that a row of the log is. None for a kind that came later.
fn notice(row: &change::Model) -> Option<Notice> {
    Notice::from_columns(&NoticeColumns {
        kind: &row.kind,
        project: &row.project,
        task_id: row.task_id.as_deref(),
        parent_task_id: row.parent_task_id.as_deref(),
        object_id: row.object_id.as_deref(),
        status: row.status.as_deref(),
        count: row.count,
    })
}
