//! The header `Retry-After`: seconds, or a date.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The wait that an answer demands. `now` is the time of the client, for an answer with a date and without the time of
/// the server.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let demanded = text(RETRY_AFTER)?;
    if !demanded.is_empty() && demanded.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number beyond 64 bits is a very long wait, which the engine cuts.
        return Some(Duration::from_secs(demanded.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(demanded).ok()?;
    // The clocks of the two machines can differ, so the time of the server counts where it is known.
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::retry_after;

    #[test]
    fn seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let check = |fields: &[(&'static str, &'static str)], expected: Option<u64>| {
            let fields =
                fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let headers: HeaderMap = fields.collect();
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{headers:?}");
        };
        check(&[("retry-after", "7")], Some(7));
        check(&[("retry-after", " 0 ")], Some(0));
        check(&[("retry-after", "99999999999999999999999")], Some(u64::MAX));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], Some(7));
        let server = ("date", "Sun, 06 Nov 1994 08:49:07 GMT");
        check(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), server], Some(30));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(0));
        for unusable in ["", "-1", "soon", "1.5"] {
            check(&[("retry-after", unusable)], None);
        }
        check(&[], None);
    }
}
