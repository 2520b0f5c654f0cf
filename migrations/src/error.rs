//! The reasons why a database is not migrated.

use sea_orm::DbErr;

/// The reason why a database was not migrated. The database is unchanged.
#[derive(Debug)]
pub enum MigrateError {
    /// It has tables, such as this one, but no migration of requery.
    Foreign(String),
    /// It has this migration, which this version does not know.
    Newer(String),
    /// It has some of the migrations from before the first release, but not all of them.
    Early,
    /// Its tables lack these parts, and no statement can restore the parts without a loss.
    Broken(Vec<String>),
    /// Postgres, its database or the user does not fit: this is why.
    Unfit(String),
    /// A statement failed.
    Db(DbErr),
}

impl MigrateError {
    /// The way out, for the owner of the file.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::Foreign(_) | Self::Early => "the file is unchanged; name another one",
            Self::Newer(_) => "the file is unchanged; use that version, or name another file",
            Self::Broken(_) => "restore the file from a copy, or put these back with SQL",
            Self::Unfit(_) => "nothing was changed; put this right, or name another database",
            Self::Db(_) => "try again",
        }
    }

    /// The way out, for the owner of the schema of a Postgres database.
    pub fn way_out_of_schema(&self) -> &'static str {
        match self {
            Self::Foreign(_) | Self::Early => "the schema is unchanged; name another one",
            Self::Newer(_) => "the schema is unchanged; use that version, or name another schema",
            Self::Broken(_) => "restore the schema from a copy, or put these back with SQL",
            Self::Unfit(_) | Self::Db(_) => self.way_out(),
        }
    }
}

impl std::fmt::Display for MigrateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Foreign(table) => {
                write!(
                    f,
                    "it is the database of another program: it has the table {table}, but no migration of requery"
                )
            }
            Self::Newer(migration) => {
                write!(f, "a newer requery made it: this version does not know its migration {migration}")
            }
            Self::Early => f.write_str("a requery from before the first release made it, and no version upgrades it"),
            Self::Unfit(why) => f.write_str(why),
            Self::Broken(faults) => write!(f, "its tables were changed: {}", faults.join("; ")),
            Self::Db(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for MigrateError {}

impl From<DbErr> for MigrateError {
    fn from(error: DbErr) -> Self {
        Self::Db(error)
    }
}
