//! A piece of agent work.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tasks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub title: String,
    pub project: String,
    pub status: String,
    pub mode: String,
    pub parent_task_id: Option<String>,
    pub parent_session_id: Option<String>,
    pub workspace: Option<String>,
    pub source: String,
    pub external_id: Option<String>,
    pub status_reason: Option<String>,
    pub status_since: i64,
    pub summary: Option<String>,
    pub ingest_state: Option<String>,
    pub event_count: i64,
    pub changed_at: i64,
    pub created_at: i64,
    pub heard_at: Option<i64>,
    pub process: Option<String>,
    pub stale_since: Option<i64>,
    pub stale_reason: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
