//! What is sold out is told first, and how long it takes until the last channel has heard of it.

use stockgate::{
    domain::{ChannelId, ChannelRules, Partitions, PublishPolicy},
    store::{EntryId, SettleOutcome, Settled, Settlement},
};

use crate::{
    harness::{Shop, both},
    requests::*,
    street::{Street, applied},
};

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

/// Tells a channel about A; since when it was sold out, of the last channel told so.
async fn since_sold_out(street: &Street, channel: &ChannelId) -> Option<i64> {
    match street.tell(channel).await[..] {
        [Settled::Confirmed(told) | Settled::Moved(told)] => told.sold_out_ms,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_last_channel_told_says_how_long_it_was_sold_out() {
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        street.change(&decrement("all", &[("A", 10)])).await;
        street.shop.pass(10);
        assert_eq!(since_sold_out(&street, &street.web).await, None, "app shows units still");
        // Sold out it was before: this is news of the same.
        street.change(&from("app", decrement("too much", &[("A", 1)]))).await;
        street.shop.pass(30);
        assert_eq!(since_sold_out(&street, &street.app).await, Some(40));
        // Told again, web shows nothing, as before.
        street.shop.pass(1000);
        assert_eq!(since_sold_out(&street, &street.web).await, None);
        street.shop.close().await;
    }
}

#[tokio::test]
async fn what_is_back_in_stock_is_sold_out_no_more() {
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        street.change(&decrement("all", &[("A", 10)])).await;
        assert_eq!(since_sold_out(&street, &street.web).await, None);
        street.shop.pass(10);
        street.change(&restock("i", &[("A", 1)])).await;
        assert_eq!(since_sold_out(&street, &street.web).await, None);
        street.shop.pass(10);
        street.change(&decrement("again", &[("A", 1)])).await;
        street.shop.pass(5);
        assert_eq!(since_sold_out(&street, &street.web).await, None);
        assert_eq!(since_sold_out(&street, &street.app).await, Some(5), "from the second time on");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_channel_that_shows_no_units_is_not_waited_for() {
    for partitions in both() {
        let street = Street::open(Shop::open(partitions).await).await;
        assert_eq!(since_sold_out(&street, &street.web).await, None);
        // App was never told.
        street.change(&decrement("all", &[("A", 10)])).await;
        street.shop.pass(7);
        assert_eq!(since_sold_out(&street, &street.web).await, Some(7));
        assert_eq!(since_sold_out(&street, &street.app).await, None);
        street.shop.close().await;

        let policy = PublishPolicy { pause_at: Some(3), resume_at: 4, ..PublishPolicy::default() };
        let rules = ChannelRules { policy, ..ChannelRules::default() };
        let paused = Street::in_sync_by(partitions, rules).await;
        paused.change(&decrement("most", &[("A", 8)])).await;
        assert_eq!(since_sold_out(&paused, &paused.web).await, None);
        paused.change(&decrement("all", &[("A", 2)])).await;
        paused.shop.pass(9);
        assert_eq!(since_sold_out(&paused, &paused.web).await, None, "two, but paused");
        assert_eq!(since_sold_out(&paused, &paused.app).await, Some(9));
        paused.shop.close().await;
    }
}

/// App hears of ten while there are none any more: it is waited for too, and web's answer is not the last.
#[tokio::test]
async fn a_channel_that_hears_of_units_too_late_is_waited_for() {
    for partitions in both() {
        let street = Street::open(Shop::open(partitions).await).await;
        street.tell(&street.web).await;
        let late = street.claim(&street.app, "late").await;
        street.change(&decrement("all", &[("A", 10)])).await;
        street.settle(&street.app, "late", &[applied(&late, 0)]).await;
        street.shop.pass(3);
        assert_eq!(since_sold_out(&street, &street.app).await, None, "web shows units still");
        assert_eq!(since_sold_out(&street, &street.web).await, Some(3));
        street.shop.close().await;
    }
}

#[tokio::test]
async fn an_entry_carried_twice_counts_no_channel_twice() {
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        let store = &street.shop.store;
        street.shop.answer(&decrement("all", &[("A", 10)])).await;
        let read = street.shop.read("dead", 10).await;
        store.fan_out(street.home, store.channels(), &read[0].1).await.unwrap();
        street.shop.pass(1);
        assert_eq!(since_sold_out(&street, &street.web).await, None);
        let events = street.shop.key("A", "ev");
        street.shop.redis::<()>(redis::cmd("XGROUP").arg("SETID").arg(events).arg("fanout").arg("0")).await;
        for (_, entries) in street.shop.read("again", 10).await {
            let last = &entries[entries.len() - 1..];
            assert!(last[0].id > EntryId::default());
            store.fan_out(street.home, store.channels(), last).await.unwrap();
        }
        street.shop.pass(1);
        assert_eq!(since_sold_out(&street, &street.app).await, Some(2));
        street.shop.close().await;
    }
}

/// Its own sale paused nothing, since it is never paused: it shows none without being told.
#[tokio::test]
async fn a_channel_that_sold_the_last_unit_itself_is_not_waited_for() {
    for partitions in both() {
        let policy = PublishPolicy { pause_at: None, ..PublishPolicy::default() };
        let rules = ChannelRules { policy, ..ChannelRules::default() };
        let street = Street::in_sync_by(partitions, rules).await;
        street.change(&from("web", decrement("all", &[("A", 10)]))).await;
        street.shop.pass(4);
        assert_eq!(since_sold_out(&street, &street.app).await, Some(4));
        street.shop.close().await;
    }
}
