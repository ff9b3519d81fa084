//! Reading what happened: watches that go on after a restart, and pages that show every event once.

use stockgate::proto::{EventKind, EventOrder, ListEventsRequest, WatchStockRequest, WatchStockResponse};
use tokio::time::timeout;
use tonic::Streaming;

use crate::{
    gateway::{Gateway, SOON, Setup},
    gateway_redis::Redis,
};

async fn watch(gateway: &Gateway, skus: &[&str], resume_token: &str) -> Streaming<WatchStockResponse> {
    let request = WatchStockRequest {
        skus: skus.iter().map(|&sku| sku.to_owned()).collect(),
        resume_token: resume_token.to_owned(),
    };
    gateway.stock().watch_stock(request).await.unwrap().into_inner()
}

async fn next(watch: &mut Streaming<WatchStockResponse>) -> WatchStockResponse {
    timeout(SOON, watch.message()).await.expect("an answer in time").unwrap().expect("the stream goes on")
}

/// The next changes as SKU, version and available.
async fn changes(watch: &mut Streaming<WatchStockResponse>, count: usize) -> Vec<(String, i64, i64)> {
    let mut seen = Vec::new();
    for _ in 0..count {
        let response = next(watch).await;
        let (event, stock) = (response.event.expect("a change"), response.stock.unwrap());
        assert_eq!((event.version, event.available), (stock.version, stock.available));
        seen.push((event.sku, event.version, event.available));
    }
    seen
}

fn seen(list: &[(&str, i64, i64)]) -> Vec<(String, i64, i64)> {
    list.iter().map(|(sku, version, available)| ((*sku).to_owned(), *version, *available)).collect()
}

#[tokio::test]
async fn a_watch_goes_on_after_a_restart_without_gap_or_repeat() {
    let setup = Setup::on(Redis::shared().await);
    let mut gateway = setup.serve().await;
    gateway.put(&[("a", 10), ("b", 20)]).await;
    let mut one = watch(&gateway, &["a", "nobody"], "").await;
    let snapshot = next(&mut one).await;
    assert_eq!((snapshot.event, snapshot.stock.unwrap().available), (None, 10));
    let mut all = watch(&gateway, &[], "").await;
    for n in 0..3 {
        gateway.sell(&format!("a{n}"), "a", 1).await;
        gateway.sell(&format!("b{n}"), "b", 2).await;
    }
    assert_eq!(changes(&mut one, 3).await, seen(&[("a", 2, 9), ("a", 3, 8), ("a", 4, 7)]));
    assert_eq!(changes(&mut all, 3).await, seen(&[("a", 2, 9), ("b", 2, 18), ("a", 3, 8)]));
    let token = next(&mut all).await.resume_token;

    gateway.kill();
    let gateway = setup.serve().await;
    let mut resumed = watch(&gateway, &[], &token).await;
    assert_eq!(changes(&mut resumed, 2).await, seen(&[("a", 4, 7), ("b", 4, 14)]));
    gateway.sell("a3", "a", 1).await;
    assert_eq!(changes(&mut resumed, 1).await, seen(&[("a", 5, 6)]));
}

#[tokio::test]
async fn pages_of_events_show_each_once_in_both_directions() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 1000), ("b", 1000)]).await;
    // Sent at once, so that entries of the stream hold several events and pages end inside of entries.
    let sales: Vec<_> = (0..230)
        .map(|n| {
            let mut stock = gateway.stock();
            let sku = if n % 3 == 0 { "b" } else { "a" };
            let request = crate::gateway_calls::sale(&format!("k{n}"), sku, 1);
            tokio::spawn(async move { stock.decrement(request).await })
        })
        .collect();
    for sale in sales {
        sale.await.unwrap().unwrap();
    }
    let oldest_first = gateway.events("", EventOrder::OldestFirst).await;
    let mut newest_first = gateway.events("", EventOrder::NewestFirst).await;
    assert_eq!(newest_first[0].kind(), EventKind::Decremented);
    newest_first.reverse();
    assert_eq!(oldest_first, newest_first);
    let mut ids: Vec<_> = oldest_first.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!(ids.len(), 232);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 232, "an event was shown twice");
    for sku in ["a", "b"] {
        let of_sku: Vec<_> = oldest_first.iter().filter(|event| event.sku == sku).cloned().collect();
        assert_eq!(gateway.events(sku, EventOrder::OldestFirst).await, of_sku);
        let versions: Vec<_> = of_sku.iter().map(|event| event.version).collect();
        assert_eq!(versions, (1..=i64::try_from(of_sku.len()).unwrap()).collect::<Vec<_>>());
        let sum: i64 = of_sku.iter().map(|event| event.on_hand_delta).sum();
        assert_eq!(sum, gateway.level(sku).await.on_hand);
    }
    let last = oldest_first.last().unwrap();
    let since = ListEventsRequest { start_time: last.event_time, ..ListEventsRequest::default() };
    let since = gateway.inventory().list_events(since).await.unwrap().into_inner().events;
    assert!(since.contains(last) && since.iter().all(|event| event.event_time == last.event_time));
}
