//! Enough of a RecordDelivery to know it again, and to name the field in which another with its key differs.

use super::super::fingerprint::{differing_field, push_print};

/// What such a request is made of, besides client and key. The order is part of the stored form.
const FIELDS: [&str; 9] = [
    "carrier",
    "service",
    "lane",
    "shipped_date",
    "promised_date",
    "delivered_date",
    "failure",
    "order_ref",
    "actor",
];

/// The fields of a RecordDelivery, each as one text that differs when the field does; empty where nothing was given.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryFields<'a> {
    /// The carrier.
    pub carrier: &'a str,
    /// Its service.
    pub service: &'a str,
    /// The lane.
    pub lane: &'a str,
    /// When it was handed over.
    pub shipped_date: &'a str,
    /// When it was promised.
    pub promised_date: &'a str,
    /// When it arrived.
    pub delivered_date: &'a str,
    /// Why it never did.
    pub failure: &'a str,
    /// The order.
    pub order_ref: &'a str,
    /// Who says so.
    pub actor: &'a str,
}

/// 64 bits of the whole request, 12 bits of each field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFingerprint(String);

impl DeliveryFingerprint {
    /// The fingerprint of these fields.
    pub fn of(fields: &DeliveryFields<'_>) -> Self {
        let DeliveryFields {
            carrier,
            service,
            lane,
            shipped_date,
            promised_date,
            delivered_date,
            failure,
            order_ref,
            actor,
        } = *fields;
        let texts =
            [carrier, service, lane, shipped_date, promised_date, delivered_date, failure, order_ref, actor];
        let mut text = String::new();
        push_print(&mut text, texts.map(str::as_bytes));
        Self(text)
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names the first field in which a stored fingerprint differs from this one.
    pub fn differing_field(&self, stored: &str) -> &'static str {
        differing_field(&FIELDS, &self.0, stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_field_that_differs() {
        let base = DeliveryFields { carrier: "dhl", service: "parcel", lane: "DE:US", ..Default::default() };
        let first = DeliveryFingerprint::of(&base);
        assert_eq!(first, DeliveryFingerprint::of(&base));
        let check = |other: DeliveryFields<'_>, expected| {
            let second = DeliveryFingerprint::of(&other);
            assert_ne!(first, second, "{expected}");
            assert_eq!(second.differing_field(first.as_str()), expected);
        };
        check(DeliveryFields { carrier: "other", ..base }, "carrier");
        check(DeliveryFields { service: "other", ..base }, "service");
        check(DeliveryFields { lane: "other", ..base }, "lane");
        check(DeliveryFields { shipped_date: "other", ..base }, "shipped_date");
        check(DeliveryFields { promised_date: "other", ..base }, "promised_date");
        check(DeliveryFields { delivered_date: "other", ..base }, "delivered_date");
        check(DeliveryFields { failure: "other", ..base }, "failure");
        check(DeliveryFields { order_ref: "other", ..base }, "order_ref");
        check(DeliveryFields { actor: "other", ..base }, "actor");
    }
}
