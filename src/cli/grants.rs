//! `requery grants`.

use std::process::ExitCode;

use anyhow::ensure;
use requery::server::database::postgres::location::SCHEMA;
use requery_migrations::postgres;

/// The role that gets the rights.
#[derive(clap::Args, Debug)]
pub struct GrantsArgs {
    /// Role that may write tasks, sessions, events, bookmarks, usage and agents.
    #[arg(long)]
    pub role: String,
    /// Schema in which requery keeps everything.
    #[arg(long, env = "REQUERY_DATABASE_SCHEMA", default_value = SCHEMA)]
    pub schema: String,
}

/// Prints the statements. The owner of the schema runs them, for example with psql.
pub async fn run(args: GrantsArgs) -> anyhow::Result<ExitCode> {
    ensure!(postgres::is_schema_name(&args.schema), "--schema: {:?} is no name of a schema", args.schema);
    ensure!(!args.role.is_empty() && !args.role.contains('\0'), "--role names no role");
    super::print(&postgres::grants(&args.schema, &args.role))?;
    Ok(ExitCode::SUCCESS)
}
