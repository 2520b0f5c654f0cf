//! What is done with the log a while later: it is folded into the figures, and what nobody can ask for is pruned.
//!
//! Both write, so both wait for their turn and never hold up the tail.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::server::access::scope::Scope;
use crate::server::database::{Database, DatabaseError, WriteTransaction};

/// How often figures are folded: a reader adds up what is newer, so this bounds what that costs.
const FOLD_EVERY: Duration = Duration::from_secs(1);
/// How many changes one transaction folds or prunes. A writer waits for it some milliseconds.
const AT_ONCE: i64 = 10_000;
/// How often the log is pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How long a delivery is remembered. Agents send again within minutes; what was spooled is at most a week old.
const DELIVERIES_KEPT: Duration = Duration::from_secs(8 * 24 * 3600);

/// Folds and prunes for as long as it is polled.
pub async fn keep(database: Database, retention: Duration) {
    let mut fold = tokio::time::interval(FOLD_EVERY);
    fold.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pruned: Option<tokio::time::Instant> = None;
    loop {
        fold.tick().await;
        report("fold the change log", fold_all(&database).await);
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            pruned = Some(tokio::time::Instant::now());
            let now = chrono::Utc::now().timestamp_millis();
            report("prune the change log", prune(&database, now, retention).await);
        }
    }
}

fn report(what: &str, result: Result<(), DatabaseError>) {
    match result {
        // Tried again soon; whoever made it busy or took it away is told of elsewhere.
        Ok(()) | Err(DatabaseError::Busy | DatabaseError::Away(_) | DatabaseError::Damaged(_)) => {}
        Err(error) => tracing::error!(%error, "could not {what}"),
    }
}

/// Adds the part of the log that is not in the figures yet.
pub async fn fold_all(database: &Database) -> Result<(), DatabaseError> {
    loop {
        let read = database.snapshot().await?;
        let end = read.cursor().snapshot().xmax().cast_signed();
        let folded = number(&read, "select next from folded", []).await?;
        drop(read);
        if folded >= end {
            return Ok(());
        }
        fold(database, end).await?;
    }
}

/// Folds the next part, towards `end`. By ids and not by rows: a log may have lost some.
async fn fold(database: &Database, end: i64) -> Result<(), DatabaseError> {
    let fold = async |tx: &WriteTransaction| {
        let next = number(tx, "select next from folded", []).await?;
        let end = end.min(next + AT_ONCE);
        for figure in ["'events'", "'hour.' || (at / 3600000)"] {
            let sql = format!(
                "insert into figures (project, figure, value) \
             select project, {figure}, count(*) from changes \
             where id >= ? and id < ? and kind = 'event.logged' group by 1, 2 \
             on conflict (project, figure) do update set value = value + excluded.value"
            );
            execute(tx, &sql, [next, end]).await?;
        }
        execute(tx, "update folded set next = ?", [end]).await?;
        Ok::<_, DatabaseError>(())
    };
    database.write(Scope::All, fold).await?;
    Ok(())
}

/// Deletes changes that are older than `retention`, and deliveries nobody sends again. The newest change stays: the
/// floor of the log is its oldest row.
pub async fn prune(database: &Database, now_ms: i64, retention: Duration) -> Result<(), DatabaseError> {
    let before = |kept: Duration| now_ms.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    loop {
        let prune = async |tx: &WriteTransaction| {
            let changes = execute(
            tx,
            "delete from changes where id in (select id from changes \
             where id < (select next from folded) and id < (select max(id) from changes) order by id limit ?) and at < ?",
            [AT_ONCE, before(retention)],
        )
        .await?;
            let deliveries = execute(
                tx,
                "delete from deliveries where id in (select id from deliveries where at < ? order by at limit ?)",
                [before(DELIVERIES_KEPT), AT_ONCE],
            )
            .await?;
            Ok::<_, DatabaseError>(changes.max(deliveries))
        };
        let (most, _) = database.write(Scope::All, prune).await?.into_parts();
        if most < AT_ONCE.unsigned_abs() {
            return Ok(());
        }
    }
}

async fn number<const N: usize>(db: &impl ConnectionTrait, sql: &str, values: [i64; N]) -> Result<i64, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values.map(Into::into));
    let row = db.query_one_raw(statement).await?.ok_or_else(|| DbErr::RecordNotFound(sql.to_owned()))?;
    row.try_get_by_index(0)
}

async fn execute<const N: usize>(db: &impl ConnectionTrait, sql: &str, values: [i64; N]) -> Result<u64, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values.map(Into::into));
    Ok(db.execute_raw(statement).await?.rows_affected())
}
