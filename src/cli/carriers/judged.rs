//! A quote and what became of it, as it is shown.

use serde::Serialize;

use super::{super::output::Row, amount::Amount, words};
use crate::proto::{JudgedQuote, QuoteVerdict};

/// One quote.
#[derive(Debug, Serialize)]
pub(super) struct JudgedRow {
    verdict: &'static str,
    source: String,
    carrier: String,
    service: String,
    price: Amount,
    arrival_date: String,
    guaranteed: bool,
    reference: String,
    reliability_ppm: i64,
    score_minor: i64,
    reason: String,
}

impl From<JudgedQuote> for JudgedRow {
    fn from(judged: JudgedQuote) -> Self {
        let verdict = words::verdict(judged.verdict());
        let quote = judged.quote.unwrap_or_default();
        Self {
            verdict,
            source: quote.source,
            carrier: quote.carrier,
            service: quote.service,
            price: quote.price.map(Amount::from).unwrap_or_default(),
            arrival_date: quote.arrival_date,
            guaranteed: quote.guaranteed,
            reference: quote.reference,
            reliability_ppm: quote.reliability_ppm,
            score_minor: quote.score_minor,
            reason: judged.reason,
        }
    }
}

impl JudgedRow {
    /// Whether it is the one.
    pub(super) fn is_chosen(&self) -> bool {
        self.verdict == words::verdict(QuoteVerdict::Chosen)
    }

    /// "dhl/parcel for 7.42 EUR".
    pub(super) fn headline(&self) -> String {
        format!("{}/{} for {}", self.carrier, self.service, self.price.text())
    }
}

impl Row for JudgedRow {
    const HEAD: &'static [&'static str] =
        &["verdict", "carrier", "service", "price", "arrives", "in time", "score", "source", "reason"];

    fn cells(&self) -> Vec<String> {
        let vouched = if self.guaranteed { " guaranteed" } else { "" };
        vec![
            self.verdict.to_owned(),
            self.carrier.clone(),
            self.service.clone(),
            self.price.text(),
            format!("{}{vouched}", self.arrival_date),
            words::share(self.reliability_ppm),
            self.price.with_minor(self.score_minor).text(),
            self.source.clone(),
            self.reason.clone(),
        ]
    }
}
