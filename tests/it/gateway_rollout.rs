//! Workers with different settings on one shop: channels that come, and policies that change.

use crate::{
    gateway::Setup,
    gateway_receiver::{Receiver, SECRET},
    gateway_redis::Redis,
};

#[tokio::test]
async fn a_channel_only_one_worker_knows_hears_of_every_sku() {
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let setup = Setup::on(Redis::shared().await);
    let before = setup.without_channels().channel("old", &old.url(), SECRET, "").serve().await;
    before.put(&[("first", 10)]).await;
    let after =
        setup.channel("old", &old.url(), SECRET, "").channel("new", &new.url(), SECRET, "").serve().await;
    after.in_sync("new", "first").await;
    let skus: Vec<String> = (0..40).map(|n| format!("sku-{n}")).collect();
    for sku in &skus {
        before.put(&[(sku, 50)]).await;
        // One entry each, so that both workers get some.
        after.in_sync("old", sku).await;
    }
    for sku in &skus {
        after.in_sync("new", sku).await;
        assert_eq!(new.shows(sku).unwrap().quantity, 50, "{sku}");
    }
    old.check();
    new.check();
}

#[tokio::test]
async fn a_changed_policy_or_address_reaches_the_channel_without_a_sale() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let setup = Setup::on(Redis::shared().await);
    let mut gateway = setup.without_channels().channel("web", &first.url(), SECRET, "").serve().await;
    gateway.put(&[("a", 10)]).await;
    gateway.in_sync("web", "a").await;
    gateway.logged("a new channel is told about all stock").await;
    let policies = format!("{}:policies", setup.namespace);
    let mut redis = Redis::shared().await.connection().await;
    crate::gateway::eventually("it is told all stock", crate::gateway::SOON, async || {
        let told: bool =
            redis::cmd("HEXISTS").arg(&policies).arg("web").query_async(&mut redis).await.unwrap();
        told.then_some(())
    })
    .await;
    gateway.terminate();
    gateway.ended().await;

    let mut gateway =
        setup.without_channels().channel("web", &first.url(), SECRET, "buffer = 3").serve().await;
    let status = gateway.told("web", "a").await;
    assert!(!status.in_sync || status.confirmed_quantity == 7, "{status:?}");
    gateway.in_sync("web", "a").await;
    assert_eq!(first.shows("a").unwrap().quantity, 7);
    let fingerprint: String =
        redis::cmd("HGET").arg(&policies).arg("web").query_async(&mut redis).await.unwrap();
    let is_hashes = fingerprint.split(':').map(str::len).eq([16, 16]);
    assert!(is_hashes, "one of the address, one of the policy, and nothing else: {fingerprint}");
    gateway.terminate();
    gateway.ended().await;

    let gateway = setup.without_channels().channel("web", &second.url(), SECRET, "buffer = 3").serve().await;
    crate::gateway::eventually("the new address hears it", crate::gateway::SOON, async || {
        second.shows("a").filter(|heard| heard.quantity == 7)
    })
    .await;
    gateway.in_sync("web", "a").await;
    first.check();
    second.check();
}
