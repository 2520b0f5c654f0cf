//! A system whose processes this program cannot look at.

use std::io;

use super::{ProcessSpace, ProcessTable, RunningProcess};

pub(super) struct NoProcesses;

impl ProcessTable for NoProcesses {
    fn space() -> Option<ProcessSpace> {
        None
    }

    fn find(_: u32) -> io::Result<Option<RunningProcess>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn commands_below(_: u32) -> Vec<(i64, String)> {
        Vec::new()
    }
}
