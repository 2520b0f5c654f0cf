//! The time of the last hook of each agent.

use requery_entities::{StoredText, task};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::protocol::model::{AgentHeard, HooksHeard, Timestamp};

/// The time of the last hook of each agent. It is read from the tasks that hooks report on.
pub async fn hooks_last_heard(tx: &impl ConnectionTrait) -> Result<HooksHeard, DbErr> {
    let rows = task::Entity::find()
        .filter(task::Column::HeardAt.is_not_null())
        .select_only()
        .column(task::Column::Source)
        .column_as(task::Column::HeardAt.max(), "heard_at")
        .group_by(task::Column::Source)
        .order_by_asc(task::Column::Source)
        .into_tuple::<(StoredText, i64)>()
        .all(tx)
        .await?;
    let agents =
        rows.into_iter().map(|(agent, at)| AgentHeard { agent: agent.into(), heard_at: Timestamp::from_ms(at) });
    Ok(HooksHeard { agents: agents.collect() })
}
