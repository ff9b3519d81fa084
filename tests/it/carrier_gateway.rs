//! Carriers chosen by a real gateway on a table of the shop's own: the choice, its trail, what deliveries change, life without Redis.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use stockgate::proto::*;
use tonic::Code;

use crate::{
    gateway::{Gateway, SOON, Setup, eventually},
    gateway_calls::{check_status, reason},
    gateway_redis::Redis,
};

/// Two services of two carriers, nearly at one price.
const RATES: &str = r#"
currency = "EUR"
time_zone = "UTC"
cut_off = "23:59"
work_days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
holidays = []

[[zones]]
name = "all"
from = ["DE"]
to = ["*"]

[[services]]
carrier = "cheap"
service = "parcel"
prices = "cheap.csv"
days = { all = 2 }

[[services]]
carrier = "sure"
service = "parcel"
prices = "sure.csv"
days = { all = 3 }
"#;

/// Adds the table to a shop, with more settings of its source.
pub(crate) fn with_table(setup: Setup, more: &str) -> Setup {
    let directory = setup.directory.path();
    std::fs::write(directory.join("rates.toml"), RATES).unwrap();
    for (name, price) in [("cheap", "5.00"), ("sure", "5.50")] {
        let csv = format!("zone,weight_g_max,price\nall,30000,{price}\n");
        std::fs::write(directory.join(format!("{name}.csv")), csv).unwrap();
    }
    setup.source(&format!("id = \"table\"\nkind = \"rate_table\"\nfile = \"rates.toml\"\n{more}"))
}

/// Half a kilogram from Berlin to Munich.
pub(crate) fn parcel() -> SelectCarrierRequest {
    let address = |postal_code: &str, city: &str| Address {
        country: "DE".to_owned(),
        postal_code: postal_code.to_owned(),
        city: city.to_owned(),
        ..Address::default()
    };
    SelectCarrierRequest {
        origin: Some(address("10115", "Berlin")),
        destination: Some(address("80331", "Munich")),
        parcels: vec![Parcel { weight_g: 500, length_mm: 200, width_mm: 100, height_mm: 50 }],
        currency: "EUR".to_owned(),
        order_ref: "order 1".to_owned(),
        actor: "shop".to_owned(),
        ..SelectCarrierRequest::default()
    }
}

/// The date so many days from today.
pub(crate) fn in_days(days: i64) -> String {
    TimeZone::UTC.to_datetime(Timestamp::now()).date().saturating_add(days.days()).to_string()
}

pub(crate) fn carrier_of(answer: &SelectCarrierResponse) -> String {
    answer.chosen.clone().unwrap().quote.unwrap().carrier
}

/// A late parcel of the cheap one.
fn late(key: &str, lane: &str) -> RecordDeliveryRequest {
    RecordDeliveryRequest {
        idempotency_key: key.to_owned(),
        carrier: "cheap".to_owned(),
        service: "parcel".to_owned(),
        lane: lane.to_owned(),
        shipped_date: in_days(-9),
        promised_date: in_days(-7),
        delivered_date: in_days(-3),
        order_ref: "order 9".to_owned(),
        ..RecordDeliveryRequest::default()
    }
}

async fn select(gateway: &Gateway, request: SelectCarrierRequest) -> SelectCarrierResponse {
    gateway.carriers().select_carrier(request).await.unwrap().into_inner()
}

async fn trail(gateway: &Gateway, order_ref: &str) -> Vec<CarrierEvent> {
    let request = ListCarrierEventsRequest { order_ref: order_ref.to_owned(), ..Default::default() };
    gateway.carriers().list_carrier_events(request).await.unwrap().into_inner().events
}

#[tokio::test]
async fn a_choice_says_why_and_is_written_down() {
    let gateway = with_table(Setup::on(Redis::shared().await), "").serve().await;
    let answer = select(&gateway, parcel()).await;
    assert_eq!((carrier_of(&answer).as_str(), answer.others.len()), ("cheap", 1));
    assert_eq!((answer.partial, answer.fallback, answer.reliability_unknown), (false, false, false));
    assert_eq!(answer.lane, "DE-101:DE-803");
    assert_eq!(answer.sources[0].outcome(), SourceOutcome::Answered);
    let chosen = answer.chosen.clone().unwrap();
    assert_eq!(chosen.verdict(), QuoteVerdict::Chosen);
    assert!(chosen.reason.contains("5.00 EUR"), "{}", chosen.reason);
    let [event] = &trail(&gateway, "order 1").await[..] else { panic!("one entry") };
    assert_eq!((&event.event_id, event.actor.as_str()), (&answer.event_id, "shop"));
    let Some(carrier_event::What::Selection(decision)) = &event.what else { panic!("a selection") };
    assert_eq!(decision.quotes[0], chosen);
    assert_eq!((decision.quote_count, decision.policy()), (2, CarrierPolicy::CostOverReliability));

    let fastest = SelectCarrierRequest { policy: CarrierPolicy::Fastest.into(), ..parcel() };
    assert_eq!(carrier_of(&select(&gateway, fastest).await), "cheap");
    let only = SelectCarrierRequest { services_allowed: vec!["sure/parcel".to_owned()], ..parcel() };
    assert_eq!(carrier_of(&select(&gateway, only).await), "sure");
    let late = SelectCarrierRequest { promised_date: in_days(0), ..parcel() };
    assert!(select(&gateway, late.clone()).await.misses_promise);
    let strict = SelectCarrierRequest { when_late: WhenLate::Refuse.into(), ..late };
    let refused = gateway.carriers().select_carrier(strict).await.unwrap_err();
    check_status(&refused, Code::FailedPrecondition, "NO_CARRIER_IN_TIME");
    let dollars =
        SelectCarrierRequest { currency: "USD".to_owned(), order_ref: "usd".to_owned(), ..parcel() };
    let refused = gateway.carriers().select_carrier(dollars).await.unwrap_err();
    check_status(&refused, Code::FailedPrecondition, "NO_CARRIER");
    assert_eq!(trail(&gateway, "usd").await.len(), 1, "that none was chosen is written down too");
}

