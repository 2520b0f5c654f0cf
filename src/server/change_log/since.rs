//! The changes that a returning client has missed.

use requery_entities::change;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{between, notice, sqlite};
use crate::protocol::{Cursor, Notice};
use crate::server::database::{Position, ReadTransaction};

/// The notices of the changes after `cursor`, in the scope of the snapshot. None if the cursor belongs to another history, the log is pruned too far,
/// a change has an unknown kind, or there are more than `most` notices.
///
/// Several changes of one kind to one task give one notice.
pub async fn since(read: &ReadTransaction, cursor: &Cursor, most: u64) -> Result<Option<Vec<Notice>>, DbErr> {
    if !sqlite::continues(read, cursor).await? {
        return Ok(None);
    }
    let missed = between(&Position::of(cursor), &read.position());
    let mut query = change::Entity::find().filter(missed.filter());
    if let Some(project) = read.scope().project() {
        query = query.filter(change::Column::Project.eq(project));
    }
    let rows = query
        .group_by(change::Column::Kind)
        .group_by(change::Column::Project)
        .group_by(change::Column::TaskId)
        .group_by(change::Column::ParentTaskId)
        .order_by_asc(change::Column::Id)
        .limit(most + 1)
        .all(read)
        .await?;
    if rows.len() as u64 > most { Ok(None) } else { Ok(rows.iter().map(notice).collect()) }
}
