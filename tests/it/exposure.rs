//! What lag costs: units a channel shows that are not there, and who says that it is late.

use stockgate::{
    domain::{ChannelRules, PublishPolicy},
    store::{ExposurePlace, Lateness, SettleOutcome, Settled, Settlement},
};

use crate::{
    harness::{Shop, both},
    requests::*,
    street::{Street, applied, permanent},
};

/// Units web shows that are not there, over all pages.
async fn exposed(street: &Street, policy: &PublishPolicy) -> i64 {
    let (mut sum, mut at) = (0, Some(ExposurePlace::default()));
    while let Some(place) = at {
        let (units, next) = street.shop.store.exposure_page(&street.web, policy, place).await.unwrap();
        sum += units;
        at = next;
    }
    sum
}

#[tokio::test]
async fn units_are_exposed_until_the_channel_has_heard_of_them() {
    let policy = PublishPolicy::default();
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        assert_eq!(exposed(&street, &policy).await, 0);
        street.change(&decrement("d", &[("A", 7)])).await;
        assert_eq!(exposed(&street, &policy).await, 7);
        // Of another SKU it shows nothing yet, and more than it shows is no exposure.
        street.shop.stock(&[("B", 5)]).await;
        street.fan_out().await;
        assert_eq!(exposed(&street, &policy).await, 7);
        let claim = street.claim(&street.web, "t").await;
        assert_eq!(exposed(&street, &policy).await, 7, "during the call too");
        let answers: Vec<_> = (0..claim.items.len()).map(|index| applied(&claim, index)).collect();
        street.settle(&street.web, "t", &answers).await;
        assert_eq!(exposed(&street, &policy).await, 0);
        street.change(&restock("i", &[("A", 50)])).await;
        assert_eq!(exposed(&street, &policy).await, 0, "too few shown sells nothing that is not there");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn what_a_channel_should_show_is_by_its_policy_and_a_paused_listing_shows_nothing() {
    for partitions in both() {
        let policy = PublishPolicy { buffer: 2, pause_at: Some(3), resume_at: 9, ..PublishPolicy::default() };
        let street = Street::in_sync_by(partitions, ChannelRules { policy, ..ChannelRules::default() }).await;
        street.change(&decrement("d", &[("A", 4)])).await;
        assert_eq!(exposed(&street, &policy).await, 4, "eight shown, four to show");
        street.change(&decrement("d2", &[("A", 1)])).await;
        street.tell(&street.web).await;
        assert!(street.state(&street.web).await.confirmed_paused);
        street.change(&decrement("d3", &[("A", 5)])).await;
        assert_eq!(exposed(&street, &policy).await, 0, "three shown, but paused");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_dead_letter_exposes_its_units_and_once() {
    let policy = PublishPolicy::default();
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        street.change(&decrement("d", &[("A", 7)])).await;
        assert!(matches!(street.answer(&street.web, permanent()).await, Settled::Buried { .. }));
        assert_eq!(exposed(&street, &policy).await, 7);
        street.change(&decrement("d2", &[("A", 1)])).await;
        let counts = street.counts(&street.web).await;
        assert_eq!((counts.dead, counts.due), (1, 1));
        assert_eq!(exposed(&street, &policy).await, 8, "dead and due: counted once");
        street.shop.close().await;
    }
}

/// The largest batches there are: a whole page of exposures, and no script runs out of Lua's stack.
#[tokio::test]
async fn the_largest_batches_are_carried_claimed_and_settled() {
    const SKUS: usize = 2000;
    let policy = PublishPolicy::default();
    let street = Street::in_sync(Shop::open(both()[0]).await).await;
    let names: Vec<String> = (0..SKUS).map(|n| format!("s{n}")).collect();
    let changed = async |round: &str, make: &dyn Fn(&str, &str) -> stockgate::domain::Mutation| {
        let mutations: Vec<_> = names.iter().map(|name| make(&format!("{round} {name}"), name)).collect();
        futures_util::future::join_all(mutations.iter().map(|one| street.shop.answer(one))).await;
        street.fan_out().await
    };
    let expected = u64::try_from(2 * SKUS).unwrap();
    assert_eq!(changed("set", &|key, name| set(key, name, 5)).await, expected);
    for channel in [&street.web, &street.app] {
        for token in ["1", "2"] {
            let claim = street.claim_some(channel, token, 1000).await;
            assert_eq!(claim.items.len(), 1000);
            let answers: Vec<_> = (0..1000).map(|index| applied(&claim, index)).collect();
            let settled = street.settle(channel, token, &answers).await;
            assert!(settled.iter().all(|one| matches!(one, Settled::Confirmed(_))));
        }
    }
    // All of them known to their source, then all of them told again because it sold what is not there.
    let own = |key: &str, name: &str| from("web", decrement(key, &[(name, 2)]));
    assert_eq!(changed("own", &own).await, expected / 2);
    assert_eq!(exposed(&street, &policy).await, 0);
    let refused = |key: &str, name: &str| from("web", decrement(key, &[(name, 99)]));
    assert_eq!(changed("refused", &refused).await, expected);
    assert_eq!(changed("others", &|key, name| decrement(key, &[(name, 3)])).await, expected);
    assert_eq!(exposed(&street, &policy).await, 3 * i64::try_from(SKUS).unwrap());
    // Every kind of answer, each to a thousand, while each of them changes again.
    for (token, outcome) in [("fails", SettleOutcome::Returned { sure: false }), ("dies", permanent())] {
        let claim = street.claim_some(&street.web, token, 1000).await;
        let of = |index| Settlement { outcome: outcome.clone(), ..applied(&claim, index) };
        let answers: Vec<_> = (0..1000).map(of).collect();
        assert_eq!(street.settle(&street.web, token, &answers).await.len(), 1000);
    }
    assert_eq!(street.counts(&street.web).await.dead, 1000);
    let claim = street.claim_some(&street.web, "moved", 1000).await;
    assert_eq!(changed("more", &|key, name| from("web", restock(key, &[(name, 1)]))).await, expected);
    let answers: Vec<_> = (0..1000).map(|index| applied(&claim, index)).collect();
    let settled = street.settle(&street.web, "moved", &answers).await;
    assert!(settled.iter().all(|one| matches!(one, Settled::Moved(_))));
    // As many entries as one read gives.
    let events = street.shop.key("A", "ev");
    street.shop.redis::<()>(redis::cmd("XGROUP").arg("SETID").arg(&events).arg("fanout").arg("0")).await;
    street.fan_out().await;
    street.shop.close().await;
}

#[tokio::test]
async fn one_worker_says_that_a_channel_is_late_and_one_that_it_is_not() {
    let shop = Shop::open(both()[0]).await;
    let other = shop.another_gateway();
    let web = channel("web");
    for lateness in [Lateness::Critical, Lateness::Costly] {
        assert!(!shop.store.end_lateness(&web, lateness).await.unwrap(), "it was not late");
        assert!(shop.store.begin_lateness(&web, lateness).await.unwrap());
        assert!(!other.store.begin_lateness(&web, lateness).await.unwrap());
        assert!(shop.store.begin_lateness(&channel("app"), lateness).await.unwrap(), "each channel its own");
        assert!(other.store.end_lateness(&web, lateness).await.unwrap());
        assert!(!shop.store.end_lateness(&web, lateness).await.unwrap());
        assert!(shop.store.begin_lateness(&web, lateness).await.unwrap(), "late once more");
    }
    other.close().await;
    shop.close().await;
}
