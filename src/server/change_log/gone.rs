//! The hours of projects that are gone.
//!
//! A project is gone when it has no tasks. Its figures are zero then, and the fold deletes figures that are zero. Its
//! hours stay as long as they are among the newest 24 hours of all projects: an overview of all projects shows them.
//! An overview of the project itself shows no hours while it has no tasks, so the time of the deletion changes no
//! overview.

use requery_entities::StoredText;
use sea_orm::FromQueryResult;

use crate::server::access::scope::Scope;
use crate::server::database::sql::overview;
use crate::server::database::{BackgroundWork, Database, DatabaseError, WriteTransaction};

/// The hours of how many projects one transaction deletes: it holds the write lock for some milliseconds.
const PROJECTS_PER_TRANSACTION: i64 = 50;

#[derive(FromQueryResult)]
struct GoneProjects {
    hour: i64,
    projects: StoredText,
    count: i64,
}

/// Deletes the hours of gone projects that no overview shows.
pub async fn forget_gone_projects(database: &Database) -> Result<(), DatabaseError> {
    loop {
        let read = database.snapshot(Scope::All).await?;
        let gone: Option<GoneProjects> = overview::GONE_PROJECTS.one(&read, [PROJECTS_PER_TRANSACTION.into()]).await?;
        drop(read);
        let Some(gone) = gone.filter(|gone| gone.count > 0) else { return Ok(()) };
        let write = async |tx: &WriteTransaction| {
            let values = [gone.hour.into(), gone.projects.as_str().into()];
            Ok::<_, DatabaseError>(overview::DELETE_HOURS_OF_GONE_PROJECTS.execute(tx, values).await?)
        };
        let deleted = database.write_in_background(BackgroundWork::Upkeep, write).await?.value;
        if deleted == 0 || gone.count < PROJECTS_PER_TRANSACTION {
            return Ok(());
        }
    }
}
