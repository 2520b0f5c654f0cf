//! The changes that a returning client has missed.

use requery_entities::StoredText;
use sea_orm::{DbErr, FromQueryResult};

use super::{between, continuity};
use crate::protocol::{Cursor, Notice, NoticeColumns};
use crate::server::database::sql::change_log;
use crate::server::database::{Position, ReadTransaction};

/// Several changes of one kind to one task. The columns are all from which the stale read models follow.
#[derive(FromQueryResult)]
struct Missed {
    kind: StoredText,
    project: StoredText,
    task_id: Option<StoredText>,
    parent_task_id: Option<StoredText>,
}

/// The notices of the changes after `cursor`, in the scope of the snapshot. None if the cursor belongs to another
/// history, the log is pruned too far, a change has an unknown kind, or there are more than `most` notices.
///
/// Several changes of one kind to one task give one notice, which names no object and no details of it: no read model
/// depends on them.
pub async fn since(read: &ReadTransaction, cursor: &Cursor, most: u64) -> Result<Option<Vec<Notice>>, DbErr> {
    if !continuity::continues(read, cursor).await? {
        return Ok(None);
    }
    let [from, to] = between(&Position::of(cursor), &read.position()).values(read);
    let values = [from, to, read.scope().project().into(), (most + 1).into()];
    let missed: Vec<Missed> = change_log::MISSED.all(read, values).await?;
    if missed.len() as u64 > most { Ok(None) } else { Ok(missed.iter().map(notice).collect()) }
}

fn notice(missed: &Missed) -> Option<Notice> {
    Notice::from_columns(&NoticeColumns {
        kind: &missed.kind,
        project: &missed.project,
        task_id: missed.task_id.as_deref(),
        parent_task_id: missed.parent_task_id.as_deref(),
        object_id: Some("00000000-0000-0000-0000-000000000000"),
        status: Some("completed"),
        count: Some(1),
        ..NoticeColumns::default()
    })
}
