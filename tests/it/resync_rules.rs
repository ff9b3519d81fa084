//! What is told though nothing changed, what is confirmed without a call, and what is told behind everything live.

use stockgate::{
    domain::{ChannelId, Partitions},
    store::{Seeding, SeedingCause, Settled, StoreError, WalkPosition},
};

use crate::{
    harness::{LEASE_MS, START_MS, Shop, both},
    requests::*,
    street::{Street, applied, failure},
};

impl Street {
    async fn resync(&self, channel: &ChannelId) {
        let channels = std::slice::from_ref(channel);
        assert!(self.shop.store.resync(channels, Some(&sku("A"))).await.unwrap());
    }

    async fn seeding(&self, fingerprint: &str) -> Seeding {
        self.shop.store.seeding(&self.web, Some(fingerprint)).await.unwrap().expect("has a cause")
    }

    /// Tells web all stock, and writes down that it was told.
    async fn seed(&self, fingerprint: &str) -> SeedingCause {
        let seeding = self.seeding(fingerprint).await;
        let mut at = Some(WalkPosition::default());
        while let Some(position) = at {
            at = self.shop.store.seed_channel(&seeding, position).await.unwrap();
        }
        self.shop.store.mark_seeded(&seeding, fingerprint).await.unwrap();
        seeding.cause
    }
}

async fn in_sync(partitions: stockgate::domain::Partitions) -> Street {
    Street::in_sync(Shop::open(partitions).await).await
}

/// The channel sold what is not there: whatever it confirmed, it does not show it.
#[tokio::test]
async fn a_refused_sale_makes_a_call_though_the_number_stays() {
    let refused = || from("app", decrement("too much", &[("A", 999)]));
    for partitions in both() {
        let idle = in_sync(partitions).await;
        idle.shop.pass(1000);
        idle.change(&refused()).await;
        assert!(!idle.claim(&idle.web, "t").await.items[0].is_shown(), "idle");
        idle.shop.close().await;

        let due = in_sync(partitions).await;
        due.change(&restock("i", &[("A", 1)])).await;
        due.change(&decrement("d", &[("A", 1)])).await;
        due.change(&refused()).await;
        assert!(!due.claim(&due.web, "t").await.items[0].is_shown(), "due");
        due.shop.close().await;

        let leased = in_sync(partitions).await;
        leased.change(&restock("i", &[("A", 1)])).await;
        let claim = leased.claim(&leased.web, "t").await;
        leased.change(&refused()).await;
        let settled = leased.settle(&leased.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Moved(_)]), "{settled:?}");
        leased.shop.pass(1000);
        assert!(!leased.claim(&leased.web, "t").await.items[0].is_shown(), "leased");
        leased.shop.close().await;
    }
}

#[tokio::test]
async fn a_number_that_came_back_is_confirmed_without_a_call() {
    for partitions in both() {
        let street = in_sync(partitions).await;
        street.change(&restock("i", &[("A", 1)])).await;
        street.change(&decrement("d", &[("A", 1)])).await;
        let claim = street.claim(&street.web, "t").await;
        assert!(claim.items[0].is_shown());
        let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Confirmed(_)]), "{settled:?}");
        assert_eq!(street.state(&street.web).await.confirmed_version, 3);
        // Not when a call went out that nobody knows the end of.
        street.change(&restock("i2", &[("A", 1)])).await;
        street.answer(&street.web, failure(1, true)).await;
        street.change(&decrement("d2", &[("A", 1)])).await;
        street.shop.pass(1);
        assert!(!street.claim(&street.web, "t").await.items[0].is_shown());
        street.shop.close().await;
    }
}

