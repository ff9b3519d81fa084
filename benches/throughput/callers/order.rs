//! The order a carrier is chosen for, and whether what was answered is a choice.

use anyhow::{Context as _, Result, ensure};
use jiff::{ToSpan as _, Zoned};
use stockgate::proto::{Address, Money, Parcel, SelectCarrierRequest, SelectCarrierResponse};

use crate::plan::QUOTES;

/// Late enough for every service of the table, holidays included.
const PROMISED_DAYS: i64 = 21;

/// One parcel across the country, promised; of no order yet.
pub(super) fn order() -> Result<SelectCarrierRequest> {
    let end = |postal_code: &str| {
        Some(Address { country: "DE".to_owned(), postal_code: postal_code.to_owned(), ..Address::default() })
    };
    let promised = Zoned::now().date().checked_add(PROMISED_DAYS.days())?;
    Ok(SelectCarrierRequest {
        origin: end("10115"),
        destination: end("80331"),
        parcels: vec![Parcel { weight_g: 1_200, length_mm: 300, width_mm: 200, height_mm: 100 }],
        currency: "EUR".to_owned(),
        value: Some(Money { amount_minor: 4_990, currency: "EUR".to_owned() }),
        promised_date: promised.to_string(),
        ..SelectCarrierRequest::default()
    })
}

/// Fails unless it was chosen among all, in time, and written down: fewer quotes would be an easier choice.
pub(super) fn check(answer: &SelectCarrierResponse) -> Result<()> {
    answer.chosen.as_ref().context("nothing is chosen")?;
    let quotes = answer.others.len() + 1;
    ensure!(quotes == QUOTES, "{quotes} quotes were answered, {QUOTES} are in the table");
    ensure!(!answer.misses_promise && !answer.partial, "the choice rests on less than there is: {answer:?}");
    ensure!(!answer.event_id.is_empty(), "the choice is not in the audit trail");
    Ok(())
}
