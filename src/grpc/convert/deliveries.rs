//! RecordDelivery and the lists of carriers: requests read, and what is known of carriers as the contract tells it.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _, civil::Date};
use prost::Message as _;

use crate::{
    domain::{
        ClientId, IdempotencyKey, Text,
        carrier::{
            CarrierName, Deliveries, DeliveryFields, DeliveryFingerprint, Lane, PPM, Reliability, ServiceName,
        },
    },
    proto,
    store::{DeliveryOutcome, DeliveryToRecord},
};

use super::{
    dead_letters::optional,
    problem::Problem,
    queries::page_size,
    selections::{date, latest_today},
    time::timestamp,
    violations::Violations,
};

/// Reads a RecordDelivery that came `now`. What ended longer ago than records are kept is refused: a repeat of it would count again.
pub fn record_delivery(
    request: proto::RecordDeliveryRequest,
    client: ClientId,
    now: Timestamp,
    record_retention: Duration,
) -> Result<DeliveryToRecord, Problem> {
    let mut bad = Violations::default();
    let key = bad.take("idempotency_key", IdempotencyKey::parse(&request.idempotency_key));
    let carrier = bad.take("carrier", CarrierName::parse(&request.carrier));
    let service = bad.take("service", ServiceName::parse(&request.service));
    let lane = bad.take("lane", Lane::parse(&request.lane));
    let shipped = date(&mut bad, "shipped_date", &request.shipped_date);
    let promised = date(&mut bad, "promised_date", &request.promised_date);
    let delivered = optional(&request.delivered_date, |text| date(&mut bad, "delivered_date", text));
    let failure = failure(&mut bad, request.failure);
    not_before(&mut bad, "promised_date", promised, shipped);
    not_before(&mut bad, "delivered_date", delivered.flatten(), shipped);
    for (field, date) in [("shipped_date", shipped), ("delivered_date", delivered.flatten())] {
        if let Some(date) = date.filter(|date| *date > latest_today(now)) {
            bad.add(field, format_args!("must not be in the future, is {date}"));
        }
    }
    let oldest = oldest(now, record_retention);
    for (field, date) in [("promised_date", promised), ("delivered_date", delivered.flatten())] {
        if let Some(date) = date.filter(|date| *date < oldest) {
            let what = "must not be longer ago than carriers.record_retention, before";
            bad.add(field, format_args!("{what} {oldest}, is {date}: such a repeat would not be known"));
        }
    }
    if let (Some(delivered), Some(failure)) = (delivered, failure)
        && delivered.is_some() == failure.is_some()
    {
        let what = "must be given when the parcel arrived, and failure when it never did: one of them";
        bad.add("delivered_date", what);
    }
    let order_ref = bad.take("order_ref", Text::parse(request.order_ref.clone()));
    let actor = bad.take("actor", Text::parse(request.actor.clone()));
    let read = || {
        let fingerprint = DeliveryFingerprint::of(&DeliveryFields {
            carrier: &request.carrier,
            service: &request.service,
            lane: &request.lane,
            shipped_date: &request.shipped_date,
            promised_date: &request.promised_date,
            delivered_date: &request.delivered_date,
            failure: failure?.map_or("", |failure| failure.as_str_name()),
            order_ref: &request.order_ref,
            actor: &request.actor,
        });
        let outcome = outcome(shipped?, promised?, delivered?);
        Some(DeliveryToRecord {
            client,
            key: key?,
            fingerprint,
            carrier: carrier?,
            service: service?,
            lane: lane?,
            outcome,
            order_ref: order_ref?,
            actor: actor?,
            payload: Vec::new(),
        })
    };
    match read() {
        Some(delivery) if bad.is_empty() => Ok(DeliveryToRecord { payload: payload(request), ..delivery }),
        _ => Err(bad.into_problem()),
    }
}

/// What the audit trail keeps; order and actor stand beside it.
fn payload(request: proto::RecordDeliveryRequest) -> Vec<u8> {
    let proto::RecordDeliveryRequest {
        idempotency_key,
        carrier,
        service,
        lane,
        shipped_date,
        promised_date,
        delivered_date,
        failure,
        order_ref: _,
        actor: _,
    } = request;
    let record = proto::DeliveryRecord {
        idempotency_key,
        carrier,
        service,
        lane,
        shipped_date,
        promised_date,
        delivered_date,
        failure,
    };
    record.encode_to_vec()
}

