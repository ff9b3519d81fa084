//! Workers one by one: what they leave behind when they stop, whom they serve first, and what they say.

use std::time::Duration;

use stockgate::{
    domain::{Partition, Partitions, Sku},
    proto::ReserveRequest,
};
use tokio::time::Instant;

use crate::{
    cluster_client::Raw,
    gateway::{SOON, Setup, eventually},
    gateway_calls::line,
    gateway_receiver::{Mode, Receiver, SECRET},
    gateway_redis::Redis,
};

/// SKUs of one partition of sixteen.
fn skus_of(partition: u16) -> impl Iterator<Item = String> {
    let sixteen = Partitions::new(16).unwrap();
    let is_there = move |name: &String| sixteen.of(&Sku::parse(name).unwrap()) == Partition(partition);
    (0..).map(|n| format!("sku-{n}")).filter(is_there)
}

#[tokio::test]
async fn a_worker_that_stops_leaves_no_consumer_and_nothing_unread() {
    let web = Receiver::start().await;
    let setup = Setup::on_one_partition(Redis::shared().await).channel("web", &web.url(), SECRET, "");
    let gateway = setup.serve_as("gateway").await;
    let events = format!("{}:{{p0}}:ev", setup.namespace);
    let mut redis = Redis::shared().await.connection().await;
    for round in 0..3 {
        let mut worker = setup.serve_as("worker").await;
        for n in 0..20 {
            gateway.put(&[(&format!("a{n}"), round + 1)]).await;
        }
        worker.terminate();
        gateway.put(&[("last", round + 1)]).await;
        assert_eq!(worker.ended().await.code(), Some(0));
        let consumers: Vec<redis::Value> = redis::cmd("XINFO")
            .arg("CONSUMERS")
            .arg(&events)
            .arg("fanout")
            .query_async(&mut redis)
            .await
            .unwrap();
        assert!(consumers.is_empty(), "{consumers:?}");
    }
    let _worker = setup.serve_as("worker").await;
    let since = Instant::now();
    gateway.in_sync("web", "last").await;
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
}

