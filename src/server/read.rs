//! The read side: one function for each read model, with plain queries in a transaction of the caller.
//!
//! Each part of an answer is one query, regardless of the number of rows. Any program can write rows into the database,
//! so a value that the schema does not check is read tolerantly: a reference that is not an id is left out, and so is a
//! row whose own id is not one. No row makes the reading of another row fail.

use std::str::FromStr;

use sea_orm::DbErr;

use requery_entities::StoredText;

use super::database::{DatabaseError, ReadTransaction, sql};
use crate::protocol::limits;
use crate::protocol::model::{Overview, TaskPage, Timestamp};

pub mod overview;

pub mod task;
use task::TaskFilter;

mod task_list;

pub mod project;

pub mod timeline;

pub mod bookmark;

pub mod agent;

pub mod search;

pub mod usage;

pub mod task_since;

mod work;

mod since;

mod page;
pub use page::{ListName, MomentKey, PageToken, PageWindow, TimelineKey};

/// Whether the project in the transaction's scope has a task. True in the scope of all projects.
///
/// The figures and the hours of a project outlive its last task for a time that depends on background work, so they do
/// not count.
pub async fn project_is_known(tx: &ReadTransaction) -> Result<bool, DbErr> {
    let Some(project) = tx.scope().project() else { return Ok(true) };
    Ok(sql::tasks::PROJECT_HAS_TASKS.number(tx, [project.into()]).await? != 0)
}

/// The content of a snapshot frame: the overview and the first page of tasks.
pub async fn first_screen(tx: &ReadTransaction) -> Result<(Overview, TaskPage), DatabaseError> {
    let overview = overview::overview(tx).await?;
    let tasks = task::page(tx, &TaskFilter::default(), &PageWindow::Newest, limits::PAGE_ROWS_DEFAULT.into()).await?;
    Ok((overview, tasks))
}

/// The id of a row, or none where the text is not an id. A list leaves such a row out: no request could name it.
fn id<T: FromStr>(text: &StoredText) -> Option<T> {
    text.before_replaced().parse().ok()
}

/// A reference to another row. A text that is not an id is no reference.
fn reference<T: FromStr>(text: Option<&StoredText>) -> Option<T> {
    id(text?)
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// A count. Plain SQL can write a negative figure, which counts as 0.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
