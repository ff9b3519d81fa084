//! What a foreign Redis may do to a gateway: die, forget its scripts, come back without its data.

use std::time::Duration;

use stockgate::proto::{EventOrder, ReleaseRequest, ReserveRequest};
use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    gateway::{SOON, Setup, eventually},
    gateway_calls::{line, reason, sale},
    gateway_contract::health_of,
    gateway_receiver::{Receiver, SECRET},
    gateway_redis::Redis,
};

/// `grpc.health.v1` numbers.
const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

#[tokio::test]
async fn redis_gone_is_unavailable_and_its_return_needs_no_restart() {
    let mut redis = Redis::start().await;
    let gateway = Setup::on(&redis).serve().await;
    gateway.put(&[("a", 5)]).await;
    let sold = gateway.sell("k1", "a", 1).await;
    gateway.readiness(200).await;
    redis.kill().await;

    let started = Instant::now();
    let away = eventually("the gateway knows that nothing was sent", SOON, async || {
        let status = gateway.stock().decrement(sale("k2", "a", 1)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        (reason(&status) == "STORE_UNAVAILABLE").then_some(status)
    })
    .await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(away.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    let said = gateway.readiness(503).await;
    assert!(said.contains("redis"), "{said}");
    assert_eq!(gateway.page("/healthz").await.0, 200);
    for service in ["", "stockgate.v1.StockService"] {
        assert_eq!(health_of(&gateway, service).await.unwrap(), NOT_SERVING, "{service}");
    }

    redis.raise().await;
    let back = eventually("calls are answered again", SOON, async || {
        gateway.stock().decrement(sale("k2", "a", 1)).await.ok()
    })
    .await
    .into_inner();
    assert_eq!(back.lines[0].on_hand, 3);
    gateway.readiness(200).await;
    assert_eq!(health_of(&gateway, "").await.unwrap(), SERVING);
    let again = gateway.stock().decrement(sale("k1", "a", 1)).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(again.lines[0], sold);
}

#[tokio::test]
async fn forgotten_scripts_go_unnoticed() {
    let (redis, web) = (Redis::start().await, Receiver::start().await);
    let gateway = Setup::on(&redis).channel("web", &web.url(), SECRET, "").serve().await;
    gateway.put(&[("a", 1000)]).await;
    let mut connection = redis.connection().await;
    for round in 0..10 {
        redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut connection).await.unwrap();
        let calls: Vec<_> = (0..20)
            .map(|n| {
                let mut stock = gateway.stock();
                tokio::spawn(async move { stock.decrement(sale(&format!("k{round}/{n}"), "a", 1)).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        // The workers need their scripts again too.
        gateway.in_sync("web", "a").await;
    }
    assert_eq!(gateway.level("a").await.on_hand, 800);
    assert_eq!(gateway.sales("a").await.len(), 200);
    assert_eq!(web.shows("a").unwrap().quantity, 800);
    web.check();
}

#[tokio::test]
async fn a_redis_that_lost_its_data_is_used_again_and_channels_hear_what_is_new() {
    let (mut redis, web) = (Redis::start().await, Receiver::start().await);
    let setup = Setup::on(&redis).channel("web", &web.url(), SECRET, "");
    let gateway = setup.serve().await;
    gateway.put(&[("a", 5)]).await;
    gateway.sell("k1", "a", 1).await;
    gateway.in_sync("web", "a").await;
    assert_eq!(web.shows("a").unwrap().quantity, 4);

    redis.kill().await;
    gateway.readiness(503).await;
    redis.lose_data();
    redis.raise().await;
    gateway.readiness(200).await;
    assert!(gateway.events("", EventOrder::OldestFirst).await.is_empty(), "the data is lost");
    gateway.put(&[("a", 7), ("b", 9)]).await;
    gateway.sell("k2", "a", 1).await;
    for (sku, quantity) in [("a", 6), ("b", 9)] {
        gateway.in_sync("web", sku).await;
        assert_eq!(web.shows(sku).unwrap().quantity, quantity, "{sku}");
    }
    assert!(gateway.findings(false).await.is_empty());
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_not_ready_and_a_full_one_is() {
    let redis = Redis::start().await;
    let gateway = Setup::on(&redis).serve().await;
    gateway.put(&[("a", 5)]).await;
    gateway.readiness(200).await;
    let mut connection = redis.connection().await;
    let mut order = async |words: &str| {
        let mut command = redis::Cmd::new();
        words.split(' ').for_each(|word| {
            command.arg(word);
        });
        command.query_async::<()>(&mut connection).await.unwrap();
    };
    for (refuse, accept, code) in [
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "NOREPLICAS"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY"),
    ] {
        order(refuse).await;
        let said = gateway.readiness(503).await;
        assert!(said.contains(code), "{said}");
        assert_eq!(health_of(&gateway, "").await.unwrap(), NOT_SERVING);
        order(accept).await;
        gateway.readiness(200).await;
    }
    let hold = {
        let request = ReserveRequest {
            idempotency_key: "r".to_owned(),
            lines: vec![line("a", 1)],
            ..ReserveRequest::default()
        };
        gateway.stock().reserve(request).await.unwrap().into_inner().hold.unwrap()
    };
    order("CONFIG RESETSTAT").await;
    order("CONFIG SET maxmemory 1").await;
    gateway.stock().decrement(sale("full", "a", 1)).await.unwrap_err();
    eventually("a look at a full redis was taken in", SOON, async || {
        let mut ask = redis::cmd("INFO");
        let stats: String = ask.arg("commandstats").query_async(&mut redis.connection().await).await.unwrap();
        let of_hset = stats.lines().find(|line| line.starts_with("cmdstat_hset:"))?;
        // The second look comes after the first was told.
        of_hset.contains("rejected_calls=2").then_some(())
    })
    .await;
    assert_eq!(gateway.page("/readyz").await.0, 200);
    let request = ReleaseRequest {
        hold_id: hold.hold_id,
        idempotency_key: "l".to_owned(),
        ..ReleaseRequest::default()
    };
    gateway.stock().release(request).await.unwrap();
}
