//! Numbers and dates of other people's JSON, read and written without rounding.

use std::fmt::Display;

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Weekday},
    tz::TimeZone,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::domain::carrier::Money;

/// A delivery further away than ten years is no delivery.
const DAYS_MAX: i64 = 3_650;
/// Working days are counted one by one.
const WORKING_DAYS_MAX: i64 = 365;

/// A decimal number as it was written: a JSON number or a string. Vendors write both, and floating point would change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written(String);

impl Written {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Its value; None when it is no number.
    pub(crate) fn decimal(&self) -> Option<Decimal> {
        let text = self.0.trim();
        text.parse().or_else(|_| Decimal::from_scientific(text)).ok()
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('"') {
            return serde_json::from_str(raw.get()).map(Self).map_err(serde::de::Error::custom);
        }
        Ok(Self(raw.get().to_owned()))
    }
}

/// One entry of a list that is read by itself, so that a broken one costs the others nothing.
#[derive(Debug)]
pub(crate) struct Read<T>(pub(crate) Result<T, serde_json::Error>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(raw.get())))
    }
}

/// A JSON number with exactly these digits.
pub(crate) fn number(value: impl Display) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).expect("digits with at most one point are JSON")
}

/// The day a text names that begins with one: `2026-11-24` or `2026-11-24T12:00:00Z`. The day is the carrier's own, so that no
/// time zone is applied to it.
pub(crate) fn date_of(text: &str) -> Option<Date> {
    let (day, rest) = text.split_at_checked("2026-11-24".len())?;
    let is_whole = rest.is_empty() || rest.starts_with(['T', ' ']);
    Date::strptime("%Y-%m-%d", day).ok().filter(|_| is_whole)
}

/// The day so many calendar days after `now` in UTC; None when the number is no number of days.
pub(crate) fn date_in(days: i64, now: Timestamp) -> Option<Date> {
    let today = TimeZone::UTC.to_datetime(now).date();
    let days = Some(days).filter(|days| (0..=DAYS_MAX).contains(days))?;
    today.checked_add(SignedDuration::from_hours(24 * days)).ok()
}

/// The day so many working days, Monday to Friday, after `now` in UTC: for vendors that do not say which days they count, since a
/// parcel that comes sooner breaks no promise. Begun on a weekend, Monday is the first.
pub(crate) fn working_date_in(days: i64, now: Timestamp) -> Option<Date> {
    let days = Some(days).filter(|days| (0..=WORKING_DAYS_MAX).contains(days))?;
    let is_working = |date: &Date| !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
    let mut date = TimeZone::UTC.to_datetime(now).date();
    for _ in 0..days {
        date = date.tomorrow().ok()?;
        // Two days at most.
        while !is_working(&date) {
            date = date.tomorrow().ok()?;
        }
    }
    Some(date)
}

/// An amount shared out over so many parcels: as decimal numbers whose sum is the amount.
pub(crate) fn shares(amount: Money, parcels: usize) -> Vec<Decimal> {
    let count = i64::try_from(parcels).unwrap_or(i64::MAX).max(1);
    let (each, rest) = (amount.minor() / count, amount.minor() % count);
    let minor = (0..count).map(|position| each + i64::from(position < rest));
    minor.map(|minor| Decimal::new(minor, amount.currency().minor_digits())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::carrier::Currency;

    #[test]
    fn numbers_and_strings_are_read_as_written() {
        let check = |json: &str, expected: &str, decimal: Option<&str>| {
            let written: Written = serde_json::from_str(json).expect("read");
            assert_eq!(written.as_str(), expected);
            assert_eq!(written.decimal(), decimal.map(|text| text.parse().expect("a decimal")), "{json}");
        };
        check("\"7.42\"", "7.42", Some("7.42"));
        check("7.42", "7.42", Some("7.42"));
        check("0.1000000000000000000001", "0.1000000000000000000001", Some("0.1000000000000000000001"));
        check("1.2e1", "1.2e1", Some("12"));
        check("-0.5", "-0.5", Some("-0.5"));
        check("\"dear\"", "dear", None);
        check("true", "true", None);
        check("[7]", "[7]", None);
    }

    #[test]
    fn a_broken_entry_costs_the_others_nothing() {
        let list: Vec<Read<u8>> = serde_json::from_str("[1, \"two\", 3]").expect("a list");
        let read: Vec<Option<u8>> = list.into_iter().map(|entry| entry.0.ok()).collect();
        assert_eq!(read, [Some(1), None, Some(3)]);
    }

    #[test]
    fn days_are_the_carriers_own() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(date_of(text).map(|date| date.to_string()).as_deref(), expected, "{text}");
        };
        check("2026-11-24", Some("2026-11-24"));
        check("2026-11-24T00:00:00Z", Some("2026-11-24"));
        check("2026-11-24T23:59:00-11:00", Some("2026-11-24"));
        check("2026-11-24 08:00", Some("2026-11-24"));
        for broken in ["", "2026-11-31", "2026-11-244", "24.11.2026", "tomorrow", "2026-11-2é"] {
            check(broken, None);
        }
    }

    #[test]
    fn days_from_now_are_calendar_days() {
        let now: Timestamp = "2026-12-31T23:59:59Z".parse().expect("a time");
        let check = |days, expected: Option<&str>| {
            assert_eq!(date_in(days, now).map(|date| date.to_string()).as_deref(), expected, "{days}");
        };
        check(0, Some("2026-12-31"));
        check(2, Some("2027-01-02"));
        for no_days in [-1, 3_651, i64::MAX, i64::MIN] {
            check(no_days, None);
        }
    }

    #[test]
    fn working_days_pass_over_weekends() {
        let check = |now: &str, days, expected: Option<&str>| {
            let date = working_date_in(days, now.parse().expect("a time"));
            assert_eq!(date.map(|date| date.to_string()).as_deref(), expected, "{now} {days}");
        };
        check("2026-11-20T20:00:00Z", 0, Some("2026-11-20"));
        check("2026-11-20T20:00:00Z", 1, Some("2026-11-23"));
        check("2026-11-20T20:00:00Z", 6, Some("2026-11-30"));
        check("2026-11-21T20:00:00Z", 1, Some("2026-11-23"));
        check("2026-11-18T20:00:00Z", 2, Some("2026-11-20"));
        for no_days in [-1, 366, i64::MAX, i64::MIN] {
            check("2026-11-20T20:00:00Z", no_days, None);
        }
    }

    #[test]
    fn shares_sum_up_to_the_amount() {
        let euros = |minor| Money::new(minor, Currency::parse("EUR").expect("known")).expect("in range");
        let shown = |minor, parcels| {
            shares(euros(minor), parcels).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(1_000, 1), "10.00");
        assert_eq!(shown(1_000, 3), "3.34 3.33 3.33");
        assert_eq!(shown(1, 2), "0.01 0.00");
    }
}
