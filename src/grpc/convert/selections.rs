//! SelectCarrier, read: the shipment and the wish. Fields are named as they are nested: `parcels[1].weight_g`.

use std::borrow::Cow;

use jiff::{
    Timestamp, ToSpan as _,
    civil::Date,
    tz::{Offset, TimeZone},
};

use crate::{
    domain::{
        Text,
        carrier::{
            AllowedService, CarrierName, Country, Currency, Money, PARCELS_MAX, Parcel, ParcelProblem,
            Parcels, Place, Policy, PolicyKind, PostalCode, ServiceName, Shipment, WhenLate, Wish,
        },
    },
    proto,
};

use super::{problem::Problem, violations::Violations};

/// The most carriers and services one request may allow.
const ALLOWED_MAX: usize = 100;
/// Characters of the only form of a date: `2026-11-24`.
const DATE_BYTES: usize = 10;

/// What a SelectCarrier asks for.
#[derive(Debug)]
pub struct Selection {
    /// What is to be carried.
    pub shipment: Shipment,
    /// By what a carrier is chosen.
    pub wish: Wish,
    /// The order.
    pub order_ref: Text<256>,
    /// Who asks.
    pub actor: Text<128>,
}

/// Reads a SelectCarrier that came `now`; `usual` is the policy of those who name none.
pub fn select_carrier(
    request: proto::SelectCarrierRequest,
    usual: PolicyKind,
    now: Timestamp,
) -> Result<Selection, Problem> {
    let mut bad = Violations::default();
    let origin = place(&mut bad, "origin", request.origin);
    let destination = place(&mut bad, "destination", request.destination);
    let parcels = parcels(&mut bad, &request.parcels);
    let currency = bad.take("currency", Currency::parse(&request.currency));
    let value = money(&mut bad, "value", request.value, currency);
    let promised = promised(&mut bad, &request.promised_date, now);
    let services = services(&mut bad, &request.services_allowed);
    let collect = money(&mut bad, "cash_on_delivery", request.cash_on_delivery, currency);
    let late_penalty = money(&mut bad, "late_penalty", request.late_penalty, currency);
    let policy = policy(&mut bad, request.policy, usual, late_penalty);
    let when_late = when_late(&mut bad, request.when_late);
    let order_ref = bad.take("order_ref", Text::parse(request.order_ref));
    let actor = bad.take("actor", Text::parse(request.actor));
    let read = || {
        let currency = currency?;
        // Nothing to collect is no collecting.
        let collect = collect?.filter(|money| money.minor() > 0);
        let wish = Wish {
            currency,
            asked_on: date_at(now, 0),
            promised: promised?,
            services: services?,
            collects: collect.is_some(),
            guaranteed_only: request.guaranteed_only,
            policy: policy?,
            when_late: when_late?,
        };
        let (origin, destination, parcels) = (origin?, destination?, parcels?);
        let shipment = Shipment { origin, destination, parcels, value: value?, currency, collect };
        Some(Selection { shipment, wish, order_ref: order_ref?, actor: actor? })
    };
    match read() {
        Some(selection) if bad.is_empty() => Ok(selection),
        _ => Err(bad.into_problem()),
    }
}

/// The date where clocks are so many hours ahead of UTC.
fn date_at(now: Timestamp, hours: i8) -> Date {
    TimeZone::fixed(Offset::constant(hours)).to_datetime(now).date()
}

/// The first day of those that are today somewhere: nobody's today is past.
pub(super) fn earliest_today(now: Timestamp) -> Date {
    date_at(now, -12)
}

/// The day after the last of those that are today somewhere in UTC: a day of slack for zones and wrong clocks.
pub(super) fn latest_today(now: Timestamp) -> Date {
    date_at(now, 0).saturating_add(1.day())
}

/// A date in its one form.
pub(super) fn date(bad: &mut Violations, field: &'static str, text: &str) -> Option<Date> {
    let read = Some(text).filter(|text| text.len() == DATE_BYTES).and_then(|text| text.parse().ok());
    if read.is_none() {
        let given: String = text.chars().take(16).collect();
        bad.add(field, format_args!("must be a date such as \"2026-11-24\", is {given:?}"));
    }
    read
}

fn promised(bad: &mut Violations, text: &str, now: Timestamp) -> Option<Option<Date>> {
    if text.is_empty() {
        return Some(None);
    }
    let promised = date(bad, "promised_date", text)?;
    let today = earliest_today(now);
    if promised < today {
        let what =
            format_args!("must not be in the past: {promised} is before {today}, today where it is earliest");
        bad.add("promised_date", what);
        return None;
    }
    Some(Some(promised))
}

fn place(bad: &mut Violations, end: &'static str, given: Option<proto::Address>) -> Option<Place> {
    let Some(address) = given else {
        bad.add(end, "must be given");
        return None;
    };
    let at = |field: &str| Cow::Owned(format!("{end}.{field}"));
    let country = bad.take_at(|| at("country"), Country::parse(&address.country));
    let postal_code = bad.take_at(|| at("postal_code"), PostalCode::parse(&address.postal_code));
    let state = bad.take_at(|| at("state"), Text::parse(address.state));
    let city = bad.take_at(|| at("city"), Text::parse(address.city));
    let street = bad.take_at(|| at("street"), Text::parse(address.street));
    Some(Place {
        country: country?,
        postal_code: postal_code?,
        state: state?,
        city: city?,
        street: street?,
        is_residential: address.residential,
    })
}

