//! A settings file: read, and replaced as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::json::SettingsFlaw;

/// The middle of a backup's name: behind the name of the file, before the time.
const BACKUP_SUFFIX: &str = ".requery-backup-";

/// A settings file as it was read.
pub struct SettingsFile {
    /// The path under which the user knows it.
    path: PathBuf,
    /// The file behind all links.
    file: PathBuf,
    /// The content; none if there is no file.
    text: Option<String>,
}

impl SettingsFile {
    /// Reads the file.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = target(path).with_context(|| format!("could not follow {}", path.display()))?;
        let text = match fs::read(&file) {
            Ok(bytes) => Some(String::from_utf8(bytes).map_err(|error| {
                let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
                flawed(path, &valid, &SettingsFlaw::at(valid.len(), "not UTF-8"))
            })?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("could not read {}", path.display())),
        };
        Ok(Self { path: path.to_owned(), file, text })
    }

    /// The content; empty if there is no file.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Whether the file exists.
    pub fn is_there(&self) -> bool {
        self.text.is_some()
    }

    /// An error that names the file, and the line and the column of the flaw.
    pub fn flaw(&self, flaw: &SettingsFlaw) -> anyhow::Error {
        flawed(&self.path, self.text(), flaw)
    }

    /// Checks that the file may be written. The permissions of the folder decide whether a file can be replaced; a
    /// read-only file says that it should not be.
    ///
    /// # Errors
    /// The file is read-only.
    pub fn check_writable(&self) -> anyhow::Result<()> {
        let readonly = fs::metadata(&self.file).is_ok_and(|file| file.permissions().readonly());
        anyhow::ensure!(!readonly, "{} is read-only; nothing was changed", self.path.display());
        Ok(())
    }

    /// Writes a backup of the content and returns its path.
    ///
    /// # Errors
    /// The backup cannot be written.
    pub fn back_up(&self, backups: &SettingsBackups) -> anyhow::Result<Option<PathBuf>> {
        let Some(text) = &self.text else { return Ok(None) };
        if let Some((path, newest)) = backups.newest(|_| true)
            && newest == *text
        {
            return Ok(Some(path));
        }
        let time = chrono::Utc::now().format("%Y%m%dT%H%M%S%.6fZ");
        let path = backups.folder.join(format!("{}{BACKUP_SUFFIX}{time}", backups.name));
        let write = || -> io::Result<()> {
            create_folder(&backups.folder)?;
            let mode = fs::metadata(&self.file)?.permissions().mode();
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| format!("could not write the backup {}; nothing was changed", path.display()))?;
        Ok(Some(path))
    }

    /// Replaces the content by `text`, or removes the file. Returns false, without a change, if another program has
    /// written the file since it was read.
    ///
    /// # Errors
    /// The file cannot be written. It is as it was.
    pub fn replace(&self, text: Option<&str>) -> anyhow::Result<bool> {
        let path = self.path.display();
        self.try_replace(text).with_context(|| format!("could not write {path}; it is as it was"))
    }

    fn try_replace(&self, text: Option<&str>) -> anyhow::Result<bool> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let before = fs::metadata(&self.file).ok();
        let Some(text) = text else {
            if !self.is_unchanged()? {
                return Ok(false);
            }
            fs::remove_file(&self.file)?;
            return Ok(true);
        };
        create_folder(folder)?;
        let mut new = tempfile::Builder::new().prefix(".requery-").suffix(".tmp").tempfile_in(folder)?;
        new.write_all(text.as_bytes())?;
        if let Some(before) = before {
            new.as_file().set_permissions(before.permissions())?;
            // Only root can change the owner, and only root needs to.
            let _ = std::os::unix::fs::fchown(new.as_file(), Some(before.uid()), Some(before.gid()));
        }
        new.as_file().sync_all()?;
        if !self.is_unchanged()? {
            return Ok(false);
        }
        if self.text.is_some() {
            new.persist(&self.file)?;
        } else if let Err(error) = new.persist_noclobber(&self.file) {
            // Another program has just created the file.
            return if error.error.kind() == ErrorKind::AlreadyExists { Ok(false) } else { Err(error.into()) };
        }
        // The name is stored in the folder, which has to be synced like a file.
        File::open(folder)?.sync_all()?;
        Ok(true)
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        match fs::read(&self.file) {
            Ok(bytes) => Ok(self.text.as_ref().is_some_and(|text| text.as_bytes() == bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(self.text.is_none()),
            Err(error) => Err(error),
        }
    }
}

