//! A dead letter as it is shown.

use serde::Serialize;

use super::super::{moment, output::Row};
use crate::proto::DeadLetter;

/// One dead letter.
#[derive(Debug, Serialize)]
pub(super) struct LetterRow {
    channel: String,
    sku: String,
    dead_time: Option<String>,
    oldest_unconfirmed_time: Option<String>,
    attempts: i64,
    last_error: String,
    confirmed_version: i64,
    confirmed_quantity: i64,
    wanted_quantity: i64,
    version: i64,
}

impl From<DeadLetter> for LetterRow {
    fn from(letter: DeadLetter) -> Self {
        Self {
            channel: letter.channel,
            sku: letter.sku,
            dead_time: moment::show(letter.dead_time),
            oldest_unconfirmed_time: moment::show(letter.oldest_unconfirmed_time),
            attempts: letter.attempts,
            last_error: letter.last_error,
            confirmed_version: letter.confirmed_version,
            confirmed_quantity: letter.confirmed_quantity,
            wanted_quantity: letter.wanted_quantity,
            version: letter.version,
        }
    }
}

impl Row for LetterRow {
    const HEAD: &'static [&'static str] =
        &["channel", "sku", "dead since", "stale since", "attempts", "should show", "shows", "last error"];

    fn cells(&self) -> Vec<String> {
        let shows =
            if self.confirmed_version > 0 { self.confirmed_quantity.to_string() } else { String::new() };
        vec![
            self.channel.clone(),
            self.sku.clone(),
            self.dead_time.clone().unwrap_or_default(),
            self.oldest_unconfirmed_time.clone().unwrap_or_default(),
            self.attempts.to_string(),
            self.wanted_quantity.to_string(),
            shows,
            self.last_error.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::output::table, *};

    #[test]
    fn letter_shows_both_numbers_and_the_error() {
        let letter = DeadLetter {
            channel: "web".to_owned(),
            sku: "A".to_owned(),
            dead_time: Some(prost_types::Timestamp { seconds: 60, nanos: 0 }),
            attempts: 20,
            last_error: "503 busy".to_owned(),
            confirmed_version: 3,
            confirmed_quantity: 7,
            wanted_quantity: 2,
            ..DeadLetter::default()
        };
        let never_told = DeadLetter { confirmed_version: 0, ..letter.clone() };
        assert_eq!(
            table(&[LetterRow::from(letter), LetterRow::from(never_told)]),
            "CHANNEL  SKU  DEAD SINCE            STALE SINCE  ATTEMPTS  SHOULD SHOW  SHOWS  LAST ERROR\n\
             web      A    1970-01-01T00:01:00Z  -                  20            2      7  503 busy\n\
             web      A    1970-01-01T00:01:00Z  -                  20            2  -      503 busy"
        );
    }
}
