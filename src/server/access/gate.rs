//! The gate: a request must name a host that this server answers to, and a request from a page must name an origin that
//! is allowed.
//!
//! Every page that a person opens can reach a server on loopback. Without these two checks any page could read and
//! write here: through a host name that resolves to 127.0.0.1, or by cross-origin requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use poem::http::{HeaderMap, HeaderValue, Uri, header};

/// The checks of one server.
#[derive(Clone)]
pub struct Gate(Arc<Allowed>);

struct Allowed {
    hosts: Vec<String>,
    any_host_by_address: bool,
    origins: Vec<String>,
}

/// The reason why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request names no host, or a host that this server does not answer to.
    #[error("host {0:?} is not served here; --allow-host adds one")]
    Host(String),
    /// The request comes from a page whose origin is not allowed.
    #[error("origin {0:?} is not allowed here; --allow-origin adds one")]
    Origin(String),
}

impl Gate {
    /// The gate of a server at `address`, with additional hosts and origins.
    pub fn new(address: SocketAddr, hosts: &[String], origins: &[String]) -> Self {
        let mut all = vec!["localhost".to_owned()];
        all.push(bare(address.ip()));
        if address.ip().is_loopback() {
            all.extend(["127.0.0.1".to_owned(), "[::1]".to_owned()]);
        }
        all.extend(hosts.iter().map(|host| host.to_ascii_lowercase()));
        let origins = origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        // A server on all addresses answers to every address: a hostile page can point a name at this machine, but not
        // an address.
        Self(Arc::new(Allowed { hosts: all, any_host_by_address: address.ip().is_unspecified(), origins }))
    }

    /// Checks a request. Returns its origin if that is another one than the server's own and is allowed: the browser
    /// expects the origin in the answer.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let named = match (hosts.next(), hosts.next()) {
            (Some(_), Some(_)) => return Err(Refusal::Host("more than one".to_owned())),
            (Some(host), None) => String::from_utf8_lossy(host.as_bytes()).to_ascii_lowercase(),
            (None, _) => uri.authority().map(|authority| authority.as_str().to_ascii_lowercase()).unwrap_or_default(),
        };
        let host = without_port(&named);
        let by_address = || self.0.any_host_by_address && host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        // A list with an empty text must not let a request without a host in.
        if host.is_empty() || (!self.0.hosts.iter().any(|allowed| allowed == host) && !by_address()) {
            return Err(Refusal::Host(named));
        }
        let mut other = None;
        for origin in headers.get_all(header::ORIGIN) {
            let text = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
            let own = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) == Some(&named);
            if !own && !self.0.origins.contains(&text) {
                return Err(Refusal::Origin(text));
            }
            other = (!own).then(|| origin.clone());
        }
        Ok(other)
    }
}

/// An address as a URL writes it.
fn bare(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderMap, HeaderName, HeaderValue, Uri};

    use super::Gate;

    fn check(listen: &str, headers: &[(&str, &str)]) -> bool {
        let gate = Gate::new(
            listen.parse().expect("an address"),
            &["Agents.example".to_owned(), String::new()],
            &["https://board.example/".to_owned()],
        );
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a value");
            map.append(name.parse::<HeaderName>().expect("a name"), value);
        }
        gate.check(&Uri::from_static("/api/v1/tasks"), &map).is_ok()
    }

    #[test]
    fn own_hosts_are_accepted() {
        for host in
            ["localhost:7373", "127.0.0.1", "127.0.0.1:7373", "[::1]:7373", "[::1]", "agents.example:80", "LOCALHOST"]
        {
            assert!(check("127.0.0.1:7373", &[("host", host)]), "{host}");
        }
        assert!(check("0.0.0.0:7373", &[("host", "192.168.1.7:7373")]));
    }

    #[test]
    fn other_hosts_are_refused() {
        for host in [
            "",
            ":7373",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:7373",
            "192.168.1.7:7373",
            "[::1",
            "localhost@evil.example",
        ] {
            assert!(!check("127.0.0.1:7373", &[("host", host)]), "{host}");
        }
        assert!(!check("127.0.0.1:7373", &[]));
        assert!(!check("127.0.0.1:7373", &[("host", "localhost"), ("host", "evil.example")]));
        assert!(!check("0.0.0.0:7373", &[("host", "evil.example")]));
    }

    #[test]
    fn only_own_and_allowed_origins_are_accepted() {
        let host = ("host", "localhost:7373");
        for origin in ["http://localhost:7373", "https://board.example"] {
            assert!(check("127.0.0.1:7373", &[host, ("origin", origin)]), "{origin}");
        }
        assert!(check("127.0.0.1:7373", &[host]));
        for origin in [
            "http://localhost:3000",
            "https://evil.example",
            "null",
            "",
            "http://localhost:7373.evil.example",
            "https://board.example.evil",
        ] {
            assert!(!check("127.0.0.1:7373", &[host, ("origin", origin)]), "{origin}");
        }
        assert!(!check("127.0.0.1:7373", &[host, ("origin", "http://localhost:7373"), ("origin", "null")]));
    }
}
