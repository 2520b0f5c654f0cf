//! The epoch: the name of one history of the database.
//!
//! A cursor is a snapshot, and a snapshot means something only as long as each number of a transaction has one meaning.
//! After a crash Postgres gives out numbers of transactions again that were rolled back before it, and a database that
//! was restored continues from an older number. So the epoch is the only row of an unlogged table: Postgres empties that
//! table after a crash, in a server that was restored from a base backup, and in a standby that was promoted. A dump has
//! the row. Therefore the epoch also begins with a short hash of the database's place: the identifier of the server and
//! the number of the database.

use std::sync::Arc;

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::protocol::Snapshot;
use crate::server::database::sql::servers as sql;

#[derive(FromQueryResult)]
struct Standing {
    is_standby: bool,
    snapshot: StoredText,
    place: StoredText,
}

/// Fails on a standby, which takes no writes and has no list of the running transactions.
pub(super) async fn refuse_standby(db: &impl ConnectionTrait) -> Result<(), String> {
    match standing(db).await?.is_standby {
        false => Ok(()),
        true => Err("the server is a standby, which takes no writes: give the URL of the primary".to_owned()),
    }
}

/// The epoch, which begins now if there is none, and the snapshot of a statement after that.
pub(super) async fn begin(db: &impl ConnectionTrait) -> Result<(Arc<str>, Snapshot), String> {
    let place = format!("{:08x}", hash(&standing(db).await?.place));
    let fresh = format!("{place}{}", uuid::Uuid::now_v7().simple());
    let text = |error: sea_orm::DbErr| error.to_string();
    sql::BEGIN_EPOCH.execute(db, [fresh.as_str().into()]).await.map_err(text)?;
    let known: Option<String> = sql::EPOCH.value(db, []).await.map_err(text)?;
    if let Some(known) = known.filter(|known| !known.starts_with(&place)) {
        sql::REPLACE_EPOCH.execute(db, [fresh.into(), known.into()]).await.map_err(text)?;
    }
    let epoch: Option<String> = sql::EPOCH.value(db, []).await.map_err(text)?;
    let epoch = epoch.ok_or("the epoch is gone")?;
    let now = standing(db).await?.snapshot.parse().map_err(|_| "the database has no snapshots".to_owned())?;
    Ok((epoch.into(), now))
}

async fn standing(db: &impl ConnectionTrait) -> Result<Standing, String> {
    let standing: Option<Standing> = sql::STANDING.one(db, []).await.map_err(|error| error.to_string())?;
    standing.ok_or_else(|| "the server does not say its state".to_owned())
}

/// FNV-1a, since its result is the same in every version of the program.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum: u32, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
