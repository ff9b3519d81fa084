//! Bad requests to CarrierService over the wire: each is INVALID_ARGUMENT naming the field, asks no source and leaves no trace.

use stockgate::proto::*;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    carrier_gateway::{in_days, parcel, with_table},
    gateway::Setup,
    gateway_calls::reason,
    gateway_redis::Redis,
};

/// What is not as it should be; said all at once.
#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn check<T>(&mut self, field: &str, answer: Result<Response<T>, Status>) {
        let Err(status) = answer else { return self.0.push(format!("a bad {field} was accepted")) };
        let named: Vec<String> = status
            .get_details_bad_request()
            .map(|request| request.field_violations.into_iter().map(|found| found.field).collect())
            .unwrap_or_default();
        let is_right = status.code() == Code::InvalidArgument && reason(&status) == "MALFORMED_REQUEST";
        if !is_right || named != [field] {
            self.0.push(format!("{field}: {named:?} {status:?}"));
        }
    }
}

type Spoil<T> = fn(&mut T);

fn money(amount_minor: i64, currency: &str) -> Option<Money> {
    Some(Money { amount_minor, currency: currency.to_owned() })
}

#[tokio::test]
async fn a_bad_selection_is_refused_by_its_field() {
    let gateway = with_table(Setup::on(Redis::shared().await), "").serve().await;
    let rows: [(&str, Spoil<SelectCarrierRequest>); 30] = [
        ("origin", |r| r.origin = None),
        ("origin.country", |r| r.origin.as_mut().unwrap().country = "ZZ".to_owned()),
        ("destination.country", |r| r.destination.as_mut().unwrap().country.clear()),
        ("destination.postal_code", |r| r.destination.as_mut().unwrap().postal_code = "1_2".to_owned()),
        ("destination.city", |r| r.destination.as_mut().unwrap().city = "x".repeat(129)),
        ("parcels", |r| r.parcels.clear()),
        ("parcels", |r| r.parcels = vec![r.parcels[0]; 21]),
        ("parcels[0].weight_g", |r| r.parcels[0].weight_g = -1),
        ("parcels[0].weight_g", |r| r.parcels[0].weight_g = 0),
        ("parcels[1].weight_g", |r| r.parcels.push(Parcel { weight_g: 1_000_001, ..r.parcels[0] })),
        ("parcels[0].height_mm", |r| r.parcels[0].height_mm = 10_001),
        ("currency", |r| r.currency.clear()),
        ("currency", |r| r.currency = "EURO".to_owned()),
        ("value.currency", |r| r.value = money(1, "USD")),
        ("value.amount_minor", |r| r.value = money(-1, "EUR")),
        ("cash_on_delivery.currency", |r| r.cash_on_delivery = money(1, "USD")),
        ("cash_on_delivery.amount_minor", |r| r.cash_on_delivery = money(1_000_000_000_001, "EUR")),
        ("late_penalty.currency", |r| r.late_penalty = money(1, "USD")),
        ("late_penalty", |r| r.policy = CarrierPolicy::LatenessPenalty.into()),
        ("promised_date", |r| r.promised_date = in_days(-3)),
        ("promised_date", |r| r.promised_date = "tomorrow".to_owned()),
        ("promised_date", |r| r.promised_date = "2026-02-30".to_owned()),
        ("promised_date", |r| r.promised_date = "2099-01-01T00:00".to_owned()),
        ("services_allowed[1]", |r| r.services_allowed = vec!["dhl".to_owned(), "DHL".to_owned()]),
        ("services_allowed[0]", |r| r.services_allowed = vec!["dhl/".to_owned()]),
        ("services_allowed", |r| r.services_allowed = vec!["dhl".to_owned(); 101]),
        ("policy", |r| r.policy = 5),
        ("when_late", |r| r.when_late = -1),
        ("order_ref", |r| r.order_ref = "x".repeat(257)),
        ("actor", |r| r.actor = "a\nb".to_owned()),
    ];
    let mut complaints = Complaints::default();
    for (field, spoil) in rows {
        let mut request = parcel();
        spoil(&mut request);
        complaints.check(field, gateway.carriers().select_carrier(request).await);
    }
    assert!(complaints.0.is_empty(), "\n{}\n", complaints.0.join("\n"));
    let trail = gateway.carriers().list_carrier_events(ListCarrierEventsRequest::default()).await.unwrap();
    assert_eq!(trail.into_inner().events, []);
    let (_, metrics) = gateway.page("/metrics").await;
    let asked = "stockgate_carrier_quotes_total{source=\"table\",outcome=\"answered\"} 0";
    assert!(metrics.contains(asked), "{metrics}");
    // Today may be past where the gateway is, and is not where the buyer is.
    let today = SelectCarrierRequest { promised_date: in_days(0), ..parcel() };
    gateway.carriers().select_carrier(today).await.unwrap();
}

