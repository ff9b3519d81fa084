//! What ShipEngine is asked.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::http_source::{number, shares};
use crate::domain::carrier::{Money, Place, Shipment};

/// The API refuses an address without; carriers' prices do not depend on it.
const PHONE: &str = "0000000000";

/// The shipper's own packaging: a carrier's flat-rate envelopes fit no parcel of given sides.
pub(super) const OWN_PACKAGE: &str = "package";

#[derive(Serialize)]
pub(super) struct Question<'a> {
    shipment: Asked<'a>,
    rate_options: RateOptions<'a>,
}

#[derive(Serialize)]
struct Asked<'a> {
    ship_from: Address<'a>,
    ship_to: Address<'a>,
    packages: Vec<Package>,
    #[serde(skip_serializing_if = "Option::is_none")]
    insurance_provider: Option<&'static str>,
}

#[derive(Serialize)]
struct Address<'a> {
    name: &'static str,
    phone: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    address_line1: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    city_locality: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    state_province: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    postal_code: &'a str,
    country_code: &'static str,
    address_residential_indicator: &'static str,
}

#[derive(Serialize)]
struct Package {
    package_code: &'static str,
    weight: Weight,
    dimensions: Dimensions,
    #[serde(skip_serializing_if = "Option::is_none")]
    insured_value: Option<Amount>,
}

#[derive(Serialize)]
struct Weight {
    value: u32,
    unit: &'static str,
}

#[derive(Serialize)]
struct Dimensions {
    unit: &'static str,
    length: Box<RawValue>,
    width: Box<RawValue>,
    height: Box<RawValue>,
}

#[derive(Serialize)]
struct Amount {
    /// In small letters, as the older schema has it and the newer one accepts it.
    currency: String,
    amount: Box<RawValue>,
}

#[derive(Serialize)]
struct RateOptions<'a> {
    carrier_ids: &'a [String],
}

impl<'a> Question<'a> {
    pub(super) fn new(shipment: &'a Shipment, accounts: &'a [String]) -> Self {
        let parcels = shipment.parcels.as_slice();
        let mut insured = insured(shipment.value, parcels.len()).into_iter();
        let packages = parcels.iter().map(|parcel| {
            let [length, width, height] =
                parcel.sides_mm().map(|side_mm| number(Decimal::new(i64::from(side_mm), 1)));
            Package {
                package_code: OWN_PACKAGE,
                weight: Weight { value: parcel.weight_g(), unit: "gram" },
                dimensions: Dimensions { unit: "centimeter", length, width, height },
                insured_value: insured.next(),
            }
        });
        let asked = Asked {
            ship_from: address("Sender", &shipment.origin),
            ship_to: address("Recipient", &shipment.destination),
            packages: packages.collect(),
            insurance_provider: shipment.value.map(|_| "carrier"),
        };
        Self { shipment: asked, rate_options: RateOptions { carrier_ids: accounts } }
    }
}

/// One for each parcel; none when nothing is said of the value.
fn insured(value: Option<Money>, parcels: usize) -> Vec<Amount> {
    let Some(value) = value else { return Vec::new() };
    let amount =
        |share| Amount { currency: value.currency().code().to_ascii_lowercase(), amount: number(share) };
    shares(value, parcels).into_iter().map(amount).collect()
}

fn address<'a>(name: &'static str, place: &'a Place) -> Address<'a> {
    Address {
        name,
        phone: PHONE,
        address_line1: place.street.as_str(),
        city_locality: place.city.as_str(),
        state_province: place.state.as_str(),
        postal_code: place.postal_code.as_str(),
        country_code: place.country.code(),
        address_residential_indicator: match place.is_residential {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        },
    }
}
