//! Reading what happened: watches that go on after a restart, and pages that show every event once.

use stockgate::proto::{EventKind, EventOrder, ListEventsRequest, WatchStockRequest, WatchStockResponse};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;

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
    let setup = Setup::on_one_partition(Redis::shared().await);
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
    let since =
        ListEventsRequest { start_time: last.event_time, page_size: 1000, ..ListEventsRequest::default() };
    let since = gateway.inventory().list_events(since).await.unwrap().into_inner().events;
    assert!(since.contains(last) && since.iter().all(|event| event.event_time == last.event_time));
}

#[tokio::test]
async fn only_the_last_count_at_the_start_can_be_gone_on_from() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 1), ("b", 2), ("c", 3)]).await;
    let mut counts = watch(&gateway, &["a", "b", "c", "nobody"], "").await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(next(&mut counts).await.resume_token);
    }
    assert_eq!((tokens[0].as_str(), tokens[1].as_str()), ("", ""));
    gateway.sell("k", "b", 1).await;
    let mut resumed = watch(&gateway, &["a", "b", "c", "nobody"], &tokens[2]).await;
    assert_eq!(changes(&mut resumed, 1).await, seen(&[("b", 2, 1)]));
}

#[tokio::test]
async fn a_token_of_a_watch_of_other_skus_is_refused() {
    let gateway = Setup::on(Redis::shared().await).set("redis.partitions = 16").serve().await;
    let names: Vec<String> = (0..16).map(|n| format!("s{n}")).collect();
    for name in &names {
        gateway.put(&[(name, 10)]).await;
    }
    let some: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut one = watch(&gateway, &some[..1], "").await;
    let of_one = next(&mut one).await.resume_token;
    let mut all = watch(&gateway, &[], "").await;
    gateway.sell("k", "s0", 1).await;
    let of_all = next(&mut all).await.resume_token;
    let empty = "dw"; // "w" and no place
    for (skus, token) in
        [(&some[..], &of_one), (&[], &of_one), (&some[..1], &of_all), (&[], &empty.to_owned())]
    {
        let skus: Vec<String> = skus.iter().map(|&sku| sku.to_owned()).collect();
        let request = WatchStockRequest { skus: skus.clone(), resume_token: token.clone() };
        let refused = gateway.stock().watch_stock(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{skus:?}: {refused:?}");
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "resume_token");
    }
    let mut resumed = watch(&gateway, &some[..1], &of_one).await;
    assert_eq!(changes(&mut resumed, 1).await, seen(&[("s0", 2, 9)]));
}

/// Opens watches while units are sold: between a watch's place in the stream and its count there are sales.
#[tokio::test]
async fn a_watch_never_goes_back_behind_its_count() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 1_000_000)]).await;
    let stop = CancellationToken::new();
    let sellers: Vec<_> = (0..8)
        .map(|seller| {
            let (mut stock, stop) = (gateway.stock(), stop.clone());
            tokio::spawn(async move {
                let mut n = 0;
                while !stop.is_cancelled() {
                    n += 1;
                    stock
                        .decrement(crate::gateway_calls::sale(&format!("{seller} {n}"), "a", 1))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for _ in 0..100 {
        let mut one = watch(&gateway, &["a"], "").await;
        let mut last = next(&mut one).await.stock.unwrap().version;
        for _ in 0..5 {
            let version = next(&mut one).await.stock.unwrap().version;
            assert_eq!(version, last + 1, "no gap, no repeat, not back");
            last = version;
        }
    }
    stop.cancel();
    for seller in sellers {
        seller.await.unwrap();
    }
}
