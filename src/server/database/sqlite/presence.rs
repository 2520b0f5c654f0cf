//! The server's hold on its database file: taken before the file is opened, given up after all connections are closed.
//!
//! This module also keeps the record in the lock file in step with what the server does to the files.

use std::path::Path;
use std::time::Duration;

use requery_entities::change;

use super::connections::FileConnections;
use super::files::{Displacement, LeftFile, has_log};
use super::lock::{HeldFile, NameLock};
use super::record::{Record, RowMark, RunMark, boot};
use crate::server::database::error::OpenError;
use crate::server::database::{DatabaseError, Position};

/// How long the log of a file may come after the file. Requests get 503 meanwhile.
const LOG_FOLLOWS: Duration = Duration::from_secs(1);

/// The file that is held, and the file that was left before.
#[derive(Default)]
pub(in crate::server::database) struct Presence {
    held: Option<HeldFile>,
    left: Option<LeftFile>,
    /// Another file took the name, and its log may follow.
    is_log_expected: bool,
}

impl Presence {
    /// Holds the file at `path`. The connections are closed, so the handle on another file may be closed.
    pub(in crate::server::database) async fn hold(
        &mut self,
        path: &Path,
        create: bool,
        lock: &NameLock,
    ) -> Result<&HeldFile, OpenError> {
        let held = match self.held.take() {
            Some(held) if held.has_name(path) => held,
            other => {
                drop(other);
                HeldFile::hold(path, create, lock.record().file).await?
            }
        };
        Ok(self.held.insert(held))
    }

    /// Closes the connections and leaves the files in a state that a restart cannot make worse.
    pub(in crate::server::database) async fn leave(&mut self, open: FileConnections, lock: &NameLock, in_order: bool) {
        let Some(held) = &self.held else { return };
        let files = open.files.clone();
        let displaced = files.displacement();
        self.is_log_expected = matches!(displaced, Some(Displacement::Missing | Displacement::Replaced));
        // The names come first: each moment in which the log has its old name is a danger for the file that came.
        let (mut aside, mut foreign) = (None, None);
        match displaced {
            Some(Displacement::Missing | Displacement::Replaced) => {
                aside = files.set_log_aside();
                if let Some(aside) = &aside {
                    note(lock, |record| record.aside = Some(aside.wal.clone()));
                }
            }
            Some(Displacement::LogLost) => foreign = files.hide_foreign_log(),
            None => {}
        }
        let mark = if in_order && displaced.is_none() { open.last_mark().await } else { None };
        let is_whole = open.close(displaced, held).await;
        if let Some(mark) = mark {
            note(lock, |record| {
                // Another program can still have the log open.
                record.wal = record.wal.filter(|_| has_log(files.path()));
                record.run = Some(mark);
            });
            lock.sync();
        }
        if is_whole {
            note(lock, |record| (record.wal, record.aside) = (None, None));
        } else if let Some(aside) = &aside {
            tracing::warn!(
                log = %aside.wal.display(),
                "the database file was moved without its newest changes: they are in this log; if no program has \
                 written the moved file since, give the log the name of that file with -wal behind it"
            );
        } else if displaced == Some(Displacement::LogLost) {
            tracing::error!("the write-ahead log was removed, and its newest changes could not be saved");
        }
        if let Some(foreign) = foreign
            && foreign.show_again()
        {
            note(lock, |record| record.refused = Some((files.file(), foreign.id)));
        }
        self.left = aside.map(|aside| LeftFile { files, aside, stamp: held.stamp() });
        if is_whole && let Some(left) = self.left.take() {
            left.forget_index();
        }
    }

    /// Waits a moment for the log of a file that took the name: a copy is two files, and they are moved one after the
    /// other. SQLite would open the file without its log, and the log would no longer belong to it then.
    pub(in crate::server::database) async fn wait_for_log(&mut self, path: &Path) {
        if !std::mem::take(&mut self.is_log_expected) {
            return;
        }
        let until = tokio::time::Instant::now() + LOG_FOLLOWS;
        while !has_log(path) && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOG_FOLLOWS / 50).await;
        }
    }

    /// Gives the log of the file that was left its name back, if that file is back.
    pub(in crate::server::database) fn bring_log_back(&mut self, lock: &NameLock) -> Result<(), OpenError> {
        if self.left.as_ref().is_some_and(LeftFile::bring_back) {
            self.left = None;
            return lock.update(|record| record.aside = None);
        }
        Ok(())
    }
}

impl FileConnections {
    /// Fails if a name leads to another file than the one that is open, or to none.
    pub(in crate::server::database) fn check_in_place(&self) -> Result<(), DatabaseError> {
        match self.files.displacement() {
            None => Ok(()),
            Some(displaced) => Err(DatabaseError::Away(displaced.reason().to_owned())),
        }
    }
}

/// Notes how far the log of the run was read.
pub(in crate::server::database) fn note_read(
    lock: &NameLock,
    open: &FileConnections,
    end: &Position,
    newest: Option<&change::Model>,
) {
    let (token, newest) = (open.epoch.to_string(), newest.map(RowMark::of));
    let run = RunMark { token, next: end.to_column(), newest, boot: boot(), ended: false };
    note(lock, |record| record.run = Some(run));
}

/// Changes the record. Without the note the next start forgets the earlier runs, which costs each client one fetch.
fn note(lock: &NameLock, change: impl FnOnce(&mut Record)) {
    if let Err(error) = lock.update(change) {
        tracing::warn!(%error, "could not write the lock file: after a restart no client can resume");
    }
}
