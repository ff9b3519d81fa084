//! What EasyPost is asked for one parcel.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::http_source::number;
use crate::domain::carrier::{Parcel, Place, Shipment};

#[derive(Serialize)]
pub(super) struct Question<'a> {
    shipment: Asked<'a>,
}

#[derive(Serialize)]
struct Asked<'a> {
    from_address: Address<'a>,
    to_address: Address<'a>,
    parcel: Sizes,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    carrier_accounts: &'a [String],
}

/// Name and phone are wanted only when a label is bought.
#[derive(Serialize)]
struct Address<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    street1: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    city: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    state: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    zip: &'a str,
    country: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    residential: Option<bool>,
}

/// Inches and ounces.
#[derive(Serialize)]
struct Sizes {
    length: Box<RawValue>,
    width: Box<RawValue>,
    height: Box<RawValue>,
    weight: Box<RawValue>,
}

impl<'a> Question<'a> {
    pub(super) fn new(shipment: &'a Shipment, parcel: &Parcel, accounts: &'a [String]) -> Self {
        let [length, width, height] = parcel.sides_mm().map(|side_mm| number(inches(side_mm)));
        let sizes = Sizes { length, width, height, weight: number(ounces(parcel.weight_g())) };
        let (from_address, to_address) = (address(&shipment.origin), address(&shipment.destination));
        Self { shipment: Asked { from_address, to_address, parcel: sizes, carrier_accounts: accounts } }
    }
}

fn address(place: &Place) -> Address<'_> {
    Address {
        street1: place.street.as_str(),
        city: place.city.as_str(),
        state: place.state.as_str(),
        zip: place.postal_code.as_str(),
        country: place.country.code(),
        residential: place.is_residential,
    }
}

/// One decimal, rounded up: an inch is 25.4 mm.
fn inches(side_mm: u32) -> Decimal {
    Decimal::new((i64::from(side_mm) * 100 + 253) / 254, 1)
}

/// One decimal, rounded up: an ounce is 28.349523125 g.
fn ounces(weight_g: u32) -> Decimal {
    const OUNCE_NG: u64 = 28_349_523_125;
    let tenths = (u64::from(weight_g) * 10_000_000_000).div_ceil(OUNCE_NG);
    Decimal::new(i64::try_from(tenths).unwrap_or(i64::MAX), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::carrier::{SIDE_MM_MAX, WEIGHT_G_MAX};

    #[test]
    fn inches_and_ounces_are_rounded_up_to_one_decimal() {
        let check = |decimal: Decimal, expected: &str| assert_eq!(decimal.to_string(), expected);
        check(inches(1), "0.1");
        check(inches(254), "10.0");
        check(inches(255), "10.1");
        check(inches(SIDE_MM_MAX as u32), "393.8");
        check(ounces(1), "0.1");
        check(ounces(28), "1.0");
        check(ounces(29), "1.1");
        check(ounces(500), "17.7");
        check(ounces(WEIGHT_G_MAX as u32), "35274.0");
    }
}
