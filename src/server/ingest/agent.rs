//! The coding agents: the installation that a person reports, and the minute of the last hook.

use sea_orm::{ConnectionTrait, DbErr};

use super::bounds::{Bounds, CheckedBody, check};
use super::{Invalid, WriteError};
use crate::protocol::limits;
use crate::protocol::write::RegisterAgent;
use crate::server::database::{WriteTransaction, sql};

/// The time within which further hooks of an agent are no change: a screen shows minutes, and a notice for each hook
/// would cost each screen a request for each hook.
const HEARD_EVERY_MS: i64 = 60_000;

/// Registers an agent with its installation. A value that the agent has already is no change.
pub async fn register(tx: &WriteTransaction, new: RegisterAgent) -> Result<(), WriteError> {
    check(&new)?;
    let source = new.source.unwrap_or_default();
    let host = new.host.unwrap_or_default();
    let hooks = new.hooks.map(i64::from);
    lock(tx, &source, &host).await?;
    let values = [source.into(), host.into(), new.version.into(), hooks.into()];
    sql::agents::REGISTER.execute(tx, values.clone()).await?;
    sql::agents::SET_INSTALLATION.execute(tx, values).await?;
    Ok(())
}

/// The minute of a hook, if it is a later one than the minute of the hook before.
pub fn later_minute(before_ms: Option<i64>, at_ms: i64) -> Option<i64> {
    let minute = |ms: i64| ms - ms.rem_euclid(HEARD_EVERY_MS);
    before_ms.is_none_or(|before| minute(before) < minute(at_ms)).then(|| minute(at_ms))
}

/// Notes the minute in which an agent was heard.
pub async fn heard(
    tx: &impl ConnectionTrait,
    source: &str,
    host: Option<&str>,
    project: &str,
    minute: i64,
) -> Result<(), DbErr> {
    lock(tx, source, host.unwrap_or_default()).await?;
    let values = [source.into(), host.unwrap_or_default().into(), project.into(), minute.into()];
    sql::agents::HEARD.execute(tx, values).await.map(drop)
}

/// A new row takes the installation from the other rows of the agent, so no other writer may change them meanwhile.
async fn lock(tx: &impl ConnectionTrait, source: &str, host: &str) -> Result<(), DbErr> {
    sql::locks::take(tx, &format!("agent {source} {host}")).await
}

impl CheckedBody for RegisterAgent {
    fn wrong_fields(&self) -> Vec<Invalid> {
        let mut bounds = Bounds::new();
        bounds.required("source", self.source.as_deref().unwrap_or_default(), limits::SOURCE_CHARACTERS);
        bounds.characters("host", self.host.as_deref(), limits::HOST_CHARACTERS);
        bounds.characters("version", self.version.as_deref(), limits::AGENT_VERSION_CHARACTERS);
        bounds.into_found()
    }
}
