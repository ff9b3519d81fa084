//! From a sale to what channels show: through receivers that are down or slow, and workers that die.

use std::time::Duration;

use stockgate::proto::{DecrementRequest, ListChannelsRequest};
use tokio::time::Instant;

use crate::{
    gateway::{SOON, Setup, eventually},
    gateway_calls::sale,
    gateway_receiver::{Mode, Receiver, SECRET},
    gateway_redis::Redis,
};

/// How long the sick receiver refuses connections, and then answers 503.
const REFUSES_FOR: Duration = Duration::from_secs(6);
const UNAVAILABLE_FOR: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_receiver_down_for_ten_seconds_hears_the_newest_number_and_no_older_one() {
    let sick = Receiver::start_after(REFUSES_FOR).await;
    sick.set(Mode::Unavailable);
    let (healthy, down_since) = (Receiver::start().await, Instant::now());
    let gateway = Setup::on(Redis::shared().await)
        .set(r#"propagation.backoff_first = "50ms""#)
        .set(r#"propagation.backoff_cap = "500ms""#)
        .set(r#"propagation.breaker_first = "50ms""#)
        .set(r#"propagation.breaker_cap = "500ms""#)
        .channel("sick", &sick.url(), SECRET, "")
        .channel("healthy", &healthy.url(), SECRET, "")
        .serve()
        .await;
    gateway.put(&[("a", 100), ("b", 100)]).await;
    let mut sold = 0_u32;
    let is_over = async || (down_since.elapsed() >= REFUSES_FOR + UNAVAILABLE_FOR).then_some(());
    while is_over().await.is_none() {
        gateway.sell(&format!("k{sold}"), "a", 1).await;
        sold += 1;
        // The healthy one hears each change while the other is down.
        gateway.in_sync("healthy", "a").await;
        let next = down_since + (REFUSES_FOR + UNAVAILABLE_FOR) * sold / 20;
        eventually("the next sale", SOON, async || (Instant::now() >= next).then_some(())).await;
    }
    let level = gateway.level("a").await;
    assert_eq!(level.on_hand, 100 - i64::from(sold));
    let status = gateway.told("sick", "a").await;
    assert!(!status.in_sync && status.attempts > 0, "{status:?}");
    assert!(status.last_error.contains("503"), "{status:?}");
    assert!(sick.calls() > 0 && sick.heard().is_empty(), "{:?}", sick.heard());

    sick.set(Mode::Up);
    gateway.in_sync("sick", "a").await;
    gateway.in_sync("sick", "b").await;
    assert_eq!(sick.versions("a"), [level.version], "an older number was told");
    assert_eq!(sick.shows("a").unwrap().quantity, level.available);
    for receiver in [&sick, &healthy] {
        receiver.check();
    }
}

#[tokio::test]
async fn a_slow_channel_delays_no_other() {
    let (slow, healthy) = (Receiver::start().await, Receiver::start().await);
    slow.set(Mode::Mute);
    let gateway = Setup::on(Redis::shared().await)
        .channel("slow", &slow.url(), SECRET, "concurrency = 1\ntimeout = \"20s\"")
        .channel("healthy", &healthy.url(), SECRET, "")
        .serve()
        .await;
    gateway.put(&[("a", 100)]).await;
    eventually("the slow one is called", SOON, async || (slow.calls() > 0).then_some(())).await;
    for sold in 1..=10 {
        gateway.sell(&format!("k{sold}"), "a", 1).await;
        gateway.in_sync("healthy", "a").await;
        assert_eq!(healthy.shows("a").unwrap().quantity, 100 - sold);
    }
    assert_eq!((slow.calls(), slow.heard().len()), (1, 0), "it is slow: nothing was answered");
    slow.set(Mode::Slow(Duration::from_millis(50)));
    gateway.in_sync("slow", "a").await;
    assert_eq!(slow.versions("a"), [1, 11], "what came while it was slow is one call");
    slow.check();
    healthy.check();
}

#[tokio::test]
async fn a_channel_is_not_told_of_its_own_sale() {
    let (web, app) = (Receiver::start().await, Receiver::start().await);
    let gateway = Setup::on(Redis::shared().await)
        .channel("web", &web.url(), SECRET, "")
        .channel("app", &app.url(), SECRET, "buffer = 2\nbatch = 10")
        .serve()
        .await;
    gateway.put(&[("a", 10)]).await;
    for channel in ["web", "app"] {
        gateway.in_sync(channel, "a").await;
    }
    let own = DecrementRequest { channel: "web".to_owned(), ..sale("k1", "a", 3) };
    gateway.stock().decrement(own).await.unwrap();
    gateway.in_sync("app", "a").await;
    let status = gateway.in_sync("web", "a").await;
    assert_eq!((status.confirmed_version, status.confirmed_quantity), (2, 7));
    gateway.sell("k2", "a", 1).await;
    for channel in ["web", "app"] {
        gateway.in_sync(channel, "a").await;
    }
    assert_eq!(web.versions("a"), [1, 3]);
    assert_eq!(app.versions("a"), [1, 2, 3]);
    assert_eq!((web.shows("a").unwrap().quantity, app.shows("a").unwrap().quantity), (6, 4));
    web.check();
    app.check();
}

#[tokio::test]
async fn another_worker_takes_over_what_a_killed_one_had_claimed() {
    let web = Receiver::start().await;
    web.set(Mode::Mute);
    let setup = Setup::on(Redis::shared().await)
        .set(r#"propagation.lease = "2s""#)
        .set(r#"propagation.poll_interval = "100ms""#)
        .channel("web", &web.url(), SECRET, "concurrency = 4\ntimeout = \"1500ms\"");
    let gateway = setup.serve_as("gateway").await;
    let (mut killed, mut other) = (setup.serve_as("worker").await, setup.serve_as("worker").await);
    let skus: Vec<String> = (0..40).map(|n| format!("sku-{n}")).collect();
    for sku in &skus {
        gateway.put(&[(sku, 50)]).await;
    }
    // Eight calls hang: both workers have claimed as much as they may.
    eventually("both workers are at it", SOON, async || (web.calls() >= 8).then_some(())).await;
    killed.kill();
    for (n, sku) in skus.iter().enumerate().filter(|(n, _)| n % 3 == 0) {
        gateway.sell(&format!("k{n}"), sku, 1).await;
    }
    web.set(Mode::Up);
    for (n, sku) in skus.iter().enumerate() {
        gateway.in_sync("web", sku).await;
        assert_eq!(web.shows(sku).unwrap().quantity, if n % 3 == 0 { 49 } else { 50 }, "{sku}");
    }
    web.check();
    let rest = eventually("nothing is left", SOON, async || {
        let listed = gateway.channels().list_channels(ListChannelsRequest {}).await.unwrap().into_inner();
        let rest = listed.channels.into_iter().next().unwrap();
        (rest.due_count == 0 && rest.leased_count == 0).then_some(rest)
    })
    .await;
    assert_eq!((rest.channel.as_str(), rest.oldest_unconfirmed_time), ("web", None));
    other.terminate();
    assert_eq!(other.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_sku_the_receiver_does_not_know_dies_alone() {
    let web = Receiver::start().await;
    web.knows_nothing_of("sku-17");
    let setup =
        Setup::on_one_partition(Redis::shared().await).channel("web", &web.url(), SECRET, "batch = 10");
    let mut gateway = setup.serve().await;
    let skus: Vec<String> = (0..30).map(|n| format!("sku-{n}")).collect();
    for sku in &skus {
        gateway.put(&[(sku, 50)]).await;
    }
    for sku in skus.iter().filter(|sku| *sku != "sku-17") {
        gateway.in_sync("web", sku).await;
        assert_eq!(web.shows(sku).unwrap().quantity, 50, "{sku}");
    }
    gateway.logged(DEAD).await;
    let dead_key = format!("{}:{{p0}}:dead:web", setup.namespace);
    let mut redis = Redis::shared().await.connection().await;
    let dead: Vec<String> =
        redis::cmd("ZRANGE").arg(&dead_key).arg(0).arg(-1).query_async(&mut redis).await.unwrap();
    assert_eq!(dead, ["sku-17"]);
    assert_eq!(gateway.log_count(DEAD), 1);
    let status = gateway.told("web", "sku-17").await;
    assert!(!status.in_sync && status.last_error.contains("400"), "{status:?}");
    assert_eq!(gateway.log_count("a channel fails: what it was not told is retried"), 0, "it works");
    assert!(web.shows("sku-17").is_none());
    web.check();
}

const DEAD: &str =
    "a SKU is a dead letter: its channel shows an old number until it is replayed; see stockgate dead list";

#[tokio::test]
async fn a_sold_out_sku_is_paused_everywhere_also_where_it_was_sold() {
    let receivers = [Receiver::start().await, Receiver::start().await, Receiver::start().await];
    let [web, app, market] = &receivers;
    let gateway = Setup::on(Redis::shared().await)
        .channel("web", &web.url(), SECRET, "")
        .channel("app", &app.url(), SECRET, "batch = 10")
        .channel("market", &market.url(), SECRET, "pause_at = -1")
        .serve()
        .await;
    let shown = async |version: i64| {
        eventually(&format!("version {version} is shown everywhere"), SOON, async || {
            let last: Vec<_> = receivers.iter().filter_map(|receiver| receiver.shows("a")).collect();
            let is_shown = last.len() == 3 && last.iter().all(|heard| heard.version == version);
            is_shown.then(|| last.iter().map(|heard| (heard.quantity, heard.paused)).collect::<Vec<_>>())
        })
        .await
    };
    gateway.put(&[("a", 5)]).await;
    assert_eq!(shown(1).await, [(5, false); 3]);
    for channel in ["web", "app", "market"] {
        gateway.in_sync(channel, "a").await;
    }
    // The channel that sold the last one shows 0 by itself; its listing is paused all the same.
    let own = DecrementRequest { channel: "web".to_owned(), ..sale("k1", "a", 5) };
    gateway.stock().decrement(own).await.unwrap();
    assert_eq!(shown(2).await, [(0, true), (0, true), (0, false)]);
    for channel in ["web", "app", "market"] {
        gateway.in_sync(channel, "a").await;
    }
    gateway.put(&[("a", 1)]).await;
    assert_eq!(shown(3).await, [(1, false); 3]);
    receivers.iter().for_each(Receiver::check);
}

#[tokio::test]
async fn a_listing_is_paused_and_resumed_at_its_own_thresholds() {
    let web = Receiver::start().await;
    let gateway = Setup::on(Redis::shared().await)
        .channel("web", &web.url(), SECRET, "pause_at = 2\nresume_at = 5")
        .serve()
        .await;
    for left in [9, 3, 2, 4, 5, 0, 1, 6] {
        gateway.put(&[("a", left)]).await;
        gateway.in_sync("web", "a").await;
    }
    let story: Vec<_> = web.heard().iter().map(|heard| (heard.quantity, heard.paused)).collect();
    let (no, yes) = (false, true);
    assert_eq!(story, [(9, no), (3, no), (2, yes), (4, yes), (5, no), (0, yes), (1, yes), (6, no)]);
    web.check();
}
