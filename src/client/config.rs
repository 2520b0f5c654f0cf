//! The configuration of a client, and the errors of a configuration that cannot work.

use std::error::Error;

use reqwest::Url;

use crate::engine::EngineSettings;

/// Enough for dozens of long tasks, and little beside the memory of a program with a screen.
const REMEMBERED_BYTES: usize = 16 * 1024 * 1024;

/// The server that a client connects to, and the client's timings.
///
/// ```
/// use requery::client::ClientConfig;
///
/// let config = ClientConfig::new("http://127.0.0.1:7373").with_project("website");
/// assert_eq!(config.project.as_deref(), Some("website"));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The address of the server, as in `http://127.0.0.1:7373`.
    ///
    /// Only `http` is supported. The scheme may be left out. A path is kept as a prefix of every request, for a server
    /// behind a reverse proxy. A query and a fragment are ignored.
    pub server: String,
    /// The client sees the tasks, events and bookmarks of this project. Default: `None`, which is all projects.
    pub project: Option<String>,
    /// The bodies of read models that are no longer watched take at most this many bytes of JSON. Default: 16 MiB.
    ///
    /// The settings of the engine bound their number and the time.
    pub remembered_bytes: usize,
    /// Debounce, timeouts, retries and limits. Default: the default settings of the engine.
    pub settings: EngineSettings,
}

impl ClientConfig {
    /// A configuration for the server at this address, with all projects and the default settings.
    ///
    /// The address is checked by [`Client::connect`](super::Client::connect).
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            project: None,
            remembered_bytes: REMEMBERED_BYTES,
            settings: EngineSettings::default(),
        }
    }

    /// Limits the client to one project.
    #[must_use]
    pub fn with_project(self, project: impl Into<String>) -> Self {
        Self { project: Some(project.into()), ..self }
    }

    /// Replaces the timings and limits.
    #[must_use]
    pub fn with_settings(self, settings: EngineSettings) -> Self {
        Self { settings, ..self }
    }
}

/// The reason why [`Client::connect`](super::Client::connect) could not begin.
///
/// A server that does not answer is not among the reasons: the client keeps trying, and
/// [`Client::status`](super::Client::status) says so.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// [`ClientConfig::server`] is not an `http` address. Holds the rejected text.
    #[error("{0:?} is not the address of a server (expected for example http://127.0.0.1:7373{https})", https = https_words(.0))]
    Address(String),
    /// The HTTP library could not be set up. Holds its error.
    #[error("could not set up HTTP")]
    Http(#[source] Box<dyn Error + Send + Sync>),
}

fn https_words(address: &str) -> &'static str {
    if address.starts_with("https:") { "; https is not supported" } else { "" }
}

/// Parses the address of a server. The path of the result ends with a slash, so that other paths can be appended.
pub(super) fn address(text: &str) -> Option<Url> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&text).ok().filter(|url| url.scheme() == "http" && url.has_host())?;
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::{ConnectError, address};

    #[test]
    fn addresses() {
        let check = |text, expected: Option<&str>| assert_eq!(address(text).as_ref().map(|url| url.as_str()), expected);
        check("http://127.0.0.1:7373", Some("http://127.0.0.1:7373/"));
        check("localhost:7373", Some("http://localhost:7373/"));
        check("http://proxy/requery?x=1#y", Some("http://proxy/requery/"));
        check("https://example.org", None);
        check("", None);
        check("http://", None);
    }

    #[test]
    fn the_error_of_an_address_says_that_https_is_not_supported() {
        let error = |text: &str| ConnectError::Address(text.to_owned()).to_string();
        assert!(
            error("https://example.org")
                .ends_with("(expected for example http://127.0.0.1:7373; https is not supported)")
        );
        assert!(error("").ends_with("(expected for example http://127.0.0.1:7373)"));
    }
}
