//! An entry of a task's timeline.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub position: i64,
    #[sea_orm(unique)]
    pub id: String,
    pub task_id: String,
    pub session_id: Option<String>,
    pub kind: String,
    pub family: Option<String>,
    pub lane: Option<String>,
    pub state: Option<String>,
    pub title: String,
    pub body: Option<String>,
    pub metadata: Option<String>,
    pub truncated: Option<i64>,
    pub external_id: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