/// Ten, one more put in stock, one sold by web itself: ten are left, and web shows nine.
#[tokio::test]
async fn a_channel_that_moved_its_own_number_is_called_though_the_number_stays() {
    let own_sale = || from("web", decrement("own", &[("A", 1)]));
    for partitions in both() {
        let due = in_sync(partitions).await;
        due.change(&restock("i", &[("A", 1)])).await;
        due.change(&own_sale()).await;
        assert!(!due.claim(&due.web, "t").await.items[0].is_shown(), "due before it sold");
        assert!(due.claim(&due.app, "t").await.items[0].is_shown(), "only the source moved");
        due.shop.close().await;

        let together = in_sync(partitions).await;
        together.shop.answer(&restock("i", &[("A", 1)])).await;
        together.change(&own_sale()).await;
        assert!(!together.claim(&together.web, "t").await.items[0].is_shown(), "in one fan-out");
        together.shop.close().await;

        let leased = in_sync(partitions).await;
        leased.change(&restock("i", &[("A", 1)])).await;
        let claim = leased.claim(&leased.web, "t").await;
        leased.change(&own_sale()).await;
        leased.settle(&leased.web, "t", &[applied(&claim, 0)]).await;
        leased.change(&restock("i2", &[("A", 1)])).await;
        assert!(!leased.claim(&leased.web, "t").await.items[0].is_shown(), "during a call");
        leased.shop.close().await;

        // A claim that ran ahead of the fan-out confirmed without a call what web does not show.
        let ahead = in_sync(partitions).await;
        ahead.change(&restock("i", &[("A", 1)])).await;
        ahead.shop.answer(&own_sale()).await;
        let claim = ahead.claim(&ahead.web, "t").await;
        assert!(claim.items[0].is_shown(), "nobody knows better yet");
        let settled = ahead.settle(&ahead.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Confirmed(_)]), "{settled:?}");
        ahead.fan_out().await;
        let claim = ahead.claim(&ahead.web, "t").await;
        assert!(claim.items.len() == 1 && !claim.items[0].is_shown(), "ahead of the fan-out");
        ahead.shop.close().await;

        // What a channel gave back itself it may show already.
        let returned = in_sync(partitions).await;
        returned.change(&decrement("d", &[("A", 1)])).await;
        returned.change(&from("web", restock("own", &[("A", 1)]))).await;
        assert!(!returned.claim(&returned.web, "t").await.items[0].is_shown(), "a return");
        returned.shop.close().await;
    }
}

/// A person gave it up: nobody knows what the channel shows, so its own sale is no news it knows the number after.
#[tokio::test]
async fn a_channel_is_told_its_own_sale_of_a_discarded_sku() {
    for partitions in both() {
        let street = in_sync(partitions).await;
        let work = street.shop.key("A", "work:web");
        let text = "0 - 0 0 0 0 discarded by ann: gone";
        street.shop.redis::<i64>(redis::cmd("HSET").arg(work).arg("A").arg(text)).await;
        street.change(&from("web", decrement("own", &[("A", 1)]))).await;
        assert!(street.is_due(&street.web).await);
        assert!(!street.claim(&street.web, "t").await.items[0].sure);
        street.shop.close().await;
    }
}

#[tokio::test]
async fn another_policy_checks_and_a_resync_calls() {
    for partitions in both() {
        let street = in_sync(partitions).await;
        assert_eq!(street.seed("address:1").await, SeedingCause::New);
        assert!(!street.is_due(&street.web).await, "it has confirmed that one");
        assert_eq!(street.seed("address:2").await, SeedingCause::Policy);
        let claim = street.claim(&street.web, "t").await;
        assert!(claim.items[0].is_shown());
        let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Confirmed(_)]), "{settled:?}");
        assert_eq!(street.seed("other address:2").await, SeedingCause::Outdated);
        assert!(!street.claim(&street.web, "t").await.items[0].is_shown());
        street.shop.pass(LEASE_MS);
        street.tell(&street.web).await;
        street.resync(&street.web).await;
        assert!(!street.claim(&street.web, "t").await.items[0].is_shown());
        assert!(!street.is_due(&street.app).await, "only the channel that is named");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_resync_of_what_is_not_there_is_no() {
    let street = in_sync(both()[1]).await;
    assert!(!street.shop.store.resync(std::slice::from_ref(&street.web), Some(&sku("B"))).await.unwrap());
    street.shop.close().await;
}

#[tokio::test]
async fn a_resync_during_a_call_is_told_after_it() {
    for partitions in both() {
        let street = in_sync(partitions).await;
        street.change(&restock("i", &[("A", 1)])).await;
        let claim = street.claim(&street.web, "t").await;
        street.resync(&street.web).await;
        let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Moved(_)]), "{settled:?}");
        assert!(!street.claim(&street.web, "t").await.items[0].is_shown());
        street.shop.close().await;
    }
}

