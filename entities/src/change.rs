//! A row of the change log.

use sea_orm::entity::prelude::*;

use crate::StoredText;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "changes")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub kind: StoredText,
    pub project: StoredText,
    pub task_id: Option<StoredText>,
    pub parent_task_id: Option<StoredText>,
    pub object_id: Option<StoredText>,
    pub status: Option<StoredText>,
    pub count: Option<i64>,
    pub at: i64,
    pub event_class: Option<StoredText>,
    pub status_changed: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
