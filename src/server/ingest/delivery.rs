//! Noting the deliveries of hooks, so that each is taken in once.

use requery_entities::delivery;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

/// Notes a delivery. Returns false if it was noted before.
pub async fn note(tx: &impl ConnectionTrait, id: &str, now_ms: i64) -> Result<bool, DbErr> {
    let row = delivery::ActiveModel { id: Set(id.into()), at: Set(now_ms) };
    let insert = delivery::Entity::insert(row).on_conflict(OnConflict::new().do_nothing().to_owned());
    Ok(insert.exec_without_returning(tx).await? > 0)
}
