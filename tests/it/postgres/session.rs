//! One connection of `psql` that stays open, for a transaction that a test holds open.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, Stdio};

use crate::cluster::TestDatabase;

/// The line behind the errors of the statements before it.
const MARK: &str = "the statements have ended";

/// The program `psql` with its connection. A drop ends both, and rolls an open transaction back.
pub struct Session {
    psql: Child,
    errors: BufReader<ChildStderr>,
}

impl Session {
    pub fn open(database: &TestDatabase) -> Self {
        Self::open_as("postgres", database)
    }

    /// The same as another role.
    pub fn open_as(role: &str, database: &TestDatabase) -> Self {
        let mut command = database.command();
        command.args(["-v", "ON_ERROR_STOP=0", "-d", &database.url_as(role)]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut psql = command.spawn().expect("the program psql is installed");
        let errors = BufReader::new(psql.stderr.take().unwrap());
        Self { psql, errors }
    }

    /// Runs the statements and waits for their end. Returns the texts of their errors.
    pub fn run(&mut self, sql: &str) -> String {
        writeln!(self.psql.stdin.as_mut().unwrap(), "{sql};\n\\warn {MARK}").unwrap();
        let mut errors = String::new();
        loop {
            let before = errors.len();
            assert!(self.errors.read_line(&mut errors).unwrap() > 0, "psql ended: {errors}");
            if errors[before..].trim_end() == MARK {
                errors.truncate(before);
                return errors;
            }
        }
    }

    /// The same for statements that all succeed.
    #[track_caller]
    pub fn succeed(&mut self, sql: &str) {
        assert_eq!(self.run(sql), "", "{sql}");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}
