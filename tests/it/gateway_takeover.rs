//! What becomes of work that is left behind: by a worker that is killed, and by a consumer group that is lost.

use nix::sys::signal::Signal;

use crate::{
    gateway::{Gateway, SOON, Setup, eventually, signal},
    gateway_receiver::{Mode, Receiver, SECRET},
    gateway_redis::Redis,
};

/// A worker freezes in the middle of all it does, until it is thawed.
fn freeze(worker: &Gateway) {
    signal(worker.pid(), Signal::SIGSTOP);
}

fn thaw(worker: &Gateway) {
    signal(worker.pid(), Signal::SIGCONT);
}

#[tokio::test]
async fn a_worker_that_comes_later_takes_over_the_push_of_a_killed_one() {
    let web = Receiver::start().await;
    web.set(Mode::Mute);
    let setup = Setup::on(Redis::shared().await).set(r#"propagation.lease = "2s""#).channel(
        "web",
        &web.url(),
        SECRET,
        "batch = 20\nconcurrency = 1\ntimeout = \"1400ms\"",
    );
    let gateway = setup.serve_as("gateway").await;
    let skus = ["a", "b", "c"];
    for sku in skus {
        gateway.put(&[(sku, 10)]).await;
    }
    let mut killed = setup.serve_as("worker").await;
    eventually("it is in the middle of a push", SOON, async || (web.open_calls() == 1).then_some(())).await;
    for sku in skus {
        gateway.sell(sku, sku, 1).await;
    }
    killed.kill();
    eventually("its call is cut off", SOON, async || (web.open_calls() == 0).then_some(())).await;
    assert!(web.heard().is_empty(), "{:?}", web.heard());
    web.set(Mode::Up);
    let _later = setup.serve_as("worker").await;
    for sku in skus {
        gateway.in_sync("web", sku).await;
        assert_eq!((web.versions(sku), web.shows(sku).unwrap().quantity), (vec![2], 9), "{sku}");
    }
    web.check();
}

