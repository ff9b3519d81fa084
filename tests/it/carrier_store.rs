//! Deliveries counted: once for a key, with their event, fading with time; what that leaves in Redis, to the last byte.

use std::time::Duration;

use futures_util::future::join_all;
use stockgate::{
    domain::{
        ClientId, Partitions, Text,
        carrier::{
            CarrierName, Deliveries, DeliveryFields, DeliveryFingerprint, Lane, PPM, Prior, Reliability,
            ServiceName,
        },
    },
    store::{
        CarrierEventKind, DeliveryOutcome, DeliveryToRecord, ForgettingTerms, RecordedDelivery, StoreError,
    },
};

use crate::{
    harness::{START_MS, Shop},
    repartition_shop::{lived_in, move_to},
    requests::{client, key},
};

pub(crate) const HALF_LIFE_MS: i64 = 50_000;
const RETENTION_MS: i64 = 200_000;

pub(crate) const TERMS: ForgettingTerms = ForgettingTerms {
    half_life: Duration::from_millis(HALF_LIFE_MS.unsigned_abs()),
    record_retention: Duration::from_millis(RETENTION_MS.unsigned_abs()),
    audit_max: 100_000,
};

pub(crate) fn carrier(name: &str) -> CarrierName {
    CarrierName::parse(name).unwrap()
}

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

pub(crate) fn lane(text: &str) -> Lane {
    Lane::parse(text).unwrap()
}

pub(crate) const ON_TIME: DeliveryOutcome = DeliveryOutcome::OnTime { transit_days: 2 };
pub(crate) const LATE: DeliveryOutcome = DeliveryOutcome::Late { transit_days: 5 };

/// A parcel of "dhl" by "parcel" from DE-10 to US.
pub(crate) fn delivery(name: &str, outcome: DeliveryOutcome) -> DeliveryToRecord {
    delivery_of(name, outcome, &DeliveryFields::default())
}

/// The same, with other fields where they are given.
fn delivery_of(name: &str, outcome: DeliveryOutcome, other: &DeliveryFields<'_>) -> DeliveryToRecord {
    fn or<'a>(given: &'a str, otherwise: &'a str) -> &'a str {
        if given.is_empty() { otherwise } else { given }
    }
    let fields = DeliveryFields {
        carrier: or(other.carrier, "dhl"),
        service: or(other.service, "parcel"),
        lane: or(other.lane, "DE-10:US"),
        ..*other
    };
    DeliveryToRecord {
        client: client(),
        key: key(name),
        fingerprint: DeliveryFingerprint::of(&fields),
        carrier: carrier(fields.carrier),
        service: service(fields.service),
        lane: lane(fields.lane),
        outcome,
        order_ref: Text::parse(fields.order_ref.to_owned()).unwrap(),
        actor: Text::parse(fields.actor.to_owned()).unwrap(),
        payload: b"payload".to_vec(),
    }
}

pub(crate) fn delivery_by(name: &str, carrier: &str, service: &str, lane: &str) -> DeliveryToRecord {
    delivery_of(name, ON_TIME, &DeliveryFields { carrier, service, lane, ..DeliveryFields::default() })
}

async fn open() -> Shop {
    Shop::open(Partitions::ONE).await
}

async fn record(shop: &Shop, delivery: &DeliveryToRecord) -> RecordedDelivery {
    shop.store.record_delivery(delivery, &TERMS).await.unwrap()
}

/// Counts what must be counted; the lane and the carrier with it.
async fn counted(shop: &Shop, delivery: &DeliveryToRecord) -> (Deliveries, Deliveries) {
    match record(shop, delivery).await {
        RecordedDelivery::Recorded { lane, carrier, .. } => (lane, carrier),
        other => panic!("{other:?}"),
    }
}

/// What is known of the lane of all these tests.
async fn known(shop: &Shop) -> Deliveries {
    let asked = [(carrier("dhl"), service("parcel"))];
    let known = shop.store.carrier_deliveries(&lane("DE-10:US"), &asked, &TERMS).await.unwrap();
    known.services.get(&asked[0]).cloned().unwrap_or_default()
}

