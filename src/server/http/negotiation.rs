//! The headers in which a caller says which forms of an answer it takes.

use poem::http::{HeaderMap, HeaderName, header};

/// Whether the caller takes answers in `coding`, and not less than answers without a coding.
pub(super) fn accepts_coding(headers: &HeaderMap, coding: &str) -> bool {
    let weight = |name: &str| {
        listed(headers, &header::ACCEPT_ENCODING).find(|(listed, _)| listed == name).map(|(_, weight)| weight)
    };
    let plain = weight("identity").unwrap_or(0.0);
    weight(coding).or_else(|| weight("*")).is_some_and(|weight| weight > 0.0 && weight >= plain)
}

/// The entries of a header, in lower case, with their weights.
pub(super) fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (String, f32)> + 'a {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        (kind, weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderMap, HeaderValue, header};

    use super::accepts_coding;

    #[test]
    fn a_coding_is_taken_if_the_caller_prefers_no_other_form() {
        for (accepted, expected) in [
            (&["gzip"][..], true),
            (&["GZIP"], true),
            (&["br", "gzip;q=0.1"], true),
            (&["deflate, gzip ; q=1.0"], true),
            (&["*"], true),
            (&["gzip;q=0.5, identity;q=0.5"], true),
            (&["identity;q=0, *"], true),
            (&[], false),
            (&[""], false),
            (&["br"], false),
            (&["gzip;q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["gzip;q=0.4, identity;q=0.5"], false),
            (&["gzip;q=many"], false),
            (&["x-gzip"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accepted {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(accepts_coding(&headers, "gzip"), expected, "{accepted:?}");
        }
    }
}