#[tokio::test]
async fn a_bad_delivery_is_refused_by_its_field() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    let good = || RecordDeliveryRequest {
        idempotency_key: "t1".to_owned(),
        carrier: "dhl".to_owned(),
        service: "parcel".to_owned(),
        lane: "DE-101:US-941".to_owned(),
        shipped_date: in_days(-5),
        promised_date: in_days(-3),
        delivered_date: in_days(-2),
        ..RecordDeliveryRequest::default()
    };
    let rows: [(&str, Spoil<RecordDeliveryRequest>); 17] = [
        ("idempotency_key", |r| r.idempotency_key.clear()),
        ("carrier", |r| r.carrier = "DHL".to_owned()),
        ("service", |r| r.service.clear()),
        ("lane", |r| r.lane = "DE".to_owned()),
        ("lane", |r| r.lane = "DE:ZZ".to_owned()),
        ("shipped_date", |r| r.shipped_date.clear()),
        ("promised_date", |r| r.promised_date.clear()),
        ("promised_date", |r| r.promised_date = in_days(-6)),
        ("delivered_date", |r| r.delivered_date = in_days(-6)),
        ("delivered_date", |r| r.delivered_date = in_days(3)),
        ("delivered_date", |r| r.delivered_date = "soon".to_owned()),
        ("delivered_date", |r| r.delivered_date.clear()),
        ("delivered_date", |r| r.failure = DeliveryFailure::Lost.into()),
        ("failure", |r| r.failure = 4),
        ("order_ref", |r| r.order_ref = "x".repeat(257)),
        ("actor", |r| r.actor = "x".repeat(129)),
        ("shipped_date", |r| {
            r.shipped_date = in_days(3);
            r.promised_date = in_days(4);
            r.delivered_date.clear();
            r.failure = DeliveryFailure::Lost.into();
        }),
    ];
    let mut complaints = Complaints::default();
    for (field, spoil) in rows {
        let mut request = good();
        spoil(&mut request);
        complaints.check(field, gateway.carriers().record_delivery(request).await);
    }
    let list = ListCarriersRequest { carrier: "DHL".to_owned(), ..Default::default() };
    complaints.check("carrier", gateway.carriers().list_carriers(list).await);
    let list = ListCarriersRequest { page_size: -1, ..Default::default() };
    complaints.check("page_size", gateway.carriers().list_carriers(list).await);
    let list = ListCarriersRequest { page_token: "nonsense!".to_owned(), ..Default::default() };
    complaints.check("page_token", gateway.carriers().list_carriers(list).await);
    let list = ListCarrierEventsRequest { page_token: "nonsense!".to_owned(), ..Default::default() };
    complaints.check("page_token", gateway.carriers().list_carrier_events(list).await);
    assert!(complaints.0.is_empty(), "\n{}\n", complaints.0.join("\n"));
    let trail = gateway.carriers().list_carrier_events(ListCarrierEventsRequest::default()).await.unwrap();
    assert_eq!(trail.into_inner().events, []);
    // A bad request is not remembered: its key is still free.
    assert!(!gateway.carriers().record_delivery(good()).await.unwrap().into_inner().replayed);
}
