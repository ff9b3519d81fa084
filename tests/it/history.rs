//! Pages of events over all partitions: in the order of their entries, each once, also when more happens between pages.

use stockgate::{
    domain::{Event, EventId},
    store::{EntryId, EventScope},
};

use crate::{
    harness::{Shop, both},
    requests::*,
};

const SKUS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];

/// All events, page by page; `between` happens after each page.
async fn pages(shop: &Shop, newest_first: bool, between: impl AsyncFn(usize)) -> Vec<Event> {
    let at_ms = i64::MIN..i64::MAX;
    let scope = EventScope { sku: None, first: EntryId::default(), last: EntryId::END, at_ms, newest_first };
    let (mut events, mut position) = (Vec::new(), Vec::new());
    for number in 0.. {
        let page = shop.store.event_page(&scope, &position, 3).await.unwrap();
        events.extend(page.events);
        match page.next {
            Some(next) => position = next,
            None => break,
        }
        between(number).await;
    }
    events
}

fn places(events: &[Event]) -> Vec<(u64, u64)> {
    events.iter().map(|event| (event.id.entry_ms, event.id.entry_seq)).collect()
}

/// One partition's events all older than the others', so that early pages take nothing from some.
async fn shop_with_a_past(partitions: stockgate::domain::Partitions) -> Shop {
    let shop = Shop::open(partitions).await;
    for name in SKUS {
        shop.stock(&[(name, 1_000)]).await;
        for n in 0..5 {
            shop.applied(&decrement(&format!("{name} {n}"), &[(name, 1)])).await;
        }
    }
    shop
}

#[tokio::test]
async fn newest_first_stays_in_order_while_more_is_sold() {
    for partitions in both() {
        let shop = shop_with_a_past(partitions).await;
        let sell = async |number: usize| {
            for name in SKUS {
                shop.applied(&decrement(&format!("meanwhile {name} {number}"), &[(name, 1)])).await;
            }
        };
        let seen = pages(&shop, true, sell).await;
        let mut sorted = places(&seen);
        sorted.sort_unstable_by(|one, other| other.cmp(one));
        assert_eq!(places(&seen), sorted, "{partitions:?}");
        assert_eq!(seen.len(), SKUS.len() * 6, "what was there at the first page, each once");
        shop.close().await;
    }
}

#[tokio::test]
async fn both_directions_show_each_event_once() {
    for partitions in both() {
        let shop = shop_with_a_past(partitions).await;
        let nothing = async |_| {};
        let ids = |events: &[Event]| events.iter().map(|event| event.id).collect::<Vec<EventId>>();
        let oldest_first = ids(&pages(&shop, false, nothing).await);
        let mut newest_first = ids(&pages(&shop, true, nothing).await);
        newest_first.reverse();
        assert_eq!(oldest_first, newest_first);
        assert_eq!(oldest_first.len(), SKUS.len() * 6);
        shop.close().await;
    }
}
