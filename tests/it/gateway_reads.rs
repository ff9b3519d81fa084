//! Reads that may be a little old: from the copy of the gateway, never older than they say, and never of a Redis that is gone.

use std::time::{Duration, Instant};

use stockgate::proto::{BatchGetStockRequest, GetStockRequest, GetStockResponse};
use tonic::{Code, Request};

use crate::{
    gateway::{Gateway, SOON, Setup, eventually},
    gateway_calls::count,
    gateway_redis::Redis,
};

const HOUR: prost_types::Duration = prost_types::Duration { seconds: 3_600, nanos: 0 };

async fn read(gateway: &Gateway, sku: &str) -> GetStockResponse {
    let request = GetStockRequest { sku: sku.to_owned(), max_staleness: Some(HOUR) };
    gateway.stock().get_stock(request).await.unwrap().into_inner()
}

fn age(answer: &GetStockResponse) -> Duration {
    answer.age.unwrap().try_into().unwrap()
}

/// Waits until a SKU is answered from the copy.
async fn copied(gateway: &Gateway, sku: &str) -> GetStockResponse {
    eventually("it comes from the copy", SOON, async || {
        let answer = read(gateway, sku).await;
        (age(&answer) > Duration::ZERO).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn every_change_older_than_the_age_is_in_the_answer() {
    let setup = Setup::on(Redis::shared().await);
    let (seller, reader) = (setup.serve_as("gateway").await, setup.serve_as("gateway").await);
    seller.put(&[("a", 1_000)]).await;
    copied(&reader, "a").await;
    let mut acknowledged = vec![(Instant::now(), 1)];
    let mut from_copy = 0;
    for number in 0..150 {
        let version = seller.sell(&format!("k{number}"), "a", 1).await.version;
        acknowledged.push((Instant::now(), version));
        let sent_at = Instant::now();
        let answer = read(&reader, "a").await;
        let (age, shown) = (age(&answer), answer.stock.unwrap());
        let fresh_at = sent_at.checked_sub(age).unwrap();
        let least = acknowledged.iter().filter(|(at, _)| *at < fresh_at).map(|(_, version)| *version).max();
        assert!(shown.version >= least.unwrap_or(0), "{shown:?} of {age:?} ago lacks version {least:?}");
        assert_eq!(shown.on_hand, 1_001 - shown.version);
        from_copy += usize::from(age > Duration::ZERO);
    }
    assert!(from_copy > 100, "only {from_copy} of 150 came from the copy");
    eventually("the last sale is in the copy", SOON, async || {
        let stock = read(&reader, "a").await.stock.unwrap();
        (stock.on_hand == 850).then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_skus_are_read_at_once_from_both_places() {
    let setup = Setup::on(Redis::shared().await);
    let gateway = setup.serve().await;
    gateway.put(&[("a", 1), ("b", 2)]).await;
    copied(&gateway, "a").await;
    let skus = ["b", "nobody-made-this", "a"].map(str::to_owned).to_vec();
    let request = BatchGetStockRequest { skus, max_staleness: Some(HOUR) };
    let answer = gateway.stock().batch_get_stock(request).await.unwrap().into_inner();
    let counts: Vec<_> = answer.stocks.iter().map(|stock| (stock.sku.as_str(), stock.on_hand)).collect();
    assert_eq!(counts, [("b", 2), ("a", 1)]);
    assert_eq!(answer.unknown_skus, ["nobody-made-this"]);
    assert!(Duration::try_from(answer.age.unwrap()).unwrap() > Duration::ZERO);
    let (_, metrics) = gateway.page("/metrics").await;
    assert!(metrics.contains("stockgate_reads_total{source=\"copy\"}"), "{metrics}");
}

#[tokio::test]
async fn a_frozen_redis_is_read_from_the_copy_only_by_who_allows_it() {
    let redis = Redis::start().await;
    let setup = Setup::on(&redis).set(r#"redis.response_timeout = "1m""#);
    let gateway = setup.serve_as("gateway").await;
    gateway.put(&[("a", 7)]).await;
    copied(&gateway, "a").await;
    redis.freeze();
    let frozen_at = Instant::now();
    let answer = eventually("it grows old", SOON, async || {
        let answer = read(&gateway, "a").await;
        (age(&answer) > Duration::from_millis(100)).then_some(answer)
    })
    .await;
    assert_eq!(answer.stock.as_ref().unwrap().on_hand, 7);
    assert!(age(&answer) <= frozen_at.elapsed() + SOON);
    for max_staleness in [None, Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 })] {
        let mut request = Request::new(GetStockRequest { sku: "a".to_owned(), max_staleness });
        request.set_timeout(Duration::from_millis(300));
        let refused = gateway.stock().get_stock(request).await.unwrap_err();
        // The client keeps the deadline as well, and calls it by another name when its clock is first.
        assert!(matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled), "{refused}");
    }
    redis.thaw();
    let stock = gateway.stock().get_stock(GetStockRequest { sku: "a".to_owned(), max_staleness: None }).await;
    assert_eq!(stock.unwrap().into_inner().stock.unwrap().on_hand, 7);
}

#[tokio::test]
async fn what_a_redis_that_lost_its_data_knew_is_not_shown_again() {
    let mut redis = Redis::start_with(&["--appendonly", "no"]).await;
    let gateway = Setup::on(&redis).serve_as("gateway").await;
    gateway.put(&[("a", 10)]).await;
    for number in 0..5 {
        gateway.sell(&format!("k{number}"), "a", 1).await;
    }
    assert_eq!(copied(&gateway, "a").await.stock.unwrap().version, 6);
    redis.kill().await;
    redis.raise().await;
    gateway.readiness(200).await;
    // The gateway may learn only now that its connection is gone: its caller repeats.
    eventually("the count is set", SOON, async || {
        gateway.inventory().set_stock(count("count", "a", 3)).await.ok()
    })
    .await;
    // What it learns the copy hears at its next turn; from then on the old count is gone.
    let known = async || {
        let stock = copied(&gateway, "a").await.stock.unwrap();
        (stock.on_hand, stock.version)
    };
    eventually("the old count is gone", SOON, async || (known().await == (3, 1)).then_some(())).await;
    for _ in 0..10 {
        assert_eq!(known().await, (3, 1));
    }
}
