//! The `Retry-After` header (RFC 9110, section 10.2.3): seconds, or one of the three forms of an HTTP date.

use std::time::Duration;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// No server is left alone for longer because it asked to: 24 hours.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The three forms a receiver of an HTTP date must accept: the current one, RFC 850, and C's asctime.
const HTTP_DATE_FORMATS: [&str; 3] =
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// How long the answer asks to wait, at most [`RETRY_AFTER_MAX`]. None when it does not say, or says "now": then our
/// own backoff decides, since a wait of zero would be a busy loop.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_seconds = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_seconds {
        // Digits that do not fit are a very long wait, not a broken header.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        // Both in UTC; "31 Dec 9999" is a date people write, and beyond the last Timestamp.
        let now_utc = TimeZone::UTC.to_datetime(now);
        Duration::try_from(http_date(text)?.duration_since(now_utc)).ok()?
    };
    (!wait.is_zero()).then_some(wait.min(RETRY_AFTER_MAX))
}

fn http_date(text: &str) -> Option<DateTime> {
    HTTP_DATE_FORMATS.iter().find_map(|format| DateTime::strptime(format, text).ok())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn seconds_and_dates_are_honoured_within_a_day() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().expect("a time");
        let check = |text: &str, seconds: Option<u64>| {
            let headers =
                HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).expect("a header value"))]);
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text:?}");
        };
        check("30", Some(30));
        check(" 30 ", Some(30));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(30));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(30));
        check("Sun Nov  6 08:49:37 1994", Some(30));
        check("86401", Some(86_400));
        check("99999999999999999999999", Some(86_400));
        check("Sun, 06 Nov 2094 08:49:37 GMT", None); // not a Sunday: a broken date is no date
        check("Sat, 06 Nov 2094 08:49:37 GMT", Some(86_400));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400));
        check("0", None);
        check("Sun, 06 Nov 1994 08:49:07 GMT", None);
        check("Sun, 06 Nov 1994 08:00:00 GMT", None);
        for broken in ["", "-5", "1.5", "soon", "Sun, 06 Nov"] {
            check(broken, None);
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
