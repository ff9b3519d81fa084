//! Moments and spans: the contract's, and milliseconds of the Redis clock.

use std::time::Duration;

use prost_types::Timestamp;

use super::violations::Violations;

const NANOS_PER_MS: i32 = 1_000_000;
/// 0001-01-01 to 9999-12-31, as `google.protobuf.Timestamp` allows.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The moment of so many ms since 1970.
pub fn timestamp(at_ms: i64) -> Timestamp {
    let nanos = i32::try_from(at_ms.rem_euclid(1_000)).expect("less than a thousand") * NANOS_PER_MS;
    Timestamp { seconds: at_ms.div_euclid(1_000), nanos }
}

/// A span as the contract writes it.
pub fn span(span: Duration) -> prost_types::Duration {
    let nanos = i32::try_from(span.subsec_nanos()).expect("less than a second");
    prost_types::Duration { seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), nanos }
}

/// The first whole ms at or after a moment: right for both ends of a half-open span of whole ms.
pub(super) fn ms_at_or_after(
    bad: &mut Violations,
    field: &'static str,
    given: Option<Timestamp>,
) -> Option<Option<i64>> {
    let Some(Timestamp { seconds, nanos }) = given else { return Some(None) };
    if !SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        bad.add(field, "must be a moment of the years 1 to 9999, with nanos of 0 to 999999999");
        return None;
    }
    let rest_ms = nanos / NANOS_PER_MS + i32::from(nanos % NANOS_PER_MS != 0);
    Some(Some(seconds * 1_000 + i64::from(rest_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ms_and_timestamps_agree_also_before_1970() {
        for at_ms in [0, 1, 999, 1_000, 1_763_700_000_123, -1, -1_001] {
            let read = ms_at_or_after(&mut Violations::default(), "t", Some(timestamp(at_ms)));
            assert_eq!(read, Some(Some(at_ms)));
        }
        let odd = Timestamp { seconds: 1, nanos: 1 };
        assert_eq!(ms_at_or_after(&mut Violations::default(), "t", Some(odd)), Some(Some(1_001)));
    }
}
