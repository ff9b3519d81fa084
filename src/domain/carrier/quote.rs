//! What a carrier wants for a shipment, and how well it has kept its promises so far.

use std::{fmt, sync::Arc};

use jiff::civil::Date;

use super::{
    super::{
        ids::id,
        text::{Text, TextProblem, check},
    },
    Money, Reliability,
};

/// Bytes in the longest name of a carrier or service.
const NAME_BYTES_MAX: usize = 64;
/// Sources are metric labels, so their names are short.
const SOURCE_BYTES_MAX: usize = 32;

fn is_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

id! {
    /// A carrier: 1-64 small letters, digits, `-`, `_` or `.`, so that all sources name it alike; see [`CarrierName::squeezed`].
    CarrierName, NAME_BYTES_MAX, "small letters, digits, '-', '_' or '.'", is_name
}
id! {
    /// A service of a carrier: 1-64 small letters, digits, `-`, `_` or `.`.
    ServiceName, NAME_BYTES_MAX, "small letters, digits, '-', '_' or '.'", is_name
}
id! {
    /// A place where prices come from: 1-32 letters, digits, `-` or `_`.
    SourceId, SOURCE_BYTES_MAX, "letters, digits, '-' or '_'", is_label
}

/// Turns what a carrier calls itself into a name: small letters, and `_` for each run of anything else.
fn squeeze(text: &str) -> String {
    let small = text.to_ascii_lowercase();
    let parts = small.split(|c: char| !c.is_ascii() || !is_name(c as u8)).filter(|part| !part.is_empty());
    let mut squeezed = parts.collect::<Vec<_>>().join("_");
    squeezed.truncate(NAME_BYTES_MAX);
    squeezed
}

impl CarrierName {
    /// The name for what a carrier or aggregator writes: `DHL Express` is `dhl_express`.
    pub fn squeezed(text: &str) -> Result<Self, TextProblem> {
        Self::parse(&squeeze(text))
    }
}

impl ServiceName {
    /// The name for what a carrier or aggregator writes: `Priority Mail` is `priority_mail`.
    pub fn squeezed(text: &str) -> Result<Self, TextProblem> {
        Self::parse(&squeeze(text))
    }
}

/// A price and a date for a shipment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Who asked the carrier.
    pub source: SourceId,
    /// The carrier.
    pub carrier: CarrierName,
    /// Its service.
    pub service: ServiceName,
    /// For all parcels, with everything: fuel, insurance, taxes.
    pub price: Money,
    /// When it arrives, as the carrier says; None: it does not say.
    pub delivers: Option<Date>,
    /// Whether the carrier vouches for the date.
    pub is_guaranteed: bool,
    /// Whether it collects money at the door.
    pub collects: bool,
    /// What the source calls this quote, to buy it with; may be empty.
    pub reference: Text<128>,
}

/// What is known of a carrier's service on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// How often it arrives in time.
    pub reliability: Reliability,
    /// Days from dispatch within which the usual share of parcels arrived; None: too few did.
    pub usual_days: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_sources_are_alike() {
        let check = |text: &str, expected: &str| {
            assert_eq!(CarrierName::squeezed(text).expect("a name").as_str(), expected, "{text}");
        };
        check("DHL Express", "dhl_express");
        check("UPS®", "ups");
        check("fedex_2_day", "fedex_2_day");
        check("  Priority / Mail ", "priority_mail");
        assert_eq!(ServiceName::squeezed("®"), Err(TextProblem::Empty));
        assert_eq!(ServiceName::squeezed(&"x".repeat(99)).expect("cut").as_str().len(), 64);
        assert!(CarrierName::parse("DHL").is_err());
    }
}
