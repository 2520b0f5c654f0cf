//! The location of the database file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::server::database::location_error::LocationError;

/// A database file: `sqlite:/path/to/file` or just the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLocation(PathBuf);

impl FileLocation {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The same file by its canonical name, without symbolic links. SQLite names the log after the canonical name, so
    /// the lock has to do so too.
    pub(in crate::server::database) fn resolved(&self) -> Self {
        Self(canonical(&self.0))
    }

    /// Whether `given` leads here.
    pub(in crate::server::database) fn is_the_place_of(&self, given: &Path) -> bool {
        given == self.0 || canonical(given) == self.0
    }

    /// The URL for the driver. Characters with a meaning in a URL are percent-encoded.
    pub(in crate::server::database) fn url(&self) -> String {
        let mut url = "sqlite://".to_owned();
        for byte in self.0.as_os_str().as_encoded_bytes() {
            match byte {
                b'%' | b'?' | b'#' => url.push_str(&format!("%{byte:02X}")),
                0x21..0x7f => url.push(char::from(*byte)),
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        url
    }
}

/// The canonical name of `path`, also if the file is missing. If a folder is missing, the path as it is.
fn canonical(path: &Path) -> PathBuf {
    /// As many links in a row as Linux follows.
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Ok(canonical) = path.canonicalize() {
            return canonical;
        }
        // A link can lead to a file that is missing.
        match path.read_link() {
            Ok(target) => path = path.parent().map_or(target.clone(), |folder| folder.join(&target)),
            Err(_) => break,
        }
    }
    let folder = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    match (folder.and_then(|folder| folder.canonicalize().ok()), path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => std::path::absolute(&path).unwrap_or(path),
    }
}

impl From<PathBuf> for FileLocation {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl FromStr for FileLocation {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let path = match text.split_once(':') {
            Some(("sqlite", rest)) => {
                let rest = rest.strip_prefix("//").unwrap_or(rest);
                let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
                // The server creates a missing file, which is the meaning of `mode=rwc`.
                if let Some(other) = parameters.split('&').find(|one| !matches!(*one, "" | "mode=rwc")) {
                    return Err(LocationError::Parameter(other.to_owned()));
                }
                if path.contains('%') {
                    return Err(LocationError::Encoded);
                }
                path
            }
            Some((scheme, _)) if scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                return Err(LocationError::Scheme(scheme.to_owned()));
            }
            _ => match text.split_once('?') {
                Some((_, parameters)) if parameters.contains('=') => {
                    return Err(LocationError::Parameter(parameters.to_owned()));
                }
                _ => text,
            },
        };
        match path {
            "" => Err(LocationError::Empty),
            ":memory:" => Err(LocationError::Memory),
            path if path.starts_with('~') => Err(LocationError::Home),
            path => Ok(Self(path.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FileLocation, LocationError};

    #[test]
    fn urls_and_paths_are_accepted() {
        for (text, path) in [
            ("sqlite:///var/lib/r.db", "/var/lib/r.db"),
            ("sqlite:r.db", "r.db"),
            ("sqlite://r.db?mode=rwc", "r.db"),
            ("/tmp/a b.db", "/tmp/a b.db"),
            ("./x:y.db", "./x:y.db"),
            ("./~old/what?.db", "./~old/what?.db"),
        ] {
            assert_eq!(text.parse::<FileLocation>().map(|it| it.0), Ok(path.into()), "{text}");
        }
    }

    #[test]
    fn other_databases_are_refused() {
        assert_eq!("mysql://h/d".parse::<FileLocation>(), Err(LocationError::Scheme("mysql".to_owned())));
        assert_eq!("sqlite::memory:".parse::<FileLocation>(), Err(LocationError::Memory));
        assert_eq!("sqlite:".parse::<FileLocation>(), Err(LocationError::Empty));
        let parameter = |text: &str| Err(LocationError::Parameter(text.to_owned()));
        assert_eq!("sqlite:r.db?mode=ro".parse::<FileLocation>(), parameter("mode=ro"));
        assert_eq!("sqlite://r.db?mode=rwc&cache=shared".parse::<FileLocation>(), parameter("cache=shared"));
        assert_eq!("r.db?mode=ro".parse::<FileLocation>(), parameter("mode=ro"));
        assert_eq!("sqlite:///a%20b.db".parse::<FileLocation>(), Err(LocationError::Encoded));
        for home in ["~/r.db", "sqlite:~/r.db", "sqlite://~/r.db", "~", "~someone/r.db"] {
            assert_eq!(home.parse::<FileLocation>(), Err(LocationError::Home), "{home}");
        }
    }

    #[test]
    fn the_driver_url_encodes_special_characters() {
        assert_eq!(FileLocation("/tmp/50% a?.db".into()).url(), "sqlite:///tmp/50%25%20a%3F.db");
    }
}
