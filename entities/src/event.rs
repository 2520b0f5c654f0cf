//! An entry of a task's timeline.

use sea_orm::entity::prelude::*;

use crate::StoredText;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub position: i64,
    #[sea_orm(unique)]
    pub id: StoredText,
    pub task_id: StoredText,
    pub session_id: Option<StoredText>,
    pub kind: StoredText,
    pub family: Option<StoredText>,
    pub lane: Option<StoredText>,
    pub state: Option<StoredText>,
    pub title: StoredText,
    pub body: Option<StoredText>,
    pub metadata: Option<StoredText>,
    pub truncated: Option<i64>,
    pub external_id: Option<StoredText>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