fn outcome(shipped: Date, promised: Date, delivered: Option<Date>) -> DeliveryOutcome {
    let Some(delivered) = delivered else { return DeliveryOutcome::Failed };
    let days = delivered.duration_since(shipped).as_hours() / 24;
    let transit_days = u16::try_from(days).unwrap_or(u16::MAX);
    if delivered <= promised {
        DeliveryOutcome::OnTime { transit_days }
    } else {
        DeliveryOutcome::Late { transit_days }
    }
}

/// The first day of which records are surely still known.
fn oldest(now: Timestamp, record_retention: Duration) -> Date {
    let days = i64::try_from(record_retention.as_secs() / 86_400).unwrap_or(i64::MAX);
    latest_today(now).checked_sub(days.min(36_500).days()).unwrap_or(Date::MIN)
}

fn not_before(bad: &mut Violations, field: &'static str, date: Option<Date>, shipped: Option<Date>) {
    if let (Some(date), Some(shipped)) = (date, shipped)
        && date < shipped
    {
        bad.add(field, format_args!("must not be before shipped_date, {shipped}, is {date}"));
    }
}

fn failure(bad: &mut Violations, number: i32) -> Option<Option<proto::DeliveryFailure>> {
    use proto::DeliveryFailure::{Damaged, Lost, Returned, Unspecified};
    match proto::DeliveryFailure::try_from(number) {
        Ok(Unspecified) => Some(None),
        Ok(failure @ (Lost | Damaged | Returned)) => Some(Some(failure)),
        Err(_) => {
            let what = "must be DELIVERY_FAILURE_LOST (1), DELIVERY_FAILURE_DAMAGED (2), DELIVERY_FAILURE_RETURNED (3) or \
                        left out, is";
            bad.add("failure", format_args!("{what} {number}"));
            None
        }
    }
}

/// Reads a ListCarriers, except its token: of which carrier, and how many rows.
pub fn list_carriers(request: &proto::ListCarriersRequest) -> Result<(Option<CarrierName>, usize), Problem> {
    let mut bad = Violations::default();
    let carrier = optional(&request.carrier, |text| bad.take("carrier", CarrierName::parse(text)));
    let page_size = page_size(&mut bad, request.page_size);
    carrier.zip(page_size).ok_or_else(|| bad.into_problem())
}

/// Reads a ListCarrierEvents, except its token: of which order, and how many entries.
pub fn list_carrier_events(
    request: &proto::ListCarrierEventsRequest,
) -> Result<(Option<Text<256>>, usize), Problem> {
    let mut bad = Violations::default();
    let order_ref = optional(&request.order_ref, |text| bad.take("order_ref", Text::parse(text.to_owned())));
    let page_size = page_size(&mut bad, request.page_size);
    order_ref.zip(page_size).ok_or_else(|| bad.into_problem())
}

/// What was measured of a carrier, or of one of its services on a lane.
pub fn performance(
    carrier: &CarrierName,
    of_lane: Option<(&ServiceName, &Lane)>,
    deliveries: &Deliveries,
    reliability: Reliability,
) -> proto::CarrierPerformance {
    let ppm = |weight: u64| {
        // Both are millionths already: their product is beyond 64 bits for a carrier of millions of parcels.
        let product = u128::from(weight.min(deliveries.total)) * u128::from(PPM);
        let share = product.checked_div(u128::from(deliveries.total)).unwrap_or(0);
        number(u64::try_from(share).unwrap_or(PPM))
    };
    let days = |percent| deliveries.days_within(percent, 0).map(i32::from);
    proto::CarrierPerformance {
        carrier: carrier.to_string(),
        service: of_lane.map(|(service, _)| service.to_string()).unwrap_or_default(),
        lane: of_lane.map(|(_, lane)| lane.to_string()).unwrap_or_default(),
        delivery_count: number(deliveries.count),
        sample_milli: number(deliveries.total / 1_000),
        on_time_ppm: ppm(deliveries.on_time),
        reliability_ppm: i64::from(reliability.ppm()),
        failed_ppm: ppm(deliveries.failed),
        days_p50: days(50),
        days_p90: days(90),
        days_p99: days(99),
        update_time: (deliveries.count > 0).then(|| timestamp(deliveries.updated_ms)),
    }
}

fn number(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
