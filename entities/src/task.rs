//! A piece of agent work.

use sea_orm::entity::prelude::*;

use crate::StoredText;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tasks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: StoredText,
    pub title: StoredText,
    pub project: StoredText,
    pub status: StoredText,
    pub mode: StoredText,
    pub parent_task_id: Option<StoredText>,
    pub parent_session_id: Option<StoredText>,
    pub workspace: Option<StoredText>,
    pub source: StoredText,
    pub external_id: Option<StoredText>,
    pub status_reason: Option<StoredText>,
    pub status_detail: Option<StoredText>,
    pub status_since: i64,
    pub status_certain: i64,
    pub summary: Option<StoredText>,
    pub ingest_state: Option<StoredText>,
    pub event_count: i64,
    pub changed_at: i64,
    pub listed_at: Option<i64>,
    pub created_at: i64,
    pub heard_at: Option<i64>,
    pub process: Option<StoredText>,
    pub stale_since: Option<i64>,
    pub stale_reason: Option<StoredText>,
    pub todos: Option<StoredText>,
    pub model: Option<StoredText>,
    pub branch: Option<StoredText>,
    pub last_commit: Option<StoredText>,
    pub pull_request: Option<StoredText>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
