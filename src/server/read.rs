//! The read side: one function a read model, plain queries in a transaction of its caller's.
//!
//! Each part of an answer is one query, however many rows it has. Rows may come from anybody who can write the
//! database: what the schema does not hold fast is read with forbearance, as in a session's id that is no id.

use std::str::FromStr;

use sea_orm::DbErr;

use super::access::scope::Scope;
use super::database::{DatabaseError, ReadTransaction};
use crate::protocol::model::{Stats, Task, Timestamp};

pub mod overview;

pub mod task;
use task::TaskFilter;

pub mod timeline;

pub mod bookmark;

pub mod search;

pub mod hook_activity;

pub mod usage;

mod page;
pub use page::{MomentKey, PageToken, PageWindow, TimelineKey};

/// What a stream that starts afresh begins with: the figures and the first page of tasks.
pub async fn first_screen(tx: &ReadTransaction, scope: &Scope) -> Result<(Stats, Vec<Task>), DatabaseError> {
    let overview = overview::overview(tx, scope).await?;
    let tasks = task::page(tx, scope, &TaskFilter::default(), &PageWindow::Newest, FIRST_PAGE.into()).await?;
    Ok((overview.stats, tasks.items))
}

/// How many rows a page has where nobody says.
pub const FIRST_PAGE: u32 = 50;

/// An id that the schema says is one.
fn id<T: FromStr>(text: &str) -> Result<T, DbErr> {
    text.parse().map_err(|_| DbErr::Type(format!("`{text}` is no id")))
}

/// A reference that the schema leaves open: what is no id refers to nothing.
fn reference<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// A count. Plain SQL can make the figures wrong, never negative.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
