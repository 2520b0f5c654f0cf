//! A count. The server folds it from the change log and from the deltas that the triggers insert.

use sea_orm::entity::prelude::*;

use crate::StoredText;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "figures")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub project: StoredText,
    #[sea_orm(primary_key, auto_increment = false)]
    pub figure: StoredText,
    pub value: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
