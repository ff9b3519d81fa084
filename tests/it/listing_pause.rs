//! When a listing is paused and when it comes back, and which of its own sales a channel is told about because of that.

use stockgate::{
    domain::{ChannelRules, PublishPolicy},
    store::Settled,
};

use crate::{
    harness::both,
    requests::*,
    street::{Street, applied},
};

fn rules(pause_at: Option<i64>, resume_at: i64) -> ChannelRules {
    let policy = PublishPolicy { pause_at, resume_at, ..PublishPolicy::default() };
    ChannelRules { policy, ..ChannelRules::default() }
}

#[tokio::test]
async fn a_listing_is_paused_low_and_comes_back_higher() {
    for partitions in both() {
        let street = Street::in_sync_by(partitions, rules(Some(2), 5)).await;
        let told =
            [(3, false), (2, true), (4, true), (5, false), (4, false), (0, true), (3, true), (9, false)];
        for (index, (units, paused)) in told.into_iter().enumerate() {
            street.change(&set(&format!("s{index}"), "A", units)).await;
            let claim = street.claim(&street.web, "t").await;
            let desired = &claim.items[0].desired;
            assert_eq!((desired.published, desired.paused), (units, paused), "step {index}");
            street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
            let state = street.state(&street.web).await;
            assert_eq!((state.confirmed_quantity, state.confirmed_paused), (units, paused), "step {index}");
        }
        street.shop.close().await;
    }
}

/// What was told and not confirmed pauses nothing between the thresholds.
#[tokio::test]
async fn a_listing_is_paused_as_it_was_confirmed() {
    for partitions in both() {
        let street = Street::in_sync_by(partitions, rules(Some(2), 5)).await;
        street.change(&set("low", "A", 2)).await;
        assert!(street.claim(&street.web, "dies").await.items[0].desired.paused);
        street.shop.pass(crate::harness::LEASE_MS);
        street.change(&set("between", "A", 4)).await;
        let claim = street.claim(&street.web, "t").await;
        assert!(!claim.items[0].desired.paused && !claim.items[0].is_shown(), "told, whatever arrived");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn an_own_sale_that_pauses_the_listing_is_told_to_its_source() {
    for partitions in both() {
        let street = Street::in_sync_by(partitions, rules(Some(2), 5)).await;
        let sale = |key: &str, units| from("web", decrement(key, &[("A", units)]));
        street.change(&sale("to 3", 7)).await;
        assert!(!street.is_due(&street.web).await, "above the threshold");
        street.change(&sale("to 2", 1)).await;
        assert!(street.is_due(&street.web).await, "at the threshold");
        let claim = street.claim(&street.web, "t").await;
        let desired = &claim.items[0].desired;
        assert_eq!((desired.published, desired.paused, claim.items[0].is_shown()), (2, true, false));
        let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Confirmed(_)]), "{settled:?}");
        // It is paused already: there is nothing to tell.
        street.change(&sale("to 1", 1)).await;
        let state = street.state(&street.web).await;
        assert_eq!((state.due_ms, state.confirmed_quantity, state.confirmed_paused), (None, 1, true));
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_listing_that_is_never_paused_is_not_told_its_own_last_sale() {
    for partitions in both() {
        let street = Street::in_sync_by(partitions, rules(None, 1)).await;
        street.change(&from("web", decrement("all", &[("A", 10)]))).await;
        let state = street.state(&street.web).await;
        assert_eq!((state.due_ms, state.confirmed_quantity, state.confirmed_paused), (None, 0, false));
        assert!(street.is_due(&street.app).await);
        street.shop.close().await;
    }
}

/// Its number does not fall with each unit it sells as ours does: it shows three of ten, sells one, and is to show three again.
#[tokio::test]
async fn a_channel_with_a_cap_is_told_its_own_sale_though_the_number_stays() {
    for partitions in both() {
        let policy = PublishPolicy { cap: Some(3), ..PublishPolicy::default() };
        let street = Street::in_sync_by(partitions, ChannelRules { policy, ..ChannelRules::default() }).await;
        street.change(&decrement("others", &[("A", 1)])).await;
        let claim = street.claim(&street.web, "t").await;
        assert!(claim.items[0].is_shown(), "a change that changes no number makes no call");
        street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        street.change(&from("web", decrement("own", &[("A", 1)]))).await;
        let claim = street.claim(&street.web, "t").await;
        assert!(!claim.items[0].is_shown());
        street.shop.close().await;
    }
}
