//! What to connect to, and why there may be nothing to connect to.

use reqwest::Url;

use crate::engine::Settings;

/// What to connect to.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where the server is: `http://127.0.0.1:7373`, perhaps with a path.
    pub server: String,
    /// One project; none is all of them.
    pub project: Option<String>,
    /// How patient to be.
    pub settings: Settings,
}

impl ClientConfig {
    /// All projects of the server at this address.
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), project: None, settings: Settings::default() }
    }
}

/// Why there is nothing to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("{0:?} is not the address of a server (expected for example http://127.0.0.1:7373)")]
    Address(String),
    /// The HTTP client could not be made.
    #[error("could not set up HTTP")]
    Http(#[source] reqwest::Error),
}

/// The address with a path that others can be put behind.
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
    use super::address;

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
}
