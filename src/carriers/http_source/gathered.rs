//! What an answer says, kept within bounds: quotes, and carriers that have none.

use std::fmt;

use jiff::civil::Date;

use super::super::{QUOTES_MAX, QuoteFault, Quoted, SilentCarrier};
use crate::{
    domain::{
        Text,
        carrier::{CarrierName, Currency, Money, Quote, ServiceName, SourceId},
    },
    outbound::ErrorText,
};

/// The most carriers without a quote that one answer may name.
const SILENT_MAX: usize = 100;

/// One offer as a vendor writes it.
pub(crate) struct Offer<'a> {
    pub(crate) carrier: &'a str,
    pub(crate) service: &'a str,
    pub(crate) price: Money,
    pub(crate) delivers: Option<Date>,
    pub(crate) is_guaranteed: bool,
    pub(crate) reference: &'a str,
}

/// Quotes and silent carriers of one answer.
pub(crate) struct Gathered {
    source: SourceId,
    quotes: Vec<Quote>,
    silent: Vec<SilentCarrier>,
    /// Why a rate could not be read, when any was.
    unreadable: Option<ErrorText>,
}

impl Gathered {
    pub(crate) fn new(source: &SourceId) -> Self {
        Self { source: source.clone(), quotes: Vec::new(), silent: Vec::new(), unreadable: None }
    }

    /// Takes an offer as a quote, unless carrier or service have no name.
    pub(crate) fn offer(&mut self, offer: Offer<'_>) {
        let names = (CarrierName::squeezed(offer.carrier), ServiceName::squeezed(offer.service));
        let (Ok(carrier), Ok(service)) = names else {
            return self.dropped(offer.carrier, "a quote without the name of a carrier and a service");
        };
        self.quotes.push(Quote {
            source: self.source.clone(),
            carrier,
            service,
            price: offer.price,
            delivers: offer.delivers,
            // Without a date there is nothing to vouch for.
            is_guaranteed: offer.is_guaranteed && offer.delivers.is_some(),
            // None of the vendors says in a quote whether its carrier collects, and money not collected is lost.
            collects: false,
            reference: Text::parse(offer.reference.to_owned()).unwrap_or_default(),
        });
    }

    /// Names a quote that cannot be used.
    pub(crate) fn dropped(&mut self, carrier: &str, reason: &str) {
        self.silent(carrier, false, ErrorText::new(reason));
    }

    /// Takes note of a rate that is not of the shape it should have: there was a price, and nobody knows which.
    pub(crate) fn unreadable(&mut self, error: &dyn fmt::Display) {
        let error = ErrorText::new(&format!("a rate that cannot be read: {error}"));
        self.silent("", true, error.clone());
        self.unreadable.get_or_insert(error);
    }

    /// Names a carrier that has no quote, or whose quotes may be incomplete.
    pub(crate) fn silent(&mut self, carrier: &str, is_transient: bool, message: ErrorText) {
        // One name for many services says it once.
        let silent = SilentCarrier { carrier: ErrorText::new(carrier), is_transient, message };
        if self.silent.len() < SILENT_MAX && !self.silent.contains(&silent) {
            self.silent.push(silent);
        }
    }

    /// As [`Gathered::silent`], when all quotes are in: a carrier that has one is not silent, unless more may come.
    pub(crate) fn silent_unless_quoted(&mut self, carrier: &str, is_transient: bool, message: ErrorText) {
        let name = CarrierName::squeezed(carrier).ok();
        let has_quote = name.is_some_and(|name| self.quotes.iter().any(|quote| quote.carrier == name));
        if is_transient || !has_quote {
            self.silent(carrier, is_transient, message);
        }
    }

    /// The answer, or that none of its rates can be read. Beyond [`QUOTES_MAX`] the dearest go, those in other currencies than the
    /// wanted one first.
    pub(crate) fn finish(mut self, wanted: Currency) -> Result<Quoted, QuoteFault> {
        if let Some(error) = self.unreadable.filter(|_| self.quotes.is_empty()) {
            return Err(QuoteFault::Failed { error });
        }
        if self.quotes.len() > QUOTES_MAX {
            self.quotes.sort_by_key(|quote| (quote.price.currency() != wanted, quote.price.minor()));
            self.quotes.truncate(QUOTES_MAX);
        }
        Ok(Quoted { quotes: self.quotes, silent: self.silent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_the_dearest_go() {
        let [euro, dollar] = ["EUR", "USD"].map(|code| Currency::parse(code).expect("known"));
        let mut gathered = Gathered::new(&SourceId::parse("live").expect("an id"));
        for (minor, currency) in
            (0..150).map(|minor| (minor, dollar)).chain((0..150).rev().map(|minor| (minor, euro)))
        {
            let price = Money::new(minor, currency).expect("in range");
            gathered.offer(Offer {
                carrier: "DHL",
                service: "Parcel",
                price,
                delivers: None,
                is_guaranteed: true,
                reference: &"x".repeat(129),
            });
            gathered.dropped("DHL", &format!("no {minor}"));
        }
        let quoted = gathered.finish(euro).expect("all can be read");
        assert_eq!((quoted.quotes.len(), quoted.silent.len()), (QUOTES_MAX, SILENT_MAX));
        let dearest = |currency| {
            quoted.quotes.iter().map(|quote| quote.price).filter(move |p| p.currency() == currency)
        };
        assert_eq!(dearest(euro).map(Money::minor).max(), Some(149));
        assert_eq!(dearest(dollar).map(Money::minor).max(), Some(49));
        let first = &quoted.quotes[0];
        assert!(!first.is_guaranteed && !first.collects && first.reference.as_str().is_empty());
    }

    #[test]
    fn a_carrier_with_a_quote_is_not_silent() {
        let mut gathered = Gathered::new(&SourceId::parse("live").expect("an id"));
        let price = Money::new(1, Currency::parse("EUR").expect("known")).expect("in range");
        let offer = |service| Offer {
            carrier: "DHL Express",
            service,
            price,
            delivers: None,
            is_guaranteed: false,
            reference: "",
        };
        gathered.offer(offer("Parcel"));
        gathered.offer(offer("®"));
        gathered.silent_unless_quoted("DHL_Express", false, ErrorText::new("one service does not go there"));
        gathered.silent_unless_quoted("DHL_Express", true, ErrorText::new("slow"));
        gathered.silent_unless_quoted("UPS", false, ErrorText::new("no"));
        gathered.silent_unless_quoted("UPS", false, ErrorText::new("no"));
        let quoted = gathered.finish(price.currency()).expect("all can be read");
        let said: Vec<(&str, bool, &str)> = quoted
            .silent
            .iter()
            .map(|silent| (silent.carrier.as_str(), silent.is_transient, silent.message.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                ("DHL Express", false, "a quote without the name of a carrier and a service"),
                ("DHL_Express", true, "slow"),
                ("UPS", false, "no"),
            ]
        );
        assert_eq!(quoted.quotes.len(), 1);
    }
}
