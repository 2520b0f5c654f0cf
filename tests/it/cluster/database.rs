//! A database of a cluster, and the program `psql`.

use std::io::Write;
use std::process::{Command, Stdio};

/// The schema of the server.
pub const SCHEMA: &str = "requery";

/// A database, which the end of its cluster deletes.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    /// The URL with the private socket of the cluster.
    pub url: String,
    pub name: String,
}

impl TestDatabase {
    /// The database with this URL.
    pub fn at(url: &str) -> Self {
        let path = url.split('?').next().unwrap_or_default();
        Self { url: url.to_owned(), name: path.rsplit('/').next().unwrap_or_default().to_owned() }
    }

    /// Runs SQL with the `psql` program and returns its output. Each statement is a transaction of its own.
    pub fn psql(&self, sql: &str) -> String {
        self.try_psql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same. Fails with the error text of the first statement that fails.
    pub fn try_psql(&self, sql: &str) -> Result<String, String> {
        self.try_psql_as("postgres", sql)
    }

    /// The same as another role.
    pub fn try_psql_as(&self, role: &str, sql: &str) -> Result<String, String> {
        let mut command = self.command();
        command.args(["-f", "-"]);
        command.args(["-d", &self.url_as(role)]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program psql is installed");
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // A failed statement ends `psql` before it has read the rest.
            scope.spawn(move || drop(stdin.write_all(sql.as_bytes())));
            child.wait_with_output().unwrap()
        });
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// The URL for a role.
    pub fn url_as(&self, role: &str) -> String {
        // A later parameter of a URL counts.
        let sign = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{sign}user={role}", self.url)
    }

    /// The program `psql` on this database, in the schema of the server.
    pub fn command(&self) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-At", "-F", "|", "-v", "ON_ERROR_STOP=1", "-d", &self.url]);
        command.env("PGOPTIONS", format!("-c search_path={SCHEMA} -c client_min_messages=warning"));
        command.env("PGCLIENTENCODING", "UTF8").env("LC_ALL", "C").env_remove("PGSERVICE");
        command
    }
}
