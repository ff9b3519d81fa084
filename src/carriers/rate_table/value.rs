//! Reads single values of the TOML file; what is wrong is said in words that follow the field's name.

use std::ops::RangeInclusive;

use jiff::civil::{Date, Time, Weekday};
use toml::de::DeValue;

use super::{exact, mistakes::instead};

/// The days of the week as the file names them.
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// A text in quotes.
pub(super) fn text<'a>(value: &'a DeValue<'a>) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("must be a text in quotes, is of type {}", value.type_str()))
}

/// `true` or `false`.
pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be true or false, is of type {}", value.type_str()))
}

/// A whole number within a range.
pub(super) fn whole(value: &DeValue<'_>, range: RangeInclusive<i64>) -> Result<u32, String> {
    let (min, max) = (*range.start(), *range.end());
    let DeValue::Integer(given) = value else {
        return Err(format!("must be a whole number of {min} to {max}, is of type {}", value.type_str()));
    };
    let number =
        i64::from_str_radix(given.as_str(), given.radix()).ok().filter(|number| range.contains(number));
    number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| format!("must be {min} to {max}, is {}", given.as_str()))
}

/// A decimal number in steps of 10^-`digits`, with or without quotes: TOML keeps its digits either way.
pub(super) fn decimal(value: &DeValue<'_>, digits: u32) -> Result<i64, String> {
    let text = match value {
        DeValue::String(text) => text.as_ref(),
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        other => {
            return Err(format!(
                "must be a decimal number such as \"7.42\", is of type {}",
                other.type_str()
            ));
        }
    };
    exact::steps(text, digits).map_err(|problem| problem.to_string())
}

/// A day such as `2026-12-25`, with or without quotes.
pub(super) fn date(value: &DeValue<'_>) -> Result<Date, String> {
    let text = written(value)?;
    let is_date = text.len() == "2026-12-25".len();
    let parsed = Date::strptime("%Y-%m-%d", &text).ok().filter(|_| is_date);
    parsed.ok_or_else(|| format!("must be a day such as \"2026-12-25\", is {text:?}"))
}

/// An hour such as `15:00`, with or without quotes.
pub(super) fn hour(value: &DeValue<'_>) -> Result<Time, String> {
    let text = written(value)?;
    let parsed = Time::strptime("%H:%M", &text).or_else(|_| Time::strptime("%H:%M:%S", &text));
    parsed.map_err(|_| format!("must be an hour such as \"15:00\", is {text:?}"))
}

/// A day of the week such as `mon`.
pub(super) fn weekday(value: &DeValue<'_>) -> Result<Weekday, String> {
    let name = text(value)?;
    let found = WEEKDAYS.into_iter().find(|(known, _)| *known == name);
    let unknown = || {
        let hint = instead(name, WEEKDAYS.map(|(known, _)| known));
        format!("must be days such as \"mon\", has {name:?}: {hint}")
    };
    found.map(|(_, day)| day).ok_or_else(unknown)
}

fn written(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Datetime(moment) => Ok(moment.to_string()),
        other => Err(format!("must be a text in quotes, is of type {}", other.type_str())),
    }
}
