//! The time of the last hook of each agent.

use requery_entities::StoredText;
use sea_orm::{DbErr, FromQueryResult};

use crate::protocol::model::{AgentHeard, HooksHeard, Timestamp};
use crate::server::database::{ReadTransaction, sql};

/// The minute of the last hook of each agent. It is read from the rows of the agents, so a notice reports each change.
pub async fn hooks_last_heard(tx: &ReadTransaction) -> Result<HooksHeard, DbErr> {
    let rows: Vec<HeardRow> = sql::agents::LAST_HEARD.all(tx, []).await?;
    let agents =
        rows.into_iter().map(|row| AgentHeard { agent: row.source.into(), heard_at: Timestamp::from_ms(row.heard_at) });
    Ok(HooksHeard { agents: agents.collect() })
}

#[derive(FromQueryResult)]
struct HeardRow {
    source: StoredText,
    heard_at: i64,
}
