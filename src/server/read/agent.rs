//! The coding agents.

use requery_entities::StoredText;
use sea_orm::{DbErr, FromQueryResult};

use super::{count, time};
use crate::protocol::limits;
use crate::protocol::model::{Agent, Agents};
use crate::server::database::{ReadTransaction, sql};

/// The agents in the transaction's scope, the last heard first.
pub async fn agents(tx: &ReadTransaction) -> Result<Agents, DbErr> {
    let values = [tx.scope().project().into(), limits::AGENTS.into()];
    let rows: Vec<AgentRow> = sql::agents::AGENTS.all(tx, values).await?;
    Ok(Agents { items: rows.into_iter().map(AgentRow::agent).collect() })
}

#[derive(FromQueryResult)]
struct AgentRow {
    source: StoredText,
    host: StoredText,
    version: Option<StoredText>,
    hooks: Option<i64>,
    heard_at: Option<i64>,
    running: i64,
}

impl AgentRow {
    fn agent(self) -> Agent {
        Agent {
            source: self.source.into(),
            host: Some(self.host.into()).filter(|host: &String| !host.is_empty()),
            version: self.version.map(String::from),
            hooks: self.hooks.map(count),
            heard_at: self.heard_at.map(time),
            running: count(self.running),
        }
    }
}
