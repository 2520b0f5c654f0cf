//! `requery migrate`.

use std::process::ExitCode;

use requery::server::database::Database;

/// The database to migrate.
#[derive(clap::Args, Debug)]
pub struct MigrateArgs {
    /// Database file, as `sqlite:/path/to/file` or as a path [default: requery/requery.db in your data folder]
    #[arg(long, env = "REQUERY_DATABASE_URL")]
    pub database_url: Option<String>,
}

/// Opens the database, which migrates it, and prints the repairs.
pub async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let database = Database::open(super::database(args.database_url.as_deref())?).await?;
    let migrated = database.migrated();
    for put_right in &migrated.put_right {
        println!("put right: {put_right}");
    }
    for put_back in &migrated.put_back {
        println!("put back: {put_back}");
    }
    for lost in &migrated.lost {
        println!("lost, and not put back: {lost}");
    }
    println!("{} is up to date", database.path().display());
    database.close("migrated").await;
    Ok(ExitCode::SUCCESS)
}
