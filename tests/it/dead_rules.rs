//! Dead letters: what becomes one, what does not, and what becomes of it.

use std::time::Duration;

use stockgate::{
    domain::{ChannelRules, Partitions, Patience},
    store::{ChannelCounts, SettleOutcome, Settled, Settlement},
};

use crate::{
    harness::{LEASE_MS, START_MS, both},
    requests::*,
    street::{Street, applied, failed, failure, permanent},
};

const AGE_MAX_MS: i64 = 100_000;
/// A dead letter that changes is left alone for so long.
const DEAD_PAUSE_MS: i64 = 30_000;

/// A was changed when the clock starts, and both channels are to be told.
async fn street(partitions: Partitions) -> Street {
    let age_max = Duration::from_millis(AGE_MAX_MS.unsigned_abs());
    let rules = ChannelRules { patience: Patience { attempts_max: 3, age_max }, ..ChannelRules::default() };
    let street = Street::in_sync_by(partitions, rules).await;
    street.change(&restock("i", &[("A", 1)])).await;
    street
}

async fn dead(partitions: Partitions) -> Street {
    let street = street(partitions).await;
    assert_eq!(street.answer(&street.web, permanent()).await, Settled::Buried { lag_ms: 0 });
    street
}

#[tokio::test]
async fn a_sku_dies_with_its_last_attempt() {
    for partitions in both() {
        let street = street(partitions).await;
        for _ in 0..2 {
            assert_eq!(street.answer(&street.web, failure(1000, true)).await, Settled::Parked);
            street.shop.pass(1000);
        }
        assert_eq!(street.answer(&street.web, failure(1000, true)).await, Settled::Buried { lag_ms: 2000 });
        let counts = ChannelCounts { dead: 1, ..ChannelCounts::default() };
        assert_eq!(street.counts(&street.web).await, counts, "neither due nor leased nor unconfirmed");
        let state = street.state(&street.web).await;
        assert_eq!((state.attempts, state.last_error.as_str()), (3, "503 from the shop"));
        assert_eq!(state.dead_ms, Some(START_MS + 2000));
        assert_eq!(state.oldest_unconfirmed_ms, Some(START_MS), "known of a dead letter too");
        assert_eq!(street.claim(&street.web, "t").await.next_in_ms, None);
        assert!(street.is_due(&street.app).await, "the other channel is not concerned");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_sku_dies_of_age_counted_from_its_first_attempt() {
    for partitions in both() {
        let street = street(partitions).await;
        // Nobody tried it for long: that is not its age.
        street.shop.pass(10 * AGE_MAX_MS);
        for (channel, age_ms, dies) in [(&street.web, AGE_MAX_MS, false), (&street.app, AGE_MAX_MS + 1, true)]
        {
            assert_eq!(street.answer(channel, failure(1, true)).await, Settled::Parked);
            street.shop.pass(age_ms);
            let second = street.answer(channel, failure(1, true)).await;
            assert_eq!(matches!(second, Settled::Buried { .. }), dies, "{second:?}");
        }
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_success_begins_attempts_and_age_anew() {
    for partitions in both() {
        let street = street(partitions).await;
        for key in ["i1", "i2"] {
            assert_eq!(street.answer(&street.web, failure(1, true)).await, Settled::Parked);
            street.shop.pass(1);
            assert_eq!(street.answer(&street.web, failure(1, true)).await, Settled::Parked);
            street.shop.pass(AGE_MAX_MS);
            assert!(matches!(street.tell(&street.web).await[..], [Settled::Confirmed(_)]));
            street.change(&restock(key, &[("A", 1)])).await;
        }
        street.shop.close().await;
    }
}

#[tokio::test]
async fn what_a_channel_will_not_take_dies_at_once() {
    for partitions in both() {
        let street = dead(partitions).await;
        let state = street.state(&street.web).await;
        assert_eq!((state.attempts, state.last_error.as_str()), (1, "no such item"));
        assert_eq!(street.counts(&street.web).await.dead, 1);
        street.shop.close().await;
    }
}

/// What changed during the call may be taken: it is tried before it is given up.
#[tokio::test]
async fn a_sku_that_changed_meanwhile_does_not_die() {
    for partitions in both() {
        let street = street(partitions).await;
        let changes = [restock("i2", &[("A", 1)]), from("app", decrement("too much", &[("A", 999)]))];
        for (index, change) in changes.iter().enumerate() {
            for is_fanned_out in [true, false] {
                let claim = street.claim(&street.web, "t").await;
                assert_eq!(claim.items.len(), 1);
                let change =
                    if is_fanned_out { change } else { &restock(&format!("i3{index}"), &[("A", 1)]) };
                street.shop.answer(change).await;
                if is_fanned_out {
                    street.fan_out().await;
                }
                let answer = Settlement { outcome: permanent(), ..applied(&claim, 0) };
                assert_eq!(street.settle(&street.web, "t", &[answer]).await, [Settled::Parked]);
                let state = street.state(&street.web).await;
                assert_eq!((state.dead_ms, state.due_ms), (None, Some(street.shop.now_ms() + 1000)));
                street.fan_out().await;
                street.shop.pass(1000);
            }
        }
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_dead_letter_that_changes_is_tried_again_but_not_at_once() {
    for partitions in both() {
        let street = dead(partitions).await;
        street.shop.pass(10);
        // Not even when it is sold out.
        street.change(&decrement("all", &[("A", 11)])).await;
        let state = street.state(&street.web).await;
        assert_eq!(state.due_ms, Some(START_MS + DEAD_PAUSE_MS));
        assert_eq!(state.dead_ms, Some(START_MS), "dead until it is told");
        assert_eq!(state.oldest_unconfirmed_ms, Some(START_MS));
        assert_eq!(street.claim(&street.web, "t").await.items.len(), 0);
        street.shop.pass(DEAD_PAUSE_MS);
        assert_eq!(street.answer(&street.web, failure(1000, false)).await, Settled::Parked);
        assert_eq!(street.state(&street.web).await.dead_ms, Some(START_MS), "dead still");
        street.shop.pass(1000);
        // One failure more and it is dead as before, from now on.
        assert!(matches!(street.answer(&street.web, permanent()).await, Settled::Buried { .. }));
        let died_ms = street.shop.now_ms();
        let state = street.state(&street.web).await;
        assert_eq!((state.dead_ms, state.due_ms), (Some(died_ms), None));
        assert_eq!(state.oldest_unconfirmed_ms, Some(START_MS));
        // After the pause it is due at once.
        street.shop.pass(DEAD_PAUSE_MS + 1);
        street.change(&restock("i3", &[("A", 1)])).await;
        assert_eq!(street.state(&street.web).await.due_ms, Some(street.shop.now_ms()));
        street.shop.close().await;
    }
}

#[tokio::test]
async fn one_success_supersedes_a_dead_letter() {
    for partitions in both() {
        let street = dead(partitions).await;
        street.shop.pass(DEAD_PAUSE_MS);
        street.change(&restock("i2", &[("A", 1)])).await;
        let claim = street.claim(&street.web, "t").await;
        assert!(!claim.items[0].sure);
        assert_eq!(claim.items[0].desired.unconfirmed_since_ms, START_MS, "the oldest change");
        let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        let [Settled::Confirmed(told)] = settled[..] else { panic!("{settled:?}") };
        assert_eq!((told.lag_ms, told.versions, told.supersedes), (DEAD_PAUSE_MS, 2, true));
        assert_eq!(street.counts(&street.web).await, ChannelCounts::default());
        let state = street.state(&street.web).await;
        assert_eq!((state.attempts, state.dead_ms, state.last_error.as_str()), (0, None, ""));
        street.change(&restock("i3", &[("A", 1)])).await;
        let [Settled::Confirmed(told)] = street.tell(&street.web).await[..] else { panic!("not confirmed") };
        assert!(!told.supersedes, "once");
        street.shop.close().await;
    }
}

/// Its lag is that of the oldest change, also when it is told again only because somebody asks.
#[tokio::test]
async fn a_resync_brings_a_dead_letter_back_with_its_lag() {
    for partitions in both() {
        let street = dead(partitions).await;
        street.shop.pass(500);
        let web = std::slice::from_ref(&street.web);
        assert!(street.shop.store.resync(web, Some(&sku("A"))).await.unwrap());
        let state = street.state(&street.web).await;
        assert_eq!((state.behind, state.oldest_unconfirmed_ms), (true, Some(START_MS)));
        let settled = street.tell(&street.web).await;
        let [Settled::Confirmed(told)] = settled[..] else { panic!("{settled:?}") };
        assert_eq!((told.lag_ms, told.supersedes), (500, true));
        street.shop.close().await;
    }
}

#[tokio::test]
async fn what_burns_no_attempt_never_kills() {
    for partitions in both() {
        let street = street(partitions).await;
        for _ in 0..5 {
            assert_eq!(street.answer(&street.web, failure(AGE_MAX_MS, false)).await, Settled::Parked);
            street.shop.pass(AGE_MAX_MS);
        }
        let state = street.state(&street.web).await;
        assert_eq!((state.attempts, state.last_error.as_str()), (0, "503 from the shop"));
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_lease_handed_back_leaves_the_sku_as_it_was() {
    for partitions in both() {
        let street = street(partitions).await;
        // Claimed and not told: its age has not begun.
        for sure in [true, false, true] {
            let claim = street.claim(&street.web, "t").await;
            let outcome = SettleOutcome::Returned { sure };
            let answer = Settlement { outcome, ..applied(&claim, 0) };
            assert_eq!(street.settle(&street.web, "t", &[answer]).await, [Settled::Parked]);
            let state = street.state(&street.web).await;
            assert_eq!((state.attempts, state.last_error.as_str()), (0, ""));
            assert_eq!((state.due_ms, state.lease_end_ms), (Some(street.shop.now_ms()), None));
            assert_eq!(state.oldest_unconfirmed_ms, Some(START_MS));
            let claim = street.claim(&street.web, "u").await;
            assert_eq!(claim.items[0].sure, sure);
            let outcome = SettleOutcome::Returned { sure: true };
            street.settle(&street.web, "u", &[Settlement { outcome, ..applied(&claim, 0) }]).await;
            street.shop.pass(AGE_MAX_MS + 1);
        }
        let claim = street.claim(&street.web, "t").await;
        street.settle(&street.web, "t", &[failed(&claim, 1, true)]).await;
        street.shop.pass(1);
        let outcome = SettleOutcome::Returned { sure: false };
        assert_eq!(street.answer(&street.web, outcome).await, Settled::Parked);
        let state = street.state(&street.web).await;
        assert_eq!((state.attempts, state.last_error.as_str()), (1, "503 from the shop"));
        street.shop.close().await;
    }
}

/// Asked for during the call, told after it: a lease handed back does not forget that.
#[tokio::test]
async fn a_lease_handed_back_is_not_sure_when_a_refusal_came_meanwhile() {
    for partitions in both() {
        let street = street(partitions).await;
        let claim = street.claim(&street.web, "t").await;
        assert!(claim.items[0].sure);
        street.change(&from("app", decrement("too much", &[("A", 999)]))).await;
        let answer = Settlement { outcome: SettleOutcome::Returned { sure: true }, ..applied(&claim, 0) };
        street.settle(&street.web, "t", &[answer]).await;
        assert!(!street.claim(&street.web, "u").await.items[0].sure);
        street.shop.close().await;
    }
}

/// A worker that died may have called.
#[tokio::test]
async fn what_a_dead_worker_had_is_not_sure() {
    for partitions in both() {
        let street = street(partitions).await;
        assert!(street.claim(&street.web, "dies").await.items[0].sure);
        street.shop.pass(LEASE_MS);
        assert!(!street.claim(&street.web, "next").await.items[0].sure);
        street.shop.close().await;
    }
}

#[tokio::test]
async fn an_item_given_twice_counts_once() {
    for partitions in both() {
        let street = street(partitions).await;
        let claim = street.claim(&street.web, "t").await;
        let answers = [applied(&claim, 0), failed(&claim, 1000, true)];
        let settled = street.settle(&street.web, "t", &answers).await;
        assert!(matches!(settled[..], [Settled::Confirmed(_), Settled::Lost]), "{settled:?}");
        assert_eq!(street.counts(&street.web).await, ChannelCounts::default());
        street.shop.close().await;
    }
}

/// However long a channel asks to be left alone, the SKU is live, not behind.
#[tokio::test]
async fn a_wait_without_end_ends() {
    for partitions in both() {
        let street = street(partitions).await;
        assert_eq!(street.answer(&street.web, failure(i64::MAX / 2, false)).await, Settled::Parked);
        let counts = street.counts(&street.web).await;
        assert_eq!((counts.due, counts.retrying, counts.behind), (1, 1, 0));
        street.shop.close().await;
    }
}