#[tokio::test]
async fn a_worker_told_to_stop_hands_its_leases_back() {
    let web = Receiver::start().await;
    web.set(Mode::Mute);
    // No lease and no call ends by itself while the test runs.
    let setup = Setup::on_one_partition(Redis::shared().await)
        .set(r#"propagation.lease = "1h""#)
        .set(r#"propagation.drain_timeout = "100ms""#)
        .channel("web", &web.url(), SECRET, "batch = 2\nconcurrency = 2\ntimeout = \"10m\"");
    let gateway = setup.serve_as("gateway").await;
    let skus = ["a", "b", "c", "d", "e", "f"];
    for sku in skus {
        gateway.put(&[(sku, 10)]).await;
    }
    let mut stopped = setup.serve_as("worker").await;
    eventually("four are leased", SOON, async || (web.open_calls() == 2).then_some(())).await;
    let _other = setup.serve_as("worker").await;
    eventually("the others too", SOON, async || (web.open_calls() == 3).then_some(())).await;
    for sku in skus {
        gateway.sell(sku, sku, 1).await;
    }
    stopped.terminate();
    assert_eq!(stopped.ended().await.code(), Some(0));
    let is_taken_over = async || (web.calls() == 4 && web.open_calls() == 2).then_some(());
    eventually("its calls are cut off, and the other makes one more", SOON, is_taken_over).await;
    web.set(Mode::Up);
    for sku in skus {
        gateway.in_sync("web", sku).await;
        let status = gateway.told("web", sku).await;
        assert_eq!((web.shows(sku).unwrap().quantity, status.attempts), (9, 0), "{sku}");
    }
    web.check();
}

#[tokio::test]
async fn a_worker_frozen_past_its_lease_cannot_end_the_push_of_another() {
    let web = Receiver::start().await;
    web.set(Mode::Mute);
    let setup = Setup::on(Redis::shared().await).set(r#"propagation.lease = "8s""#).channel(
        "web",
        &web.url(),
        SECRET,
        "timeout = \"7s\"",
    );
    let gateway = setup.serve_as("gateway").await;
    let mut frozen = setup.serve_as("worker").await;
    gateway.put(&[("a", 10)]).await;
    eventually("the first push is on its way", SOON, async || (web.open_calls() == 1).then_some(())).await;
    freeze(&frozen);
    // It was answered, and does not know it yet.
    web.set(Mode::Up);
    eventually("it is taken", SOON, async || (web.versions("a") == [1]).then_some(())).await;
    web.set(Mode::Mute);
    gateway.sell("k", "a", 1).await;
    let _other = setup.serve_as("worker").await;
    eventually("the other one pushes", SOON, async || (web.open_calls() == 1).then_some(())).await;
    thaw(&frozen);
    frozen.terminate();
    frozen.ended().await;
    let status = gateway.told("web", "a").await;
    assert!(status.leased && status.next_attempt_time.is_none() && !status.in_sync, "{status:?}");
    web.set(Mode::Up);
    gateway.in_sync("web", "a").await;
    assert_eq!((web.versions("a"), web.calls()), (vec![1, 2], 2), "both at the same time");
    web.check();
}

#[tokio::test]
async fn a_poison_entry_keeps_no_neighbour_from_being_told() {
    let web = Receiver::start().await;
    let setup = Setup::on_one_partition(Redis::shared().await).channel("web", &web.url(), SECRET, "");
    let (gateway, worker) = (setup.serve_as("gateway").await, setup.serve_as("worker").await);
    gateway.put(&[("before", 10), ("between", 10), ("after", 10)]).await;
    for sku in ["before", "between", "after"] {
        gateway.in_sync("web", sku).await;
    }
    let mut redis = Redis::shared().await.connection().await;
    let key = |name: &str| format!("{}:{{p0}}:{name}", setup.namespace);
    let mut poison = Vec::new();
    // They are read together with their neighbours.
    freeze(&worker);
    gateway.sell("k1", "before", 1).await;
    let garbage =
        [("unknown", &b"no such field"[..]), ("e", &b"no time"[..]), ("e", &b"\xff\xfe no text"[..])];
    for (field, value) in garbage {
        let mut add = redis::cmd("XADD");
        add.arg(key("ev")).arg("*").arg(field).arg(value);
        poison.push((add.query_async::<String>(&mut redis).await.unwrap(), value));
        gateway.sell(&format!("after {}", poison.len()), "between", 1).await;
    }
    gateway.sell("k2", "after", 1).await;
    thaw(&worker);
    for (sku, quantity) in [("before", 9), ("between", 7), ("after", 9)] {
        gateway.in_sync("web", sku).await;
        assert_eq!(web.shows(sku).unwrap().quantity, quantity, "{sku}");
    }
    eventually("nothing is pending", SOON, async || {
        let mut pending = redis::cmd("XPENDING");
        pending.arg(key("ev")).arg("fanout").arg("-").arg("+").arg(10);
        let pending: Vec<redis::Value> = pending.query_async(&mut redis).await.unwrap();
        pending.is_empty().then_some(())
    })
    .await;
    for (entry, value) in poison {
        let mut kept = redis::cmd("HGET");
        let kept: Option<String> = kept.arg(key("poison")).arg(&entry).query_async(&mut redis).await.unwrap();
        let words = String::from_utf8_lossy(value);
        assert!(kept.as_ref().is_some_and(|kept| kept.contains(&*words)), "{entry} {words:?}: {kept:?}");
    }
    web.check();
}

#[tokio::test]
async fn a_lost_consumer_group_is_made_again_and_nothing_is_lost() {
    let web = Receiver::start().await;
    let setup = Setup::on_one_partition(Redis::shared().await).channel("web", &web.url(), SECRET, "");
    let (gateway, mut before) = (setup.serve_as("gateway").await, setup.serve_as("worker").await);
    for sku in ["quiet", "read", "unread"] {
        gateway.put(&[(sku, 10)]).await;
        gateway.in_sync("web", sku).await;
    }
    let mut redis = Redis::shared().await.connection().await;
    eventually("the channel is no new one", SOON, async || {
        let mut command = redis::cmd("HEXISTS");
        command.arg(format!("{}:policies", setup.namespace)).arg("web");
        command.query_async::<bool>(&mut redis).await.unwrap().then_some(())
    })
    .await;
    before.terminate();
    before.ended().await;

    let events = format!("{}:{{p0}}:ev", setup.namespace);
    gateway.sell("k1", "read", 1).await;
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg("fanout").arg("dead").arg("STREAMS").arg(&events).arg(">");
    assert_ne!(read.query_async::<redis::Value>(&mut redis).await.unwrap(), redis::Value::Nil);
    let worker = setup.serve_as("worker").await;
    // In one moment for the worker: the group goes, with what it knew of the sale that was read, and something is sold.
    freeze(&worker);
    let mut destroy = redis::cmd("XGROUP");
    destroy.arg("DESTROY").arg(&events).arg("fanout");
    assert_eq!(destroy.query_async::<u64>(&mut redis).await.unwrap(), 1);
    gateway.sell("k2", "unread", 1).await;
    thaw(&worker);
    for (sku, versions) in [("read", vec![1, 2]), ("unread", vec![1, 2]), ("quiet", vec![1])] {
        gateway.in_sync("web", sku).await;
        assert_eq!(web.versions(sku), versions, "{sku}");
    }
    web.check();
}
