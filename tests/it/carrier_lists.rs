//! What was measured of carriers, page by page, and quotes kept for a moment.

use std::time::Duration;

use stockgate::{
    domain::{
        Partitions,
        carrier::{PPM, SourceId},
    },
    store::{DeliveriesPosition, DeliveriesRow},
};

use crate::{
    carrier_store::{LATE, TERMS, carrier, delivery, delivery_by},
    harness::Shop,
};

async fn add(shop: &Shop, carrier: &str, service: &str, lane: &str) {
    let delivery = delivery_by(&format!("{carrier} {service} {lane}"), carrier, service, lane);
    shop.store.record_delivery(&delivery, &TERMS).await.unwrap();
}

fn name(row: &DeliveriesRow) -> String {
    match &row.lane {
        Some((service, lane)) => format!("{} {service} {lane}", row.carrier),
        None => row.carrier.to_string(),
    }
}

/// All rows by pages of two; `between` happens after each page.
async fn pages(shop: &Shop, only: Option<&str>, between: impl AsyncFn(usize)) -> Vec<String> {
    let only = only.map(carrier);
    let (mut names, mut after) = (Vec::new(), None::<DeliveriesPosition>);
    for number in 0.. {
        let page = shop.store.list_deliveries(only.as_ref(), after.as_ref(), 2, &TERMS).await.unwrap();
        assert!(page.rows.len() <= 2);
        names.extend(page.rows.iter().map(name));
        // As it goes through a token.
        after = page.next.map(|next| DeliveriesPosition::after(next.as_str()));
        if after.is_none() {
            break;
        }
        between(number).await;
    }
    names
}

#[tokio::test]
async fn rows_come_by_name_each_carrier_before_its_services() {
    let shop = Shop::open(Partitions::ONE).await;
    assert_eq!(pages(&shop, None, async |_| {}).await, [""; 0]);
    for name in ["dhl_x", "dhl", "dhl-x", "dhl.x", "ups", "dhl0"] {
        add(&shop, name, "parcel", "DE:US").await;
    }
    add(&shop, "dhl", "express", "DE-10:US-9").await;
    add(&shop, "dhl", "parcel", "DE:FR").await;
    let dhl = ["dhl", "dhl express DE-10:US-9", "dhl parcel DE:FR", "dhl parcel DE:US"];
    let all = pages(&shop, None, async |_| {}).await;
    assert_eq!(all[..4], dhl);
    assert_eq!(all[4..6], ["dhl-x", "dhl-x parcel DE:US"]);
    assert_eq!(all.len(), 4 + 5 * 2);
    assert_eq!(pages(&shop, Some("dhl"), async |_| {}).await, dhl);
    assert_eq!(pages(&shop, Some("dh"), async |_| {}).await, [""; 0]);
    shop.close().await;
}

#[tokio::test]
async fn pages_miss_nothing_and_repeat_nothing_while_others_come_in() {
    let shop = Shop::open(Partitions::ONE).await;
    let names: Vec<String> = (0..9).map(|number| format!("m{number}")).collect();
    for name in &names {
        add(&shop, name, "parcel", "DE:US").await;
    }
    let meanwhile = async |number: usize| {
        if number < 5 {
            add(&shop, &format!("a{number}"), "parcel", "DE:US").await;
            add(&shop, &format!("z{number}"), "parcel", "DE:US").await;
        }
    };
    let seen = pages(&shop, None, meanwhile).await;
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(seen, sorted);
    for name in &names {
        assert!(seen.contains(name) && seen.contains(&format!("{name} parcel DE:US")), "{name}: {seen:?}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_row_has_its_own_counts_and_those_of_its_carrier() {
    let shop = Shop::open(Partitions::ONE).await;
    shop.store.record_delivery(&delivery("late", LATE), &TERMS).await.unwrap();
    add(&shop, "dhl", "parcel", "DE:FR").await;
    let page = shop.store.list_deliveries(None, None, 100, &TERMS).await.unwrap();
    assert_eq!(page.next, None);
    let [whole, late, fine] = &page.rows[..] else { panic!("{page:?}") };
    assert_eq!((whole.deliveries.total, whole.deliveries.on_time), (2 * PPM, PPM));
    for row in [late, fine] {
        assert_eq!((row.deliveries.total, &row.of_carrier), (PPM, &whole.deliveries));
    }
    // Read later, it has faded.
    shop.pass(i64::try_from(TERMS.half_life.as_millis()).unwrap());
    let page = shop.store.list_deliveries(None, None, 1, &TERMS).await.unwrap();
    assert_eq!((page.rows[0].deliveries.total, page.rows[0].deliveries.count), (PPM, 2));
    assert_eq!(page.next.as_ref().map(DeliveriesPosition::as_str), Some("dhl"));
    shop.close().await;
}

#[tokio::test]
async fn quotes_are_kept_for_a_while_byte_by_byte() {
    let shop = Shop::open(Partitions::ONE).await;
    let sources = ["easypost", "shippo"].map(|name| SourceId::parse(name).unwrap());
    let ttl = Duration::from_secs(600);
    let payload = [0, 255, b'\n', 0x80];
    shop.store.put_cached_quotes(7, &sources[1], &payload, ttl).await.unwrap();
    shop.store.put_cached_quotes(8, &sources[0], b"unkept", Duration::ZERO).await.unwrap();
    let cached = async |asked| shop.store.cached_quotes(asked, &sources).await.unwrap();
    assert_eq!(cached(7).await, [None, Some(payload.to_vec())]);
    assert_eq!(cached(8).await, [None, None]);
    assert_eq!(shop.store.cached_quotes(7, &[]).await.unwrap(), Vec::<Option<Vec<u8>>>::new());
    let of = format!("{}:{{carriers}}:quotes:*", shop.settings.namespace);
    let kept: Vec<String> = shop.redis(redis::cmd("KEYS").arg(&of)).await;
    assert_eq!(kept.len(), 1);
    let left_ms: u64 = shop.redis(redis::cmd("PTTL").arg(&kept[0])).await;
    assert!((1..=600_000).contains(&left_ms), "{left_ms}");
    shop.redis::<i64>(redis::cmd("PEXPIRE").arg(&kept[0]).arg(0)).await;
    assert_eq!(cached(7).await, [None, None]);
    shop.close().await;
}
