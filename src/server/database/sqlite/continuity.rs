//! The beginning of a run: whether the file still has all changes of the runs before, so that their cursors continue.

use std::sync::Arc;

use requery_entities::run;
use sea_orm::{
    ActiveValue, DatabaseConnection, DbErr, EntityTrait, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use super::bell::newest_change;
use super::files::OpenFiles;
use super::location::FileLocation;
use super::record::{Record, RowMark, RunMark, boot};
use crate::server::database::sql;

/// Whether the file still has every change that clients of the last run can know.
///
/// A copy that was put back, or a machine that lost power, takes changes back, and later changes get the same numbers.
/// The record beside the file tells it: the newest row that the last run read must be there, unchanged. A killed
/// process loses no change that it read, so its run continues, as long as the machine ran on. The record follows the
/// log by one pass of the tail. A copy that was made within that time and is put back is not noticed. Neither is a
/// folder that is put back as a whole onto the same inodes.
pub(super) async fn vouches(
    record: &Record,
    location: &FileLocation,
    writer: &DatabaseConnection,
) -> Result<bool, DbErr> {
    let Some(run) = &record.run else { return Ok(false) };
    let is_same_file = OpenFiles::at(location.path()).is_some_and(|files| Some(files.file()) == record.file);
    let is_in_order = run.ended || (run.boot.is_some() && run.boot == boot());
    let is_last_run: Option<bool> = sql::runs::IS_LAST_RUN.value(writer, [run.token.as_str().into()]).await?;
    if !is_same_file || !is_in_order || is_last_run != Some(true) || next_change(writer).await? < run.next {
        return Ok(false);
    }
    let Some(newest) = &run.newest else { return Ok(true) };
    let found = newest_change(writer.get_sqlite_connection_pool(), newest.id).await;
    Ok(found.is_some_and(|row| RowMark::of(&row) == *newest))
}

/// The mark of the run as of now.
pub(super) async fn mark(writer: &DatabaseConnection, epoch: &str) -> Result<RunMark, DbErr> {
    let next = next_change(writer).await?;
    let newest = newest_change(writer.get_sqlite_connection_pool(), i64::MAX).await.map(|row| RowMark::of(&row));
    Ok(RunMark { token: epoch.to_owned(), next, newest, boot: boot(), ended: false })
}

/// Makes the numbers of the log usable again if another program has used them up, and takes the search index back to
/// the end of the log. Returns whether a later change can have the number of an earlier one.
pub(super) async fn renumber(writer: &DatabaseConnection) -> Result<bool, DbErr> {
    let mut is_renumbered = false;
    for statement in sql::runs::RENUMBER_CHANGES {
        is_renumbered |= statement.execute(writer, []).await? > 0;
    }
    sql::runs::RENUMBER_OTHERS.execute(writer, []).await?;
    // The search index can be damaged and is then rebuilt: that must not keep the file from being opened.
    let _ = sql::runs::TAKE_BACK_SEARCHED.execute(writer, []).await;
    Ok(is_renumbered)
}

/// Counts the events again if the file is in doubt, or if changes were deleted before they were counted. The triggers
/// count the events of each task in the transaction of the writer, so these counts are right.
pub(super) async fn count_events(writer: &DatabaseConnection, in_doubt: bool) -> Result<(), DbErr> {
    let lacks_changes: Option<bool> = sql::runs::LACKS_UNFOLDED.value(writer, []).await?;
    if !in_doubt && lacks_changes != Some(true) {
        return Ok(());
    }
    let mode = Some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
    let transaction = writer.begin_with_options(options).await?;
    sql::runs::COUNT_EVENTS_AGAIN.execute_all(&transaction).await?;
    transaction.commit().await
}

/// The number of the next change.
async fn next_change(writer: &DatabaseConnection) -> Result<i64, DbErr> {
    let last: Option<i64> = sql::runs::LAST_CHANGE.value(writer, []).await?;
    Ok(last.unwrap_or(0).saturating_add(1))
}

/// Begins a run.
pub(super) async fn begin_run(writer: &DatabaseConnection) -> Result<Arc<str>, DbErr> {
    let token = uuid::Uuid::now_v7().simple().to_string();
    let row = run::ActiveModel {
        id: ActiveValue::NotSet,
        token: ActiveValue::Set(token.clone().into()),
        begins: ActiveValue::Set(next_change(writer).await?),
        started_at: ActiveValue::NotSet,
    };
    run::Entity::insert(row).exec(writer).await?;
    Ok(token.into())
}
