//! One run of an agent on a task.

use sea_orm::entity::prelude::*;

use crate::StoredText;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: StoredText,
    pub task_id: StoredText,
    pub source: StoredText,
    pub runtime_session_id: Option<StoredText>,
    pub status: StoredText,
    pub summary: Option<StoredText>,
    pub started_at: i64,
    pub ended_at: Option<i64>,
    pub model: Option<StoredText>,
    pub host: Option<StoredText>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
