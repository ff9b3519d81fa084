//! What ShipEngine answers.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::{
    super::http_source::{Endpoint, Gathered, Offer, Read, Written, date_in, date_of},
    request::OWN_PACKAGE,
};
use crate::domain::carrier::{Currency, Money};

#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) rate_response: RateResponse,
}

#[derive(Deserialize)]
pub(super) struct RateResponse {
    #[serde(default)]
    status: Option<String>,
    rates: Vec<Read<Rate>>,
    #[serde(default)]
    invalid_rates: Option<Vec<Read<InvalidRate>>>,
    #[serde(default)]
    errors: Option<Vec<Read<Fault>>>,
}

#[derive(Deserialize)]
struct Rate {
    #[serde(default)]
    rate_id: Option<String>,
    carrier_code: String,
    service_code: String,
    #[serde(default)]
    package_type: Option<String>,
    shipping_amount: Amount,
    #[serde(default)]
    insurance_amount: Option<Amount>,
    #[serde(default)]
    confirmation_amount: Option<Amount>,
    #[serde(default)]
    other_amount: Option<Amount>,
    #[serde(default)]
    tax_amount: Option<Amount>,
    #[serde(default)]
    delivery_days: Option<i64>,
    #[serde(default)]
    estimated_delivery_date: Option<String>,
    #[serde(default)]
    guaranteed_service: Option<bool>,
    #[serde(default)]
    validation_status: Option<String>,
    #[serde(default)]
    error_messages: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Amount {
    currency: String,
    amount: Written,
}

#[derive(Deserialize)]
struct InvalidRate {
    #[serde(default)]
    carrier_code: Option<String>,
    #[serde(default)]
    service_code: Option<String>,
    #[serde(default)]
    error_messages: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    carrier_code: Option<String>,
    #[serde(default)]
    carrier_id: Option<String>,
    #[serde(default)]
    error_type: Option<String>,
    #[serde(default)]
    error_code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl RateResponse {
    pub(super) fn gather(self, now: Timestamp, endpoint: &Endpoint, gathered: &mut Gathered) {
        for rate in self.rates {
            match rate.0 {
                Ok(rate) => rate.gather(now, endpoint, gathered),
                Err(error) => gathered.unreadable(&error),
            }
        }
        for rate in self.invalid_rates.into_iter().flatten().filter_map(|rate| rate.0.ok()) {
            let said = rate.error_messages.unwrap_or_default().join("; ");
            let text = endpoint.said(&format!("{}: {said}", rate.service_code.unwrap_or_default()));
            gathered.silent_unless_quoted(&rate.carrier_code.unwrap_or_default(), false, text);
        }
        for fault in self.errors.into_iter().flatten().filter_map(|fault| fault.0.ok()) {
            let is_transient = fault.is_transient();
            let carrier = fault.carrier_code.or(fault.carrier_id).unwrap_or_default();
            let text = endpoint.said(&fault.message.unwrap_or_default());
            gathered.silent_unless_quoted(&carrier, is_transient, text);
        }
        // "partial" and "error" have said which carriers, above.
        if self.status.as_deref() == Some("working") {
            gathered.silent(
                "shipengine",
                true,
                endpoint.said("not all carriers had answered: status working"),
            );
        }
    }
}

impl Fault {
    fn is_transient(&self) -> bool {
        matches!(self.error_type.as_deref(), Some("system" | "integrations"))
            || self.error_code.as_deref() == Some("rate_limit_exceeded")
    }
}

impl Rate {
    fn gather(self, now: Timestamp, endpoint: &Endpoint, gathered: &mut Gathered) {
        if self.package_type.as_deref().is_some_and(|package| package != OWN_PACKAGE) {
            return;
        }
        let (carrier, service) = (&self.carrier_code, &self.service_code);
        if self.validation_status.as_deref() == Some("invalid") {
            let said = self.error_messages.unwrap_or_default().join("; ");
            return gathered.silent(carrier, false, endpoint.said(&format!("{service}: invalid: {said}")));
        }
        match self.price() {
            Ok(price) => {
                let date = self.estimated_delivery_date.as_deref().and_then(date_of);
                gathered.offer(Offer {
                    carrier,
                    service,
                    price,
                    delivers: date.or_else(|| self.delivery_days.and_then(|days| date_in(days, now))),
                    is_guaranteed: self.guaranteed_service == Some(true),
                    reference: self.rate_id.as_deref().unwrap_or_default(),
                });
            }
            Err(problem) => gathered.dropped(carrier, &format!("{service}: {problem}")),
        }
    }

    /// With everything, in the one currency it is in. Added up before it is rounded, since a part may be a rebate.
    fn price(&self) -> Result<Money, String> {
        let currency = Currency::parse(&self.shipping_amount.currency);
        let currency = currency.map_err(|problem| format!("currency {problem}"))?;
        let extras =
            [&self.insurance_amount, &self.confirmation_amount, &self.other_amount, &self.tax_amount];
        let mut sum = Decimal::ZERO;
        for part in [Some(&self.shipping_amount)].into_iter().chain(extras.map(Option::as_ref)).flatten() {
            let no_number = || format!("an amount that is no number: {:.32}", part.amount.as_str());
            let amount = part.amount.decimal().ok_or_else(no_number)?;
            // Nothing is nothing in any currency, and it is sent in any.
            if !amount.is_zero() && !part.currency.eq_ignore_ascii_case(currency.code()) {
                return Err(format!("amounts in {currency} and {:.8}", part.currency));
            }
            sum = sum.checked_add(amount).ok_or("amounts beyond all bounds")?;
        }
        Money::from_decimal(&sum.to_string(), currency).map_err(|problem| format!("amount {problem}"))
    }
}
