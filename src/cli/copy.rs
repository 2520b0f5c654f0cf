//! `requery copy`.

use std::process::ExitCode;

use anyhow::Context;
use requery::server::copy::{Copied, CopyStep, copy};
use requery::server::database::Location;
use requery::server::database::postgres::location::SCHEMA;

use super::counted::counted;
use super::progress::Progress;

/// The two databases.
#[derive(clap::Args, Debug)]
pub struct CopyArgs {
    /// Database to copy, as for --database-url. It may be in use, and nothing is written to it.
    #[arg(long)]
    pub from: String,
    /// Empty database that gets the copy. If it is a file, no server may run on it.
    #[arg(long)]
    pub to: String,
    /// Postgres: the schema in which requery keeps everything.
    #[arg(long, env = "REQUERY_DATABASE_SCHEMA", default_value = SCHEMA)]
    pub schema: String,
    /// Postgres: the schema of the database to copy, if it has another one [default: the same schema]
    #[arg(long)]
    pub from_schema: Option<String>,
}

/// Copies the database, and prints how many rows of each table were copied.
pub async fn run(args: CopyArgs) -> anyhow::Result<ExitCode> {
    let from_schema = args.from_schema.as_ref().unwrap_or(&args.schema);
    let from = location("--from", &args.from, from_schema)?;
    let to = location("--to", &args.to, &args.schema)?;
    let mut shown = Shown::new();
    let copied = tokio::select! {
        copied = copy(&from, &to, |step| shown.note(step)) => Some(copied),
        () = super::asked_to_end() => None,
    };
    shown.progress.bar.finish_and_clear();
    // Shells report this code for a command that Ctrl-C ended.
    let Some(copied) = copied else {
        super::print_error("interrupted: nothing was copied");
        return Ok(ExitCode::from(130));
    };
    super::print(&summary(&copied?, &from, &to))?;
    Ok(ExitCode::SUCCESS)
}

/// A location. On a file the schema has no effect.
fn location(argument: &str, url: &str, schema: &str) -> anyhow::Result<Location> {
    match super::database::parse(argument, url)? {
        Location::Server(server) => Ok(Location::Server(Box::new(server.with_schema(schema).context("--schema")?))),
        file => Ok(file),
    }
}

/// The display of the progress: a bar on a terminal, a line for each table elsewhere.
struct Shown {
    progress: Progress,
}

impl Shown {
    fn new() -> Self {
        Self { progress: Progress::new(0) }
    }

    fn note(&mut self, step: CopyStep) {
        let bar = &self.progress.bar;
        match step {
            // Each row is written once and read again twice, in the source and in the copy.
            CopyStep::Begins(rows) => bar.set_length(rows * 3),
            CopyStep::Wrote(rows) | CopyStep::Read(rows) => bar.inc(rows),
            CopyStep::Copied(table, rows) => self.line(&format!("{table}: copied {}", counted(rows, "row"))),
            CopyStep::Verified(table, rows) => self.line(&format!("{table}: compared {}", counted(rows, "row"))),
        }
    }

    fn line(&self, line: &str) {
        match self.progress.bar.is_hidden() {
            true => super::print_error(line),
            false => self.progress.bar.set_message(line.to_owned()),
        }
    }
}

fn summary(copied: &Copied, from: &Location, to: &Location) -> String {
    let mut text = format!("copied {from} to {to}, and compared the rows\n");
    for (table, rows) in &copied.tables {
        text += &format!("  {table}: {}\n", counted(*rows, "row"));
    }
    if copied.changed_texts > 0 {
        let (changed, cut) = (counted(copied.changed_texts, "text"), copied.cut_texts);
        text += &format!(
            "changed {changed} that Postgres cannot store: U+FFFD stands for NUL and for bytes that are no UTF-8; {cut} \
             of them were cut to their limit\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use requery::server::copy::Copied;

    use super::{location, summary};

    #[test]
    fn no_output_has_the_password() {
        let from = location("--from", "postgres://me:secret@h/d", "agents").expect("a location");
        let to = location("--to", "r.db", "requery").expect("a location");
        let copied = Copied { tables: vec![("tasks", 1_000)], changed_texts: 1, cut_texts: 0 };
        assert_eq!(
            summary(&copied, &from, &to),
            "copied postgres h:5432 database d schema agents to r.db, and compared the rows\n  tasks: 1,000 rows\n\
             changed 1 text that Postgres cannot store: U+FFFD stands for NUL and for bytes that are no UTF-8; 0 of them \
             were cut to their limit\n"
        );
        let error = location("--from", "postgres://me:secret@h:port/d", "agents").expect_err("no port");
        assert!(!format!("{error:#}").contains("secret"), "{error:#}");
    }
}