/// The backups of one settings file.
pub struct SettingsBackups {
    folder: PathBuf,
    name: String,
}

impl SettingsBackups {
    /// The backups of the file at `path`: beside the file, or in a folder of ours if the file's folder is shared.
    ///
    /// # Errors
    /// A link on the way to the file cannot be followed.
    pub fn of(path: &Path, elsewhere: Option<&Path>) -> anyhow::Result<Self> {
        let file = target(path).with_context(|| format!("could not follow {}", path.display()))?;
        let beside = file.parent().unwrap_or(Path::new("."));
        let folder = match elsewhere {
            None => beside.to_owned(),
            Some(folder) => {
                // FNV-1a, since its result is the same in every version of the program.
                let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                let sum = beside.as_os_str().as_encoded_bytes().iter().copied().fold(0xcbf2_9ce4_8422_2325, mix);
                folder.join(format!("{sum:016x}"))
            }
        };
        Ok(Self { folder, name: file.file_name().unwrap_or_default().to_string_lossy().into_owned() })
    }

    /// The newest backup for which `counts` is true, and its content.
    pub fn newest(&self, counts: impl Fn(&str) -> bool) -> Option<(PathBuf, String)> {
        let prefix = format!("{}{BACKUP_SUFFIX}", self.name);
        let of_ours = |entry: fs::DirEntry| {
            let path = entry.path();
            path.file_name()?.to_str()?.starts_with(&prefix).then_some(path)
        };
        let mut paths: Vec<PathBuf> = fs::read_dir(&self.folder).ok()?.flatten().filter_map(of_ours).collect();
        paths.sort_unstable();
        paths.into_iter().rev().find_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            counts(&text).then_some((path, text))
        })
    }
}

/// Creates a missing folder. A folder that exists keeps its mode.
fn create_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The file behind all links, whether it exists or not.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::read_link(path) {
            Ok(link) => Ok(path.parent().unwrap_or(Path::new(".")).join(link)),
            Err(_) => Ok(path.to_owned()),
        },
        file => file,
    }
}

fn flawed(path: &Path, text: &str, flaw: &SettingsFlaw) -> anyhow::Error {
    let before = text.get(..flaw.at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().trim_start_matches('\u{feff}').chars().count() + 1;
    let (path, reason) = (path.display(), &flaw.reason);
    anyhow::anyhow!("{path}, line {line}, column {column}: {reason}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::SettingsFile;

    #[test]
    fn a_write_of_another_program_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/er/settings.json");
        let missing = SettingsFile::read(&path).expect("read");
        assert!(missing.replace(Some("{\"ours\": 1}")).expect("written"));
        let read = SettingsFile::read(&path).expect("read");
        assert!(!missing.replace(Some("{}")).expect("noticed"), "it was made meanwhile");
        fs::write(&path, "{\"theirs\": 1}").expect("written");
        for new in [Some("{}"), None] {
            assert!(!read.replace(new).expect("noticed"));
            assert_eq!(fs::read_to_string(&path).expect("read"), "{\"theirs\": 1}");
        }
        assert!(SettingsFile::read(&path).expect("read").replace(None).expect("removed"));
        assert!(!read.replace(Some("{}")).expect("noticed"), "it was removed meanwhile");
        let left = fs::read_dir(folder.path().join("deep/er")).expect("a folder").count();
        assert_eq!(left, 0, "a temporary file is left");
    }
}