#[tokio::test]
async fn what_is_behind_is_claimed_after_all_that_is_live() {
    for partitions in both() {
        let street = in_sync(partitions).await;
        let others: Vec<String> = (0..400)
            .map(|n| format!("s{n}"))
            .filter(|name| partitions.of(&sku(name)) == street.home)
            .collect();
        let [first, second] = &others[..2] else { panic!("too few") };
        street.resync(&street.web).await;
        let counts = street.counts(&street.web).await;
        assert_eq!((counts.due, counts.behind, counts.retrying), (1, 1, 0));
        let state = street.state(&street.web).await;
        assert_eq!((state.behind, state.due_ms), (true, Some(START_MS)));
        street.shop.pass(10);
        for name in [first, second] {
            street.shop.stock(&[(name, 1)]).await;
            street.fan_out().await;
            street.shop.pass(1);
        }
        let claim = street.claim_some(&street.web, "1", 1).await;
        assert_eq!(claim.items[0].desired.sku, sku(first));
        assert_eq!(claim.next_in_ms, Some(0), "there is more");
        // A retry that is not due yet does not keep it waiting.
        let parked = stockgate::store::Settlement { outcome: failure(1000, true), ..applied(&claim, 0) };
        street.settle(&street.web, "1", &[parked]).await;
        let claim = street.claim(&street.web, "2").await;
        let order: Vec<_> = claim.items.iter().map(|item| item.desired.sku.clone()).collect();
        assert_eq!(order, [sku(second), sku("A")]);
        assert_eq!(claim.next_in_ms, Some(1000), "the retry");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_live_change_brings_forward_what_is_behind() {
    for partitions in both() {
        let street = in_sync(partitions).await;
        street.resync(&street.web).await;
        street.shop.pass(10);
        street.change(&restock("i", &[("A", 1)])).await;
        let state = street.state(&street.web).await;
        assert_eq!((state.behind, state.due_ms), (false, Some(START_MS + 10)));
        assert_eq!(state.oldest_unconfirmed_ms, Some(START_MS), "asked for before");
        // And the other way round nothing is put back.
        street.resync(&street.web).await;
        let state = street.state(&street.web).await;
        assert_eq!((state.behind, state.due_ms), (false, Some(START_MS + 10)));
        assert_eq!(street.counts(&street.web).await.behind, 0);
        street.resync(&street.app).await;
        street.change(&decrement("all", &[("A", 11)])).await;
        assert_eq!(street.state(&street.app).await.due_ms, Some(0), "sold out: first");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn one_worker_walks_until_it_leaves_or_is_gone() {
    let street = in_sync(both()[0]).await;
    let (store, web, app) = (&street.shop.store, &street.web, &street.app);
    let holds = async |channel: &ChannelId, worker: &str| store.hold_walk(channel, worker).await.unwrap();
    assert!(holds(web, "one").await && holds(web, "one").await, "taken, and kept");
    assert!(!holds(web, "two").await && holds(app, "two").await, "each channel its own");
    store.leave_walk(web).await.unwrap();
    assert!(holds(web, "two").await);
    // It ran out.
    let key = format!("{}:{{c:web}}:walk", street.shop.settings.namespace);
    let left_ms: i64 = street.shop.redis(redis::cmd("PTTL").arg(&key)).await;
    assert!(left_ms > 0, "a worker that is killed leaves no walk for ever");
    street.shop.redis::<i64>(redis::cmd("DEL").arg(&key)).await;
    assert!(holds(web, "one").await && !holds(web, "two").await);
    street.shop.close().await;
}

#[tokio::test]
async fn a_resync_asked_for_during_a_walk_is_another_walk() {
    let street = in_sync(both()[0]).await;
    let store = &street.shop.store;
    let ask = async || store.resync(std::slice::from_ref(&street.web), None).await.unwrap();
    street.seed("a:1").await;
    ask().await;
    let walk = street.seeding("a:1").await;
    assert_eq!(walk.cause, SeedingCause::Resync);
    ask().await;
    store.mark_seeded(&walk, "a:1").await.unwrap();
    assert_eq!(street.seed("a:1").await, SeedingCause::Resync, "the second one");
    assert_eq!(store.seeding(&street.web, Some("a:1")).await.unwrap(), None);
    street.shop.close().await;
}

/// A new channel is not told what it has confirmed; asked for, it is.
#[tokio::test]
async fn a_resync_of_a_channel_that_was_never_told_is_a_resync() {
    let street = in_sync(both()[0]).await;
    street.shop.store.resync(std::slice::from_ref(&street.web), None).await.unwrap();
    assert_eq!(street.seed("a:1").await, SeedingCause::Resync);
    assert!(street.is_due(&street.web).await);
    street.shop.close().await;
}

#[tokio::test]
async fn a_walk_over_a_channel_whose_key_is_wrong_is_not_taken_for_done() {
    let shop = Shop::open(Partitions::ONE).await;
    shop.stock(&[("A", 5)]).await;
    let key = shop.key("A", "due:web");
    shop.redis::<()>(redis::cmd("SET").arg(&key).arg("wrong")).await;
    let seeding = shop.store.seeding(&channel("web"), None).await.unwrap().unwrap();
    let walked = shop.store.seed_channel(&seeding, WalkPosition::default()).await;
    assert!(matches!(&walked, Err(StoreError::WrongType { detail }) if detail.contains(&key)), "{walked:?}");
    shop.close().await;
}