#[tokio::test]
async fn what_a_dead_worker_had_read_is_told_long_before_a_lease_is_over() {
    let web = Receiver::start().await;
    let setup = Setup::on(Redis::shared().await)
        .set("redis.partitions = 16")
        .set(r#"propagation.lease = "10m""#)
        .channel("web", &web.url(), SECRET, "");
    // In the last partition: what is taken over in one turn must not end before it.
    let sku = skus_of(15).next().unwrap();
    let gateway = setup.serve_as("gateway").await;
    let (events, policies) =
        (format!("{}:{{p15}}:ev", setup.namespace), format!("{}:policies", setup.namespace));
    let mut redis = Redis::shared().await.connection().await;
    gateway.put(&[(&sku, 10)]).await;
    let mut worker = setup.serve_as("worker").await;
    eventually("the worker has told all stock", SOON, async || {
        let told: bool =
            redis::cmd("HEXISTS").arg(&policies).arg("web").query_async(&mut redis).await.unwrap();
        told.then_some(())
    })
    .await;
    worker.terminate();
    worker.ended().await;
    gateway.sell("k", &sku, 1).await;
    let mut command = redis::cmd("XREADGROUP");
    command.arg("GROUP").arg("fanout").arg("dead").arg("STREAMS").arg(&events).arg(">");
    let read: redis::Value = command.query_async(&mut redis).await.unwrap();
    assert_ne!(read, redis::Value::Nil);
    let _worker = setup.serve_as("worker").await;
    gateway.in_sync("web", &sku).await;
    assert_eq!(web.shows(&sku).unwrap().quantity, 9);
}

#[tokio::test]
async fn a_crowded_partition_does_not_keep_another_waiting() {
    let web = Receiver::start().await;
    web.set(Mode::Mute);
    let gateway = Setup::on(Redis::shared().await)
        .set("redis.partitions = 16")
        .channel("web", &web.url(), SECRET, "concurrency = 1\ntimeout = \"20s\"")
        .serve()
        .await;
    for sku in skus_of(3).take(60) {
        gateway.put(&[(&sku, 10)]).await;
    }
    let alone = skus_of(9).next().unwrap();
    gateway.put(&[(&alone, 10)]).await;
    eventually("all are due", SOON, async || {
        let status = gateway.told("web", &alone).await;
        status.next_attempt_time.is_some().then_some(())
    })
    .await;
    web.set(Mode::Up);
    gateway.in_sync("web", &alone).await;
    let place = web.heard().iter().position(|heard| heard.sku == alone).unwrap();
    assert!(place < 10, "it was told as number {place}");
}

#[tokio::test]
async fn a_broken_partition_does_not_keep_holds_of_others_alive() {
    let setup = Setup::on(Redis::shared().await)
        .set("redis.partitions = 16")
        .set(r#"holds.sweep_interval = "100ms""#);
    let gateway = setup.serve().await;
    let sku = skus_of(9).next().unwrap();
    gateway.put(&[(&sku, 10)]).await;
    let mut redis = Redis::shared().await.connection().await;
    let broken = format!("{}:{{p3}}:hx", setup.namespace);
    redis::cmd("SET").arg(broken).arg("wrong").query_async::<()>(&mut redis).await.unwrap();
    let request = ReserveRequest {
        idempotency_key: "r".to_owned(),
        lines: vec![line(&sku, 4)],
        ttl: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..ReserveRequest::default()
    };
    gateway.stock().reserve(request).await.unwrap();
    assert_eq!(gateway.level(&sku).await.held, 4);
    eventually("the hold is over", SOON, async || (gateway.level(&sku).await.held == 0).then_some(())).await;
}

#[tokio::test]
async fn a_channel_that_fails_is_logged_when_it_begins_and_when_it_ends() {
    let web = Receiver::start().await;
    web.set(Mode::Unavailable);
    let mut gateway = Setup::on(Redis::shared().await)
        .set(r#"propagation.backoff_first = "20ms""#)
        .set(r#"propagation.backoff_cap = "50ms""#)
        .set(r#"propagation.breaker_first = "20ms""#)
        .set(r#"propagation.breaker_cap = "50ms""#)
        .channel("web", &web.url(), SECRET, "")
        .serve()
        .await;
    gateway.put(&[("a", 10), ("b", 10), ("c", 10)]).await;
    let fails = "a channel fails: what it was not told is retried";
    assert_eq!(gateway.logged(fails).await["channel"], "web");
    eventually("many failures", SOON, async || (web.calls() > 20).then_some(())).await;
    assert_eq!(gateway.log_count(fails), 1);
    assert_eq!(gateway.log_count("a channel was not told about a SKU"), 0);
    web.set(Mode::Up);
    gateway.logged("a channel works again").await;
}

#[tokio::test]
async fn an_idle_worker_asks_redis_for_next_to_nothing() {
    /// Far above what is measured, far below what looking for work all the time would cost.
    const PER_SECOND_MAX: f64 = 30.0;

    let redis = Redis::start_with(&["--appendonly", "no"]).await;
    let web = Receiver::start().await;
    let mut setup = Setup::on(&redis);
    for n in 0..10 {
        setup = setup.channel(&format!("web-{n}"), &web.url(), SECRET, "");
    }
    let gateway = setup.serve_as("gateway").await;
    gateway.put(&[("a", 5)]).await;
    let mut worker = setup.serve_as("worker").await;
    for n in 0..10 {
        gateway.in_sync(&format!("web-{n}"), "a").await;
    }
    drop(gateway);
    worker.logged("a new channel is told about all stock").await;
    let mut connection = redis.connection().await;
    let (mut commands_before, mut since) = (commands(&mut connection).await, Instant::now());
    // The first seconds of a worker are not idle ones: what is counted is the calmest stretch of a few.
    let mut calmest = f64::MAX;
    for _ in 0..3 {
        eventually("a stretch of three seconds", SOON, async || {
            (since.elapsed() >= Duration::from_secs(3)).then_some(())
        })
        .await;
        let (commands_now, now) = (commands(&mut connection).await, Instant::now());
        let per_second = (commands_now - commands_before) as f64 / (now - since).as_secs_f64();
        println!("an idle worker with ten channels: {per_second:.1} commands per second");
        calmest = calmest.min(per_second);
        (commands_before, since) = (commands_now, now);
    }
    assert!(calmest <= PER_SECOND_MAX, "{calmest:.1} commands per second");
    worker.terminate();
    assert_eq!(worker.ended().await.code(), Some(0));
}

/// How many commands a Redis has carried out so far; those inside scripts too.
async fn commands(connection: &mut Raw) -> u64 {
    let info: String = redis::cmd("INFO").arg("stats").query_async(connection).await.unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.unwrap().trim().parse().unwrap()
}
