//! A mark on a task or on an event.

use sea_orm::entity::prelude::*;

use crate::StoredText;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bookmarks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: StoredText,
    pub task_id: StoredText,
    pub event_id: Option<StoredText>,
    pub title: StoredText,
    pub note: Option<StoredText>,
    pub created_at: i64,
    pub updated_at: i64,
    /// The project of the task. The triggers keep it.
    pub project: Option<StoredText>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
