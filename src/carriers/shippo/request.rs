//! What Shippo is asked.

use rust_decimal::Decimal;
use serde::Serialize;

use super::super::http_source::shares;
use crate::domain::carrier::{Money, Place, Shipment};

/// What is insured, for people: nobody told us more.
const CONTENT: &str = "goods";

#[derive(Serialize)]
pub(super) struct Question<'a> {
    address_from: Address<'a>,
    address_to: Address<'a>,
    parcels: Vec<Sizes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Extra>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    carrier_accounts: &'a [String],
    /// False: the rates are in the answer.
    r#async: bool,
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
    is_residential: Option<bool>,
}

#[derive(Serialize)]
struct Sizes {
    length: String,
    width: String,
    height: String,
    distance_unit: &'static str,
    weight: String,
    mass_unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Extra>,
}

#[derive(Serialize)]
struct Extra {
    insurance: Insurance,
}

#[derive(Serialize)]
struct Insurance {
    amount: String,
    currency: &'static str,
    content: &'static str,
}

impl<'a> Question<'a> {
    pub(super) fn new(shipment: &'a Shipment, accounts: &'a [String]) -> Self {
        let parcels = shipment.parcels.as_slice();
        let mut insured = insured(shipment.value, parcels.len());
        let extra = if parcels.len() == 1 { insured.pop() } else { None };
        let mut insured = insured.into_iter();
        let sizes = parcels.iter().map(|parcel| {
            let [length, width, height] =
                parcel.sides_mm().map(|side_mm| Decimal::new(i64::from(side_mm), 1).to_string());
            let weight = parcel.weight_g().to_string();
            let (distance_unit, mass_unit) = ("cm", "g");
            Sizes { length, width, height, distance_unit, weight, mass_unit, extra: insured.next() }
        });
        Self {
            address_from: address(&shipment.origin),
            address_to: address(&shipment.destination),
            parcels: sizes.collect(),
            extra,
            carrier_accounts: accounts,
            r#async: false,
        }
    }
}

/// One for each parcel; none when nothing is said of the value.
fn insured(value: Option<Money>, parcels: usize) -> Vec<Extra> {
    let Some(value) = value else { return Vec::new() };
    let currency = value.currency().code();
    let each = shares(value, parcels).into_iter().map(|share| share.to_string());
    each.map(|amount| Extra { insurance: Insurance { amount, currency, content: CONTENT } }).collect()
}

fn address(place: &Place) -> Address<'_> {
    Address {
        street1: place.street.as_str(),
        city: place.city.as_str(),
        state: place.state.as_str(),
        zip: place.postal_code.as_str(),
        country: place.country.code(),
        is_residential: place.is_residential,
    }
}
