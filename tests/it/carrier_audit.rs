//! The audit trail of carriers: pages of the newest entries, of all orders or of one, and no more of them than are to be kept.

use futures_util::future::join_all;
use stockgate::{
    domain::{ClientId, Partitions, Text},
    store::{CarrierEntry, CarrierEventKind, EntryId, ForgettingTerms, KeptCarrierEvent},
};

use crate::{
    carrier_store::{ON_TIME, TERMS, delivery},
    harness::Shop,
};

fn entry(order: &str, payload: &[u8]) -> CarrierEntry {
    CarrierEntry {
        kind: CarrierEventKind::Selection,
        client: ClientId::anonymous(),
        order_ref: Text::parse(order.to_owned()).unwrap(),
        actor: Text::parse("bot".to_owned()).unwrap(),
        payload: payload.to_vec(),
    }
}

async fn append(shop: &Shop, order: &str, payload: &[u8]) -> EntryId {
    shop.store.append_carrier_event(&entry(order, payload), TERMS.audit_max).await.unwrap()
}

/// All entries by pages of three, and how many pages; `between` happens after each.
async fn pages(shop: &Shop, order: Option<&str>, between: impl AsyncFn()) -> (Vec<KeptCarrierEvent>, usize) {
    let (mut events, mut before) = (Vec::new(), None);
    for number in 1.. {
        let page = shop.store.carrier_events(order, before, 3).await.unwrap();
        assert!(page.events.len() <= 3);
        events.extend(page.events);
        before = page.next;
        if before.is_none() {
            return (events, number);
        }
        between().await;
    }
    unreachable!("pages end")
}

#[tokio::test]
async fn the_newest_come_first_each_once_while_more_happens() {
    let shop = Shop::open(Partitions::ONE).await;
    assert_eq!(pages(&shop, None, async || {}).await, (Vec::new(), 1));
    let mut ids = Vec::new();
    for number in 0..7_u8 {
        ids.push(append(&shop, &format!("order {}", number % 2), &[number, 0, 255]).await);
    }
    ids.reverse();
    let (seen, _) = pages(&shop, None, async || {
        append(&shop, "later", b"").await;
    })
    .await;
    assert_eq!(seen.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
    assert_eq!(seen[6].entry, entry("order 0", &[0, 0, 255]));

    shop.store.record_delivery(&delivery("k", ON_TIME), &TERMS).await.unwrap();
    let newest = shop.store.carrier_events(None, None, 1).await.unwrap().events.remove(0).entry;
    assert_eq!((newest.kind, newest.payload), (CarrierEventKind::Delivery, b"payload".to_vec()));
    let (of_one, _) = pages(&shop, Some("order 1"), async || {}).await;
    let numbers: Vec<u8> = of_one.iter().map(|event| event.entry.payload[0]).collect();
    assert_eq!(numbers, [5, 3, 1]);
    let (of_none, _) = pages(&shop, Some("order"), async || {}).await;
    assert_eq!(of_none, []);
    shop.close().await;
}

/// One page reads 5,000 entries at most.
#[tokio::test]
async fn a_rare_order_is_found_over_pages_that_come_back_short() {
    let shop = Shop::open(Partitions::ONE).await;
    let wanted = append(&shop, "rare", b"found").await;
    let mut many = redis::pipe();
    for _ in 0..6_000 {
        many.cmd("XADD").arg(format!("{}:{{carriers}}:ev", shop.settings.namespace)).arg("*");
        many.arg("kind").arg("selection").arg("client").arg("-").arg("order").arg("o").arg("actor").arg("");
        many.arg("payload").arg("").ignore();
    }
    many.query_async::<()>(&mut shop.raw().await).await.unwrap();
    let page = shop.store.carrier_events(Some("rare"), None, 3).await.unwrap();
    assert!(page.events.is_empty() && page.next.is_some(), "{page:?}");
    let (found, page_count) = pages(&shop, Some("rare"), async || {}).await;
    assert_eq!((found.len(), page_count), (1, 2));
    assert_eq!((found[0].id, &found[0].entry.payload[..]), (wanted, &b"found"[..]));
    shop.close().await;
}

#[tokio::test]
async fn an_entry_that_does_not_parse_hides_no_other() {
    let shop = Shop::open(Partitions::ONE).await;
    let first = append(&shop, "o", b"1").await;
    let mut spoil = redis::cmd("XADD");
    spoil.arg(format!("{}:{{carriers}}:ev", shop.settings.namespace)).arg("*").arg("kind").arg("nonsense");
    shop.redis::<String>(&mut spoil).await;
    let last = append(&shop, "o", b"2").await;
    for order in [None, Some("o")] {
        let seen = shop.store.carrier_events(order, None, 3).await.unwrap();
        let ids: Vec<EntryId> = seen.events.iter().map(|event| event.id).collect();
        assert_eq!((ids, seen.next), (vec![last, first], None), "{order:?}");
    }
    shop.close().await;
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many() {
    let shop = Shop::open(Partitions::ONE).await;
    let key = format!("{}:{{carriers}}:ev", shop.settings.namespace);
    let few = ForgettingTerms { audit_max: 50, ..TERMS };
    let deliveries: Vec<_> = (0..600).map(|number| delivery(&number.to_string(), ON_TIME)).collect();
    join_all(deliveries.iter().map(|one| shop.store.record_delivery(one, &few))).await;
    let kept: u64 = shop.redis(redis::cmd("XLEN").arg(&key)).await;
    // Redis drops whole nodes, of a hundred entries by default.
    assert!((50..=200).contains(&kept), "{kept}");
    let entry = entry("o", b"");
    join_all((0..600).map(|_| shop.store.append_carrier_event(&entry, 50))).await;
    let kept: u64 = shop.redis(redis::cmd("XLEN").arg(&key)).await;
    assert!((50..=200).contains(&kept), "{kept}");
    shop.close().await;
}
