//! Times: as people write them, as the contract carries them, as people read them.

use std::time::Duration;

use jiff::Timestamp;

/// A duration like `10m` or `1h 30m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}: write it like 500ms, 10m or 1h30m"))
}

/// A moment: RFC 3339, or how long ago (`10m`, `10m ago`), or `now`.
pub(super) fn parse_moment(text: &str) -> Result<Timestamp, String> {
    parse_moment_at(text, Timestamp::now())
}

fn parse_moment_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let trimmed = text.trim();
    if trimmed == "now" {
        return Ok(now);
    }
    if let Ok(moment) = trimmed.parse() {
        return Ok(moment);
    }
    let age = trimmed.strip_suffix("ago").unwrap_or(trimmed).trim_end();
    let unclear = || format!("{text:?} is not a time: write it like 2026-11-20T17:00:00Z or \"10m ago\"");
    let age = humantime::parse_duration(age).map_err(|_| unclear())?;
    now.checked_sub(age).map_err(|_| unclear())
}

/// The moment as the contract carries it.
pub(super) fn to_proto(moment: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: moment.as_second(), nanos: moment.subsec_nanosecond() }
}

/// RFC 3339, or None when there is no time or it is out of range.
pub(super) fn show(moment: Option<prost_types::Timestamp>) -> Option<String> {
    from_proto(moment).map(|moment| moment.to_string())
}

/// "in 4s"; "now" when it has passed, "-" when there is no time.
pub(super) fn show_until(moment: Option<prost_types::Timestamp>) -> String {
    let Some(moment) = from_proto(moment) else { return "-".to_owned() };
    let wait = Timestamp::now().duration_until(moment);
    Duration::try_from(wait).map_or_else(|_| "now".to_owned(), |wait| format!("in {}", show_duration(wait)))
}

/// Milliseconds below ten seconds, whole seconds above.
pub(super) fn show_duration(duration: Duration) -> String {
    let shown = if duration < Duration::from_secs(10) {
        Duration::from_millis(u64::from(duration.subsec_millis()) + duration.as_secs() * 1_000)
    } else {
        Duration::from_secs(duration.as_secs())
    };
    humantime::format_duration(shown).to_string()
}

fn from_proto(moment: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let moment = moment?;
    Timestamp::new(moment.seconds, moment.nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_absolute_and_relative() {
        let now: Timestamp = "2026-11-20T17:00:00Z".parse().unwrap();
        let check = |text: &str, expected: &str| {
            assert_eq!(parse_moment_at(text, now).unwrap().to_string(), expected, "{text}");
        };
        check("now", "2026-11-20T17:00:00Z");
        check("2026-11-20T16:59:59.5Z", "2026-11-20T16:59:59.5Z");
        check("2026-11-20T18:00:00+01:00", "2026-11-20T17:00:00Z");
        check("10m ago", "2026-11-20T16:50:00Z");
        check("10m", "2026-11-20T16:50:00Z");
        check("1h 30m ago", "2026-11-20T15:30:00Z");
        for bad in ["", "ago", "yesterday", "2026-11-20", "-5m"] {
            let error = parse_moment_at(bad, now).unwrap_err();
            assert!(error.contains("write it like"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn contract_times_come_back() {
        let moment: Timestamp = "2026-11-20T17:00:00.123Z".parse().unwrap();
        assert_eq!(show(Some(to_proto(moment))).as_deref(), Some("2026-11-20T17:00:00.123Z"));
        assert_eq!(show(None), None);
        assert_eq!(show(Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 })), None);
    }

    #[test]
    fn durations_show_what_matters() {
        assert_eq!(show_duration(Duration::from_micros(1_234_567)), "1s 234ms");
        assert_eq!(show_duration(Duration::from_millis(75_900)), "1m 15s");
        assert_eq!(show_until(Some(to_proto(Timestamp::UNIX_EPOCH))), "now");
    }
}
