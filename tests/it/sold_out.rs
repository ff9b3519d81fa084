//! What is sold out is told first.

use stockgate::{
    domain::{ChannelRules, Partitions},
    store::{SettleOutcome, Settlement},
};

use crate::{harness::Shop, requests::*};

async fn carry(shop: &Shop) {
    for (partition, entries) in shop.read("me", 1000).await {
        shop.store.fan_out(partition, shop.store.channels(), &entries).await.unwrap();
    }
}

async fn claim_first(shop: &Shop) -> String {
    let (web, home) = (channel("web"), Partitions::ONE.of(&sku("A")));
    let claim = shop.store.claim(home, &web, &ChannelRules::default(), "t", 1).await.unwrap();
    claim.items[0].desired.sku.to_string()
}

#[tokio::test]
async fn what_is_sold_out_later_is_claimed_before_all_that_is_due() {
    let shop = Shop::open(Partitions::ONE).await;
    let names: Vec<String> = (0..50).map(|n| format!("s{n:02}")).collect();
    for name in &names {
        shop.stock(&[(name, 5)]).await;
    }
    carry(&shop).await;
    shop.pass(10);
    shop.stock(&[("zz", 2)]).await;
    carry(&shop).await;
    shop.pass(10);
    // One was due before, one is new to the due set.
    shop.applied(&decrement("all of zz", &[("zz", 2)])).await;
    carry(&shop).await;
    assert_eq!(claim_first(&shop).await, "zz");
    shop.applied(&decrement("all of s40", &[("s40", 5)])).await;
    carry(&shop).await;
    assert_eq!(claim_first(&shop).await, "s40");
    assert_eq!(claim_first(&shop).await, "s00", "the others by their time");
    shop.close().await;
}

#[tokio::test]
async fn what_is_sold_out_waits_for_its_retry_when_it_is_parked() {
    let shop = Shop::open(Partitions::ONE).await;
    let (web, home) = (channel("web"), Partitions::ONE.of(&sku("A")));
    shop.stock(&[("A", 5)]).await;
    carry(&shop).await;
    let now_ms = shop.now_ms();
    assert_eq!(claim_first(&shop).await, "A");
    let outcome = SettleOutcome::Failed { delay_ms: 1000, burns_attempt: true, error: "503".to_owned() };
    let answer = Settlement { sku: sku("A"), version: 1, quantity: 5, paused: false, outcome };
    shop.store.settle(home, &web, &ChannelRules::default(), "t", &[answer]).await.unwrap();
    shop.applied(&decrement("all", &[("A", 5)])).await;
    carry(&shop).await;
    let state = shop.store.sync_state(&web, &sku("A")).await.unwrap();
    assert_eq!(state.due_ms, Some(now_ms + 1000));
    shop.close().await;
}
