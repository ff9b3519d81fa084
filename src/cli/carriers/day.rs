//! Days as people write them and the contract carries them: `2026-11-24`.

use jiff::civil::Date;

/// Reads a day.
pub(super) fn parse(text: &str) -> Result<Date, String> {
    let unclear = || format!("{text:?} is not a day: write it like 2026-11-24");
    let day: Date = text.parse().map_err(|_| unclear())?;
    // Other forms of ISO 8601 would be read too, a moment of the day among them.
    if day.to_string() == text { Ok(day) } else { Err(unclear()) }
}

/// The day as the contract carries it; empty without one.
pub(super) fn to_proto(day: Option<Date>) -> String {
    day.map(|day| day.to_string()).unwrap_or_default()
}

/// Days from one day to a later one; None when one of them is no day.
pub(super) fn between(earlier: &str, later: &str) -> Option<i64> {
    let [earlier, later] = [earlier, later].map(|text| parse(text).ok());
    Some(later?.duration_since(earlier?).as_hours() / 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_one_form() {
        assert_eq!(parse("2028-02-29").map(|day| to_proto(Some(day))), Ok("2028-02-29".to_owned()));
        for bad in ["", "tomorrow", "20261124", "2026-11-31", "24.11.2026", "2026-11-24T10:00"] {
            assert!(parse(bad).is_err_and(|error| error.contains("write it like")), "{bad:?}");
        }
        assert_eq!(between("2026-02-27", "2026-03-01"), Some(2));
        assert_eq!(between("", "2026-03-01"), None);
    }
}