fn parcels(bad: &mut Violations, given: &[proto::Parcel]) -> Option<Parcels> {
    if given.len() > PARCELS_MAX {
        // Looking at each would make a long answer of a long request.
        bad.add("parcels", ParcelProblem::TooManyParcels(given.len()));
        return None;
    }
    let mut parcels = Vec::with_capacity(given.len());
    for (index, parcel) in given.iter().enumerate() {
        let proto::Parcel { weight_g, length_mm, width_mm, height_mm } = *parcel;
        match Parcel::parse(weight_g, [length_mm, width_mm, height_mm]) {
            Ok(parcel) => parcels.push(parcel),
            Err(problem) => {
                let field = match &problem {
                    ParcelProblem::OutOfRange { field, .. } => format!("parcels[{index}].{field}"),
                    ParcelProblem::NoParcels | ParcelProblem::TooManyParcels(_) => {
                        format!("parcels[{index}]")
                    }
                };
                bad.add(field, problem);
            }
        }
    }
    if parcels.len() < given.len() {
        return None;
    }
    bad.take("parcels", Parcels::parse(parcels))
}

/// An amount in the currency of the request; nothing is said of that when the request has none.
fn money(
    bad: &mut Violations,
    field: &'static str,
    given: Option<proto::Money>,
    wanted: Option<Currency>,
) -> Option<Option<Money>> {
    let Some(proto::Money { amount_minor, currency }) = given else { return Some(None) };
    let at = |part: &str| Cow::Owned(format!("{field}.{part}"));
    let currency = bad.take_at(|| at("currency"), Currency::parse(&currency));
    if let (Some(wanted), Some(given)) = (wanted, currency)
        && wanted != given
    {
        bad.add(at("currency"), format_args!("must be {wanted}, the currency of the request, is {given}"));
        return None;
    }
    let checked = Money::new(amount_minor, currency.or(wanted)?);
    let money = bad.take_at(|| at("amount_minor"), checked)?;
    currency.map(|_| Some(money))
}

fn services(bad: &mut Violations, given: &[String]) -> Option<Vec<AllowedService>> {
    if given.len() > ALLOWED_MAX {
        bad.add("services_allowed", format_args!("must be at most {ALLOWED_MAX}, are {}", given.len()));
        return None;
    }
    let read = given.iter().enumerate().map(|(index, text)| {
        let at = || Cow::Owned(format!("services_allowed[{index}]"));
        let (carrier, service) = text.split_once('/').map_or((&**text, None), |(one, two)| (one, Some(two)));
        let carrier = bad.take_at(at, CarrierName::parse(carrier))?;
        let service = match service {
            None => None,
            Some(service) => Some(bad.take_at(at, ServiceName::parse(service))?),
        };
        Some(AllowedService { carrier, service })
    });
    let read: Vec<Option<AllowedService>> = read.collect();
    read.into_iter().collect()
}

fn policy(
    bad: &mut Violations,
    number: i32,
    usual: PolicyKind,
    late_penalty: Option<Option<Money>>,
) -> Option<Policy> {
    use proto::CarrierPolicy::{Cheapest, CostOverReliability, Fastest, LatenessPenalty, Unspecified};
    let kind = match proto::CarrierPolicy::try_from(number) {
        Ok(Unspecified) => usual,
        Ok(CostOverReliability) => PolicyKind::CostOverReliability,
        Ok(Cheapest) => PolicyKind::Cheapest,
        Ok(Fastest) => PolicyKind::Fastest,
        Ok(LatenessPenalty) => PolicyKind::LatenessPenalty,
        Err(_) => {
            bad.add("policy", format_args!("must be one of CarrierPolicy (1 to 4) or left out, is {number}"));
            return None;
        }
    };
    Some(match kind {
        PolicyKind::CostOverReliability => Policy::CostOverReliability,
        PolicyKind::Cheapest => Policy::Cheapest,
        PolicyKind::Fastest => Policy::Fastest,
        PolicyKind::LatenessPenalty => match late_penalty? {
            Some(penalty) => Policy::LatenessPenalty { penalty_minor: penalty.minor() },
            None => {
                bad.add(
                    "late_penalty",
                    "must be given for CARRIER_POLICY_LATENESS_PENALTY: what a late parcel costs",
                );
                return None;
            }
        },
    })
}

fn when_late(bad: &mut Violations, number: i32) -> Option<WhenLate> {
    use proto::WhenLate::{Fastest, Refuse, Unspecified};
    match proto::WhenLate::try_from(number) {
        Ok(Unspecified | Fastest) => Some(WhenLate::Fastest),
        Ok(Refuse) => Some(WhenLate::Refuse),
        Err(_) => {
            let what =
                format_args!("must be WHEN_LATE_FASTEST (1), WHEN_LATE_REFUSE (2) or left out, is {number}");
            bad.add("when_late", what);
            None
        }
    }
}
