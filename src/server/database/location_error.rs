//! Why a text is not the location of a database.

/// Why a text is not the location of a database.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// The URL names another kind of database.
    #[error("only SQLite files (sqlite:/path/to/file) and Postgres (postgres://host/database) are served, not `{0}:`")]
    Scheme(String),
    /// A database in memory. It would end with the server, and other processes could not write to it.
    #[error("a database in memory cannot be served: name a file")]
    Memory,
    /// The URL names no file.
    #[error("the database URL names no file")]
    Empty,
    /// The URL has a parameter, which would have no effect.
    #[error("the database URL takes no parameters, and `{0}` would have no effect: leave it out")]
    Parameter(String),
    /// The URL is percent-encoded.
    #[error("the database URL is not decoded, and `%` is a part of the name of a file: write the path alone")]
    Encoded,
    /// The path begins in a home folder, which only a shell knows.
    #[error("`~` stands for no folder here: write the path in full")]
    Home,
    /// The URL of a Postgres server has a part that the driver does not understand.
    #[error("not the URL of a Postgres database: {0} (as in postgres://user@host:5432/database)")]
    Server(String),
    /// The name of the schema.
    #[error("`{0}` is no name of a schema: 1 to 40 lower-case letters, digits and `_`, with a letter or `_` first")]
    Schema(String),
}
