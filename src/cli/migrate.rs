//! `requery migrate`.

use std::process::ExitCode;

use requery::server::database::Database;

use super::database::DatabaseArgs;

/// The database to migrate.
#[derive(clap::Args, Debug)]
pub struct MigrateArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Opens the database, which migrates it, and prints the repairs.
pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let database = Database::open(args.database.location()?).await?;
    let migrated = database.migrated();
    let put_right = migrated.put_right.iter().map(|rule| format!("put right: {rule}\n"));
    let put_back = migrated.put_back.iter().map(|name| format!("put back: {name}\n"));
    let lost = migrated.lost.iter().map(|name| format!("lost, and not put back: {name}\n"));
    let repairs: String = put_right.chain(put_back).chain(lost).collect();
    let printed = super::print(&format!("{repairs}{} is up to date\n", database.name()));
    database.close("migrated").await;
    printed?;
    Ok(ExitCode::SUCCESS)
}