/// The stored form: `<updated> <count> <total> <on time> <failed>` and the bins that are not 0.
fn text(numbers: &str, bins: &[(usize, u64)]) -> String {
    let mut days = [0; 32];
    for (bin, weight) in bins {
        days[*bin] = *weight;
    }
    let days: Vec<String> = days.iter().map(u64::to_string).collect();
    format!("{numbers} {}", days.join(" "))
}

#[tokio::test]
async fn a_delivery_is_its_counts_its_record_and_its_event() {
    let shop = open().await;
    let first = delivery("k1", ON_TIME);
    record(&shop, &first).await;
    let print = first.fingerprint.as_str().to_owned();
    let counts = text("1000000000 1 1000000 1000000 0", &[(2, PPM)]);
    let event = r#"{"actor": "", "client": "-", "kind": "delivery", "order": "", "payload": "payload"}"#;
    let all = format!(
        "carriers:deliveries dhl = {counts}\ncarriers:deliveries dhl parcel DE-10:US = {counts}\ncarriers:ev #0 {event}\n\
         carriers:names dhl = 0\ncarriers:names dhl parcel DE-10:US = 0\ncarriers:rec - k1 = {print} #0\n\
         carriers:recorded - k1 = 1000000000\n"
    );
    assert_eq!(
        shop.dump().await.lines().filter(|line| line.starts_with("carriers")).collect::<Vec<_>>().join("\n")
            + "\n",
        all
    );

    // A repeat changes nothing.
    shop.pass(HALF_LIFE_MS);
    let before = shop.dump().await;
    let again = record(&shop, &first).await;
    let RecordedDelivery::Replayed { lane, carrier, .. } = again else { panic!("{again:?}") };
    assert_eq!((lane.count, lane.total, carrier.total), (1, PPM / 2, PPM / 2), "as it is now");
    assert_eq!(shop.dump().await, before);

    // Another one on another lane: the carrier counts both.
    let third =
        DeliveryFields { lane: "DE-10:FR", order_ref: "o 7", actor: "bot", ..DeliveryFields::default() };
    record(&shop, &delivery_of("k2", DeliveryOutcome::Failed, &third)).await;
    let after = shop.dump().await;
    let own = text("1000050000 1 1000000 0 1000000", &[]);
    let both = text("1000050000 2 1500000 500000 1000000", &[(2, PPM / 2)]);
    let event =
        r##"#1 {"actor": "bot", "client": "-", "kind": "delivery", "order": "o 7", "payload": "payload"}"##;
    for line in [
        format!("carriers:deliveries dhl = {both}"),
        format!("carriers:deliveries dhl parcel DE-10:FR = {own}"),
        format!("carriers:deliveries dhl parcel DE-10:US = {counts}"),
        format!("carriers:ev {event}"),
        "carriers:names dhl parcel DE-10:FR = 0".to_owned(),
        "carriers:recorded - k2 = 1000050000".to_owned(),
    ] {
        assert!(after.lines().any(|other| other == line), "{line}\n{after}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_key_used_again_for_another_delivery_names_the_field_that_differs() {
    let shop = open().await;
    counted(&shop, &delivery("k", ON_TIME)).await;
    let before = shop.dump().await;
    let none = DeliveryFields::default();
    for (fields, expected) in [
        (DeliveryFields { carrier: "ups", ..none }, "carrier"),
        (DeliveryFields { service: "express", ..none }, "service"),
        (DeliveryFields { lane: "DE-10:FR", ..none }, "lane"),
        (DeliveryFields { promised_date: "2026-11-24", ..none }, "promised_date"),
        (DeliveryFields { failure: "lost", ..none }, "failure"),
        (DeliveryFields { actor: "somebody", ..none }, "actor"),
    ] {
        let said = record(&shop, &delivery_of("k", LATE, &fields)).await;
        assert_eq!(said, RecordedDelivery::Conflict { field: expected });
        assert_eq!(shop.dump().await, before, "{expected}");
    }
    // Keys of another client are others.
    let stranger = ClientId::parse("stranger").unwrap();
    let (lane, _) = counted(&shop, &DeliveryToRecord { client: stranger, ..delivery("k", LATE) }).await;
    assert_eq!((lane.count, lane.on_time), (2, PPM));
    shop.close().await;
}

#[tokio::test]
async fn sixty_four_at_once_count_once() {
    let shop = open().await;
    let other = shop.another_gateway();
    let same = delivery("k", ON_TIME);
    let calls = (0..64).map(|number| {
        let store = if number % 2 == 0 { &shop.store } else { &other.store };
        store.record_delivery(&same, &TERMS)
    });
    let said = join_all(calls).await;
    let recorded = said.iter().filter(|said| matches!(said, Ok(RecordedDelivery::Recorded { .. }))).count();
    let replayed = said.iter().filter(|said| matches!(said, Ok(RecordedDelivery::Replayed { .. }))).count();
    assert_eq!((recorded, replayed), (1, 63), "{said:?}");
    assert_eq!(known(&shop).await.count, 1);
    let events = shop.store.carrier_events(None, None, 100).await.unwrap().events;
    assert!(matches!(&events[..], [only] if only.entry.kind == CarrierEventKind::Delivery));
    other.close().await;
    shop.close().await;
}

#[tokio::test]
async fn what_is_long_ago_counts_less() {
    let shop = open().await;
    for name in ["a", "b", "c", "d"] {
        counted(&shop, &delivery(name, ON_TIME)).await;
    }
    shop.pass(HALF_LIFE_MS);
    let (lane, carrier) = counted(&shop, &delivery("e", LATE)).await;
    assert_eq!((lane.count, lane.total, lane.on_time, lane.failed), (5, 3 * PPM, 2 * PPM, 0));
    assert_eq!((lane.days[2], lane.days[5]), (2 * PPM, PPM));
    assert_eq!(lane, carrier);
    // What is read has faded as what is written has, but for the last digit of the factor.
    for ms in [1, 999, 12_345, 7 * HALF_LIFE_MS] {
        shop.pass(ms);
        let again = record(&shop, &delivery("e", LATE)).await;
        let RecordedDelivery::Replayed { lane, .. } = again else { panic!("{again:?}") };
        let read = known(&shop).await;
        assert_eq!((read.updated_ms, read.count), (lane.updated_ms, 5));
        assert!(lane.updated_ms < shop.now_ms(), "nothing was counted since");
        assert!(read.total.abs_diff(lane.total) <= 1 && read.on_time.abs_diff(lane.on_time) <= 1, "{ms}");
    }
    shop.pass(200 * HALF_LIFE_MS);
    assert_eq!(
        (known(&shop).await.total, known(&shop).await.count),
        (0, 5),
        "nothing of it is left but the count"
    );
    shop.close().await;
}

#[tokio::test]
async fn a_clock_that_steps_back_forgets_nothing() {
    let shop = open().await;
    counted(&shop, &delivery("a", ON_TIME)).await;
    shop.pass(-3 * HALF_LIFE_MS);
    let (lane, _) = counted(&shop, &delivery("b", ON_TIME)).await;
    assert_eq!((lane.updated_ms, lane.total), (START_MS, 2 * PPM));
    assert_eq!(known(&shop).await.total, 2 * PPM);
    shop.pass(4 * HALF_LIFE_MS);
    assert_eq!(known(&shop).await.total, PPM, "one half-life after the newest moment");
    shop.close().await;
}

#[tokio::test]
async fn days_are_counted_up_to_thirty_and_more() {
    let shop = open().await;
    for (name, transit_days) in [("a", 0), ("b", 30), ("c", 31), ("d", 400), ("e", u16::MAX)] {
        counted(&shop, &delivery(name, DeliveryOutcome::Late { transit_days })).await;
    }
    let (lane, _) = counted(&shop, &delivery("f", DeliveryOutcome::Failed)).await;
    assert_eq!((lane.days[0], lane.days[30], lane.days[31]), (PPM, PPM, 3 * PPM));
    assert_eq!((lane.total, lane.on_time, lane.failed), (6 * PPM, 0, PPM));
    assert_eq!(lane.days.iter().sum::<u64>(), 5 * PPM, "what never came took no days");
    assert_eq!(lane.days_within(40, PPM), Some(30));
    shop.close().await;
}

/// What a selection shrinks by: the lane, its carrier, and the belief.
#[tokio::test]
async fn a_thin_lane_leans_on_its_carrier() {
    let shop = open().await;
    let prior = Prior { on_time: Reliability::from_ppm(900_000), weight: 20 };
    for number in 0..20 {
        counted(&shop, &delivery_by(&format!("fr {number}"), "dhl", "parcel", "DE-10:FR")).await;
    }
    counted(&shop, &delivery("us", LATE)).await;
    let asked = [("dhl", "parcel"), ("dhl", "express"), ("ups", "parcel")];
    let asked = asked.map(|(name, of)| (carrier(name), service(of)));
    let known = shop.store.carrier_deliveries(&lane("DE-10:US"), &asked, &TERMS).await.unwrap();
    assert_eq!(known.services.len(), 1, "{known:?}");
    let (own, whole) = (&known.services[&asked[0]], &known.carriers[&carrier("dhl")]);
    assert_eq!((own.total, whole.total, whole.on_time), (PPM, 21 * PPM, 20 * PPM));
    // 38 of 41, then 20 × that of 21.
    assert_eq!(prior.of_carrier(whole).ppm(), 926_829);
    assert_eq!(prior.of_lane(own, whole).ppm(), 882_694);
    assert!(!known.carriers.contains_key(&carrier("ups")));
    let nothing = shop.store.carrier_deliveries(&lane("DE-10:US"), &[], &TERMS).await.unwrap();
    assert!(nothing.services.is_empty() && nothing.carriers.is_empty());
    shop.close().await;
}

#[tokio::test]
async fn records_go_when_they_are_old_a_hundred_at_a_time() {
    let shop = open().await;
    let record_count = async || {
        let kept = format!("{}:{{carriers}}:rec", shop.settings.namespace);
        let by_time = format!("{}:{{carriers}}:recorded", shop.settings.namespace);
        let counts: (u64, u64) = (
            shop.redis(redis::cmd("HLEN").arg(&kept)).await,
            shop.redis(redis::cmd("ZCARD").arg(&by_time)).await,
        );
        assert_eq!(counts.0, counts.1);
        counts.0
    };
    let old: Vec<_> = (0..250).map(|number| delivery(&format!("old {number}"), ON_TIME)).collect();
    join_all(old.iter().map(|one| record(&shop, one))).await;
    shop.pass(RETENTION_MS);
    counted(&shop, &delivery("n1", ON_TIME)).await;
    assert_eq!(record_count().await, 251, "as old as they may be");
    shop.pass(1);
    counted(&shop, &delivery("n2", ON_TIME)).await;
    assert_eq!(record_count().await, 152);
    // What is left of them is as good as ever; who is gone counts again.
    let kept = record(&shop, &delivery("old 99", ON_TIME)).await;
    assert!(matches!(kept, RecordedDelivery::Replayed { .. }), "{kept:?}");
    assert_eq!(counted(&shop, &delivery("old 0", ON_TIME)).await.0.count, 253);
    assert_eq!(record_count().await, 53);
    shop.close().await;
}

#[tokio::test]
async fn a_key_of_the_wrong_type_is_named_and_nothing_is_half_written() {
    let shop = open().await;
    counted(&shop, &delivery("a", ON_TIME)).await;
    for rest in ["deliveries", "names", "rec", "recorded", "ev"] {
        let spoilt = format!("{}:{{carriers}}:{rest}", shop.settings.namespace);
        let kept = format!("{spoilt}-kept");
        shop.redis::<()>(redis::cmd("RENAME").arg(&spoilt).arg(&kept)).await;
        shop.redis::<()>(redis::cmd("SET").arg(&spoilt).arg("not what it must be")).await;
        let before = shop.dump().await;
        let fault = shop.store.record_delivery(&delivery("b", LATE), &TERMS).await.unwrap_err();
        let StoreError::WrongType { detail } = &fault else { panic!("{rest}: {fault:?}") };
        assert!(detail.contains(&spoilt), "{detail}");
        assert_eq!(shop.dump().await, before, "{rest}");
        shop.redis::<()>(redis::cmd("RENAME").arg(&kept).arg(&spoilt)).await;
    }
    let (lane, _) = counted(&shop, &delivery("b", LATE)).await;
    assert_eq!(lane.count, 2);
    shop.close().await;
}

#[tokio::test]
async fn what_does_not_parse_stops_only_who_would_write_it() {
    let shop = open().await;
    counted(&shop, &delivery("a", ON_TIME)).await;
    let of = format!("{}:{{carriers}}", shop.settings.namespace);
    for (rest, field, bad) in [
        ("deliveries", "dhl parcel DE-10:US", "1 2 3"),
        ("deliveries", "dhl", "nonsense"),
        ("rec", "- b", "nonsense"),
    ] {
        let key = format!("{of}:{rest}");
        let good: Option<String> = shop.redis(redis::cmd("HGET").arg(&key).arg(field)).await;
        shop.redis::<i64>(redis::cmd("HSET").arg(&key).arg(field).arg(bad)).await;
        let before = shop.dump().await;
        let fault = shop.store.record_delivery(&delivery("b", LATE), &TERMS).await.unwrap_err();
        assert!(matches!(&fault, StoreError::Broken { what } if what == field), "{field}: {fault:?}");
        assert_eq!(shop.dump().await, before);
        counted(&shop, &delivery_by(field, "ups", "parcel", "DE-10:US")).await;
        known(&shop).await;
        match good {
            Some(good) => shop.redis::<i64>(redis::cmd("HSET").arg(&key).arg(field).arg(good)).await,
            None => shop.redis::<i64>(redis::cmd("HDEL").arg(&key).arg(field)).await,
        };
    }
    assert_eq!(counted(&shop, &delivery("b", LATE)).await.0.count, 2);
    shop.close().await;
}

#[tokio::test]
async fn a_redis_that_forgot_the_script_gets_it_again() {
    let shop = open().await;
    shop.forget_scripts().await;
    counted(&shop, &delivery("a", ON_TIME)).await;
    shop.forget_scripts().await;
    assert!(matches!(record(&shop, &delivery("a", ON_TIME)).await, RecordedDelivery::Replayed { .. }));
    assert_eq!(counted(&shop, &delivery("b", ON_TIME)).await.0.count, 2);
    shop.close().await;
}

#[tokio::test]
async fn another_number_of_partitions_leaves_carriers_alone() {
    let (shop, _) = lived_in(4).await;
    counted(&shop, &delivery("a", ON_TIME)).await;
    counted(&shop, &delivery_by("b", "ups", "express", "DE:FR")).await;
    let carriers = async || {
        let dump = shop.dump().await;
        dump.lines().filter(|line| line.starts_with("carriers:")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = carriers().await;
    assert!(before.len() > 10, "{before:?}");
    move_to(&shop.settings, 16).await.unwrap();
    assert_eq!(carriers().await, before);
    let moved = shop.gateway_of(Partitions::new(16).unwrap());
    assert!(matches!(record(&moved, &delivery("a", ON_TIME)).await, RecordedDelivery::Replayed { .. }));
    moved.close().await;
}