#[tokio::test]
async fn deliveries_change_the_choice_and_count_once() {
    let gateway = with_table(Setup::on(Redis::shared().await), "").serve().await;
    let lane = select(&gateway, parcel()).await.lane;
    for number in 0..30 {
        let recorded = gateway.carriers().record_delivery(late(&format!("t{number}"), &lane)).await.unwrap();
        assert!(!recorded.get_ref().replayed && !recorded.get_ref().event_id.is_empty());
    }
    let again = gateway.carriers().record_delivery(late("t0", &lane)).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(again.performance.unwrap().delivery_count, 30);
    let other = RecordDeliveryRequest { delivered_date: in_days(-2), ..late("t0", &lane) };
    let refused = gateway.carriers().record_delivery(other).await.unwrap_err();
    check_status(&refused, Code::AlreadyExists, "IDEMPOTENCY_CONFLICT");
    assert!(refused.message().contains("delivered_date"), "{}", refused.message());

    // Each thread keeps what it read for a second.
    let answer = eventually("the sure one is chosen", SOON, async || {
        let answer = select(&gateway, parcel()).await;
        (carrier_of(&answer) == "sure").then_some(answer)
    })
    .await;
    assert!(!answer.reliability_unknown);
    let dearer = SelectCarrierRequest { policy: CarrierPolicy::Cheapest.into(), ..parcel() };
    assert_eq!(carrier_of(&select(&gateway, dearer).await), "cheap");

    assert_eq!(trail(&gateway, "order 9").await.len(), 30);
    let mut rows = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListCarriersRequest { page_size: 1, page_token, ..Default::default() };
        let page = gateway.carriers().list_carriers(request).await.unwrap().into_inner();
        assert_eq!(page.sources.len(), usize::from(rows.is_empty()));
        rows.extend(page.performances);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let lanes: Vec<&str> = rows.iter().map(|row| row.lane.as_str()).collect();
    assert_eq!(lanes, ["", lane.as_str()]);
    assert!(rows.iter().all(|row| row.carrier == "cheap" && row.on_time_ppm == 0 && row.days_p90 == Some(6)));
}

#[tokio::test]
async fn without_redis_a_carrier_is_chosen_and_nothing_is_recorded() {
    let mut redis = Redis::start().await;
    let gateway = with_table(Setup::on(&redis), "").serve().await;
    let lane = select(&gateway, parcel()).await.lane;
    redis.kill().await;
    // What was read is known for a second.
    let answer = eventually("redis is missed", SOON, async || {
        Some(select(&gateway, parcel()).await).filter(|answer| answer.reliability_unknown)
    })
    .await;
    assert_eq!((carrier_of(&answer).as_str(), answer.event_id.as_str()), ("cheap", ""));
    let refused = gateway.carriers().record_delivery(late("t", &lane)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    redis.raise().await;
    eventually("decisions are written down again", SOON, async || {
        let answer = select(&gateway, parcel()).await;
        (!answer.event_id.is_empty() && !answer.reliability_unknown).then_some(())
    })
    .await;
    assert_eq!(gateway.log_count("decisions on carriers are made and cannot be written down"), 1);
}

#[tokio::test]
async fn a_table_that_does_not_load_stops_the_start() {
    let setup = with_table(Setup::embedded(), "");
    std::fs::write(setup.directory.path().join("cheap.csv"), "zone,weight_g_max,price\nall,30000,free\n")
        .unwrap();
    let (code, said) = setup.refusal().await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("carriers.sources.table") && said.contains("cheap.csv"), "{said}");
    let mut command = setup.command();
    command.args(["config", "check", "--config"]).arg(setup.file());
    let checked = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(!checked.status.success() && said.contains("cheap.csv"), "{said}");
}

#[tokio::test]
async fn without_sources_the_refusal_says_what_to_do() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    let refused = gateway.carriers().select_carrier(parcel()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "NO_CARRIER_SOURCES"));
    assert!(refused.message().contains("[[carriers.sources]]"), "{}", refused.message());
}
