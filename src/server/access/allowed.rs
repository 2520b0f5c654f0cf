//! The names that an operator allows: further hosts of the server, and origins of pages.
//!
//! A value that no request can ever match is refused: it would look like a permission and give none.

use std::net::Ipv6Addr;

/// A host in the form in which requests name it, without a port.
///
/// # Errors
/// No request can name this host. The text is the reason, and the right form.
pub fn host(text: &str) -> Result<String, String> {
    let text = text.trim();
    let example = "such as agents.example";
    if text.is_empty() {
        return Err(format!("names no host: write a name, {example}"));
    }
    if text.contains('*') {
        return Err(format!("has a `*`, which stands for no other host: write each name, {example}"));
    }
    if text.contains('/') {
        return Err(format!("is a URL: write the name alone, {example}"));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("is an IPv6 address without brackets: write [{text}]"));
    }
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => Ok(format!("[{address}]")),
            Err(_) => Err("has brackets around a text that is no IPv6 address".to_owned()),
        };
    }
    if text.contains(':') {
        return Err(format!("has a port: write the name alone, {example}; each port of it is allowed"));
    }
    if !text.is_ascii() {
        return Err("has a letter outside of ASCII: write the name as requests have it, such as xn--bcher-kva.example"
            .to_owned());
    }
    let is_named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if !text.bytes().all(is_named) {
        return Err(format!("is no name of a host: write a name, {example}"));
    }
    Ok(text.to_ascii_lowercase())
}

/// An origin in the form in which browsers send it.
///
/// # Errors
/// No browser sends this origin. The text is the reason, and the right form.
pub fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    let example = "such as https://example.org";
    if text.is_empty() {
        return Err(format!("names no origin: write a scheme and a host, {example}"));
    }
    if text.contains('*') {
        return Err(format!("has a `*`, which stands for no other origin: write each origin, {example}"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("has no scheme: write the scheme and the host, {example}"));
    };
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return Err(format!("has no scheme: write the scheme and the host, {example}"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(format!("has a path: write the scheme and the host alone, {example}"));
    }
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (rest, None),
    };
    let (scheme, name) = (scheme.to_ascii_lowercase(), host(name)?);
    let Some(port) = port else { return Ok(format!("{scheme}://{name}")) };
    let number: u16 = match port.parse() {
        Ok(number) if number > 0 && !port.starts_with(['0', '+']) => number,
        Ok(_) | Err(_) => return Err(format!("has `{port}` for a port: write a number from 1 to 65535, or none")),
    };
    match (scheme.as_str(), number) {
        ("http", 80) | ("https", 443) => {
            Err(format!("has the default port, which browsers leave out: write {scheme}://{name}"))
        }
        _ => Ok(format!("{scheme}://{name}:{number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{host, origin};

    #[test]
    fn hosts_are_taken_in_the_form_of_requests() {
        for (text, expected) in [
            ("agents.example", "agents.example"),
            ("Agents.Example", "agents.example"),
            (" board ", "board"),
            ("192.168.1.7", "192.168.1.7"),
            ("[FE80::1]", "[fe80::1]"),
            ("my_host", "my_host"),
        ] {
            assert_eq!(host(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn hosts_that_no_request_names_are_refused() {
        for (text, reason) in [
            ("", "names no host"),
            (" ", "names no host"),
            ("*", "has a `*`"),
            ("*.example.org", "has a `*`"),
            ("http://agents.example", "is a URL"),
            ("agents.example/x", "is a URL"),
            ("agents.example:7373", "has a port"),
            ("agents.example:80", "has a port"),
            ("::1", "write [::1]"),
            ("[::1]:80", "has a port"),
            ("[board]", "has brackets"),
            ("bücher.example", "has a letter outside of ASCII"),
            ("a b", "is no name of a host"),
            ("user@board", "is no name of a host"),
        ] {
            let refused = host(text).expect_err(text);
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn origins_are_taken_in_the_form_of_browsers() {
        for (text, expected) in [
            ("https://example.org", "https://example.org"),
            ("HTTPS://Example.org/", "https://example.org"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://example.org:443", "http://example.org:443"),
            ("tauri://localhost", "tauri://localhost"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn origins_that_no_browser_sends_are_refused() {
        for (text, reason) in [
            ("", "names no origin"),
            ("*", "has a `*`"),
            ("https://*.example.org", "has a `*`"),
            ("example.org", "has no scheme"),
            ("null", "has no scheme"),
            ("://example.org", "has no scheme"),
            ("https://", "names no host"),
            ("https://example.org/app", "has a path"),
            ("https://example.org?a", "has a path"),
            ("https://example.org:443", "write https://example.org"),
            ("http://example.org:80", "write http://example.org"),
            ("http://example.org:port", "has `port` for a port"),
            ("http://example.org:080", "has `080` for a port"),
            ("https://user@example.org", "is no name of a host"),
        ] {
            let refused = origin(text).expect_err(text);
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
