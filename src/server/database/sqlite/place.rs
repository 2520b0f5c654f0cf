//! The place of a database file: its names, its locks, and the way to open it at the start and again after a doubt.

use std::path::{Path, PathBuf};

use requery_entities::change;

use super::connections::FileConnections;
use super::error_codes::{as_open_error, as_schema_error};
use super::health::{self, Health};
use super::location::FileLocation;
use super::lock::{NameLock, create_folder};
use super::presence::{self, Presence};
use super::record::Record;
use super::schema;
use crate::server::database::{DatabaseError, OpenError, Position};

/// The place of the database file of a server.
pub(in crate::server::database) struct FilePlace {
    location: FileLocation,
    /// The path that the server was given, which can be a symbolic link.
    given: PathBuf,
    presence: tokio::sync::Mutex<Presence>,
    /// Locked while the server runs. Two servers on one file would each fold and prune the log without knowing of the
    /// other.
    lock: NameLock,
}

impl FilePlace {
    /// Opens the file, creates it if it is missing, migrates its schema and begins a run.
    pub(in crate::server::database) async fn open(
        location: &FileLocation,
    ) -> Result<(Self, FileConnections), OpenError> {
        let given = location.path().to_owned();
        // A path has a canonical name only if its folder is there.
        create_folder(&given)?;
        let location = location.resolved();
        // The record is read before the lock is taken, so that no lock file is created beside a file that is refused.
        // Another server can change the record until the lock is taken.
        Record::beside(location.path()).admit(location.path())?;
        schema::admit(&location).await.map_err(as_schema_error(&location))?;
        let lock = NameLock::take(location.path()).await?;
        lock.record().admit(location.path())?;
        if lock.record().has_lost(location.path()) {
            tracing::warn!(
                path = %location.path().display(),
                "the database file that was served here is gone, and no log of it is left: an empty database begins"
            );
        }
        let mut presence = Presence::default();
        let held = presence.hold(location.path(), true, &lock).await?;
        let connections = FileConnections::open(&location, false, &lock, held).await?;
        let place = Self { location, given, presence: tokio::sync::Mutex::new(presence), lock };
        Ok((place, connections))
    }

    /// Opens a file that may have been replaced. Such a file is checked completely first, even if it is large. A
    /// missing file is not created: the file that was served can come back.
    pub(in crate::server::database) async fn open_in_doubt(&self) -> Result<(FileConnections, Health), OpenError> {
        let (location, path) = (&self.location, self.path());
        if !location.is_the_place_of(&self.given) {
            return Err(OpenError::LeadsElsewhere(self.given.clone()));
        }
        let mut presence = self.presence.lock().await;
        presence.bring_log_back(&self.lock)?;
        if !std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
            return Err(OpenError::Missing(path.to_owned()));
        }
        presence.wait_for_log(path).await;
        self.lock.record().admit(path)?;
        let held = presence.hold(path, false, &self.lock).await?;
        schema::admit(location).await.map_err(as_schema_error(location))?;
        match health::of_file(path).await.map_err(as_open_error(location))? {
            Health::File(detail) => Err(OpenError::Damaged { path: path.to_owned(), detail }),
            health => Ok((FileConnections::open(location, true, &self.lock, held).await?, health)),
        }
    }

    /// Closes the connections. `in_order` if the run ends without a doubt about the file.
    pub(in crate::server::database) async fn leave(&self, open: FileConnections, in_order: bool) {
        self.presence.lock().await.leave(open, &self.lock, in_order).await;
    }

    /// Notes in the lock file how far the log was read. The next start compares the note with the log: an older copy of
    /// the file that is put back is told by it.
    pub(in crate::server::database) fn note_read(
        &self,
        open: &FileConnections,
        end: &Position,
        newest: Option<&change::Model>,
    ) {
        presence::note_read(&self.lock, open, end, newest);
    }

    /// Fails if the path that the server was given leads to another file.
    pub(in crate::server::database) fn check_in_place(&self) -> Result<(), DatabaseError> {
        match self.location.is_the_place_of(&self.given) {
            true => Ok(()),
            false => Err(DatabaseError::Away("the path leads to another file".to_owned())),
        }
    }

    /// The path of the file.
    pub(in crate::server::database) fn path(&self) -> &Path {
        self.location.path()
    }
}
