//! Which channels are told, and when one is told about all stock: new, changed, or back after a long absence.

use stockgate::{
    domain::{ChannelRules, Partitions},
    store::{SeedingCause, SettleOutcome, Settlement, WalkPosition},
};

use crate::{
    harness::{Shop, both},
    requests::*,
};

/// Longer than a channel nobody serves is remembered.
const AWAY_MS: i64 = 24 * 3_600_000 + 1;

#[tokio::test]
async fn a_worker_marks_the_channels_others_serve_until_they_are_forgotten() {
    for partitions in both() {
        let shop = Shop::open_with(partitions, |settings| settings.channels.truncate(1)).await;
        let other = shop.gateway_for(&["x", "web"]);
        shop.store.register_channels().await.unwrap();
        assert_eq!(shop.store.served_channels().await.unwrap(), [channel("web")]);
        other.store.register_channels().await.unwrap();
        let served = shop.store.served_channels().await.unwrap();
        assert_eq!(served, [channel("web"), channel("x")]);
        shop.stock(&[("A", 1)]).await;
        for (partition, entries) in shop.read("me", 100).await {
            shop.store.fan_out(partition, &served, &entries).await.unwrap();
        }
        assert!(other.store.sync_state(&channel("x"), &sku("A")).await.unwrap().due_ms.is_some());
        shop.pass(AWAY_MS);
        shop.store.register_channels().await.unwrap();
        assert_eq!(shop.store.served_channels().await.unwrap(), [channel("web")]);
        other.close().await;
        shop.close().await;
    }
}

#[tokio::test]
async fn a_channel_is_told_all_stock_when_new_changed_or_long_away() {
    let shop = Shop::open(Partitions::ONE).await;
    let (store, web) = (&shop.store, channel("web"));
    let cause = async |fingerprint: Option<&str>| {
        store.seeding(&web, fingerprint).await.unwrap().map(|seeding| seeding.cause)
    };
    store.register_channels().await.unwrap();
    assert_eq!(cause(None).await, Some(SeedingCause::New));
    store.mark_seeded(&store.seeding(&web, None).await.unwrap().unwrap(), "p1").await.unwrap();
    assert_eq!((cause(None).await, cause(Some("p1")).await), (None, None));
    assert_eq!(cause(Some("p2")).await, Some(SeedingCause::Outdated));
    shop.pass(AWAY_MS - 1);
    store.register_channels().await.unwrap();
    assert_eq!(cause(Some("p1")).await, None, "not away for long enough");
    shop.pass(AWAY_MS);
    store.register_channels().await.unwrap();
    assert_eq!(cause(None).await, Some(SeedingCause::Outdated));
    shop.close().await;
}

#[tokio::test]
async fn an_outdated_channel_is_told_even_what_it_confirmed_and_a_new_one_is_not() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        let (store, web, home) = (&shop.store, channel("web"), partitions.of(&sku("A")));
        shop.stock(&[("A", 5)]).await;
        for (partition, entries) in shop.read("me", 100).await {
            store.fan_out(partition, store.channels(), &entries).await.unwrap();
        }
        let claim = store.claim(home, &web, &ChannelRules::default(), "t", 1).await.unwrap();
        let told = &claim.items[0].desired;
        let outcome = SettleOutcome::Applied;
        let answer = Settlement {
            sku: sku("A"),
            version: told.version,
            quantity: told.published,
            paused: told.paused,
            outcome,
        };
        store.settle(home, &web, &ChannelRules::default(), "t", &[answer]).await.unwrap();
        let is_due = async || store.sync_state(&web, &sku("A")).await.unwrap().due_ms.is_some();
        let seed = async || {
            let seeding = store.seeding(&web, Some("p2")).await.unwrap().unwrap();
            let mut at = Some(WalkPosition::default());
            while let Some(position) = at {
                at = store.seed_channel(&seeding, position).await.unwrap();
            }
        };
        seed().await;
        assert!(!is_due().await, "new, and it knows that one");
        store.mark_seeded(&store.seeding(&web, None).await.unwrap().unwrap(), "p1").await.unwrap();
        seed().await;
        assert!(is_due().await, "told under another policy");
        shop.close().await;
    }
}
