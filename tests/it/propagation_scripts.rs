//! Carrying changes to channels: fan_out, claim and settle, one rule at a time.

use stockgate::{
    domain::{ChannelRules, SetCondition},
    store::{ChannelCounts, EntryId, SettleOutcome, Settled, Settlement, StoreError},
};

use crate::{
    harness::{LEASE_MS, START_MS, Shop, both},
    requests::*,
    street::{Street, applied, failed, lag},
};

#[tokio::test]
async fn a_change_makes_a_sku_due_on_every_channel_and_many_changes_are_one_call() {
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        for n in 0..5 {
            street.shop.pass(10);
            street.change(&restock(&format!("i{n}"), &[("A", 1)])).await;
        }
        for channel in [&street.web, &street.app] {
            let counts = ChannelCounts {
                due: 1,
                oldest_unconfirmed_ms: Some(START_MS + 10),
                ..ChannelCounts::default()
            };
            assert_eq!(street.counts(channel).await, counts);
            let claim = street.claim(channel, "t").await;
            let told: Vec<_> =
                claim.items.iter().map(|item| (item.desired.published, item.desired.version)).collect();
            assert_eq!(told, [(15, 6)]);
            assert_eq!(street.counts(channel).await.leased, 1);
            let settled = street.settle(channel, "t", &[applied(&claim, 0)]).await;
            assert_eq!(settled, [Settled::Confirmed(lag(40, 5))]);
            assert_eq!(street.counts(channel).await, ChannelCounts::default());
            let state = street.state(channel).await;
            assert_eq!((state.confirmed_version, state.confirmed_quantity), (6, 15));
        }
        street.shop.close().await;
    }
}

#[tokio::test]
async fn fanning_out_again_marks_nothing_that_is_confirmed() {
    let street = Street::in_sync(Shop::open(both()[0]).await).await;
    let events = street.shop.key("A", "ev");
    street.shop.redis::<()>(redis::cmd("XGROUP").arg("SETID").arg(events).arg("fanout").arg("0")).await;
    for (partition, entries) in street.shop.read("again", 1000).await {
        assert!(!entries.is_empty());
        assert_eq!(
            street.shop.store.fan_out(partition, street.shop.store.channels(), &entries).await.unwrap(),
            0
        );
    }
    assert_eq!(street.counts(&street.web).await, ChannelCounts::default());
    street.shop.close().await;
}

#[tokio::test]
async fn a_sale_is_not_told_to_the_channel_that_made_it() {
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        street.change(&from("web", decrement("d", &[("A", 3)]))).await;
        let web = street.state(&street.web).await;
        assert_eq!((web.confirmed_version, web.confirmed_quantity, web.due_ms), (2, 7, None));
        assert_eq!(web.oldest_unconfirmed_ms, None);
        assert!(street.is_due(&street.app).await);
        // Two in one go are known as well.
        street.shop.answer(&from("web", decrement("d2", &[("A", 1)]))).await;
        street.change(&from("web", reserve("r", &[("A", 1)], 1000))).await;
        let web = street.state(&street.web).await;
        assert_eq!((web.confirmed_version, web.confirmed_quantity, web.due_ms), (4, 5, None));
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_channel_is_told_of_its_own_sale_unless_it_knew_everything_before() {
    for partitions in both() {
        let sale = |key: &str| from("web", decrement(key, &[("A", 1)]));

        let never_told = Street::open(Shop::open(partitions).await).await;
        never_told.change(&sale("d")).await;
        assert!(never_told.is_due(&never_told.web).await, "never told");
        never_told.shop.close().await;

        let behind = Street::in_sync(Shop::open(partitions).await).await;
        behind.change(&restock("i", &[("A", 1)])).await;
        behind.change(&sale("d")).await;
        assert!(behind.is_due(&behind.web).await, "something was due");
        assert_eq!(behind.state(&behind.web).await.confirmed_version, 1);
        behind.shop.close().await;

        let mixed = Street::in_sync(Shop::open(partitions).await).await;
        mixed.shop.answer(&sale("d")).await;
        mixed.change(&decrement("others", &[("A", 1)])).await;
        assert!(mixed.is_due(&mixed.web).await, "somebody else sold too");
        mixed.shop.close().await;

        let in_flight = Street::in_sync(Shop::open(partitions).await).await;
        in_flight.change(&restock("i", &[("A", 1)])).await;
        let claim = in_flight.claim(&in_flight.web, "t").await;
        in_flight.change(&sale("d")).await;
        let settled = in_flight.settle(&in_flight.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Moved(_)]), "{settled:?}");
        assert!(in_flight.is_due(&in_flight.web).await, "something was in flight");
        in_flight.shop.close().await;

        // A commit or a release is news even to the channel that made the hold.
        let released = Street::in_sync(Shop::open(partitions).await).await;
        let made = from("web", reserve("r", &[("A", 2)], 1000));
        released.change(&made).await;
        assert!(!released.is_due(&released.web).await);
        released.change(&from("web", release("l", &hold_of(&made, partitions)))).await;
        assert!(released.is_due(&released.web).await, "what comes back is not known");
        released.shop.close().await;
    }
}

#[tokio::test]
async fn what_a_channel_put_back_with_its_own_hold_is_told_though_the_number_stays() {
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        let made = from("web", reserve("r", &[("A", 1)], 1000));
        street.change(&made).await;
        assert_eq!(street.state(&street.web).await.confirmed_quantity, 9);
        // It shows 10 again by itself; another channel sells one: 9, as it confirmed, and it shows 10.
        street.shop.answer(&release("l", &hold_of(&made, partitions))).await;
        street.change(&decrement("others", &[("A", 1)])).await;
        let claim = street.claim(&street.web, "t").await;
        assert!(claim.items[0].desired.published == 9 && !claim.items[0].is_shown(), "{claim:?}");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn what_moved_on_is_due_again_with_the_lag_of_the_oldest_change_left() {
    for partitions in both() {
        let street = Street::open(Shop::open(partitions).await).await;
        street.shop.pass(5);
        let claim = street.claim(&street.web, "t1").await;
        street.shop.pass(10);
        street.change(&restock("i1", &[("A", 1)])).await;
        street.shop.pass(10);
        street.change(&restock("i2", &[("A", 1)])).await;
        street.shop.pass(10);
        let settled = street.settle(&street.web, "t1", &[applied(&claim, 0)]).await;
        assert_eq!(settled, [Settled::Moved(lag(35, 1))]);
        let state = street.state(&street.web).await;
        assert_eq!((state.confirmed_version, state.oldest_unconfirmed_ms), (1, Some(START_MS + 15)));
        assert_eq!(state.due_ms, Some(START_MS + 35));
        let claim = street.claim(&street.web, "t2").await;
        let settled = street.settle(&street.web, "t2", &[applied(&claim, 0)]).await;
        assert_eq!(settled, [Settled::Confirmed(lag(20, 2))]);
        street.shop.close().await;
    }
}

#[tokio::test]
async fn what_moved_on_before_it_was_fanned_out_is_due_again_too() {
    for partitions in both() {
        let street = Street::open(Shop::open(partitions).await).await;
        let claim = street.claim(&street.web, "t1").await;
        street.shop.pass(10);
        street.shop.answer(&restock("i1", &[("A", 1)])).await;
        street.shop.pass(10);
        street.shop.answer(&restock("i2", &[("A", 1)])).await;
        let settled = street.settle(&street.web, "t1", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Moved(_)]), "{settled:?}");
        street.fan_out().await;
        let state = street.state(&street.web).await;
        assert_eq!(state.oldest_unconfirmed_ms, Some(START_MS + 10));
        assert!(state.due_ms.is_some());
        street.shop.close().await;
    }
}

#[tokio::test]
async fn an_older_change_adopted_during_a_push_counts_for_the_lag() {
    for partitions in both() {
        let street = Street::open(Shop::open(partitions).await).await;
        let claim = street.claim(&street.web, "t").await;
        let store = &street.shop.store;
        street.shop.pass(10);
        street.shop.answer(&restock("i1", &[("A", 1)])).await;
        assert_eq!(street.shop.read("dead", 1000).await.len(), 1);
        street.shop.pass(10);
        street.change(&restock("i2", &[("A", 1)])).await;
        let (adopted, _) = store.adopt_entries(street.home, "me", 0, EntryId::default(), 100).await.unwrap();
        store.fan_out(street.home, store.channels(), &adopted).await.unwrap();
        let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Moved(_)]), "{settled:?}");
        assert_eq!(street.state(&street.web).await.oldest_unconfirmed_ms, Some(START_MS + 10));
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_lease_that_ran_out_goes_to_another_and_the_late_answer_is_lost() {
    for partitions in both() {
        let street = Street::open(Shop::open(partitions).await).await;
        let slow = street.claim(&street.web, "slow").await;
        assert_eq!(slow.items.len(), 1);
        let early = street.claim(&street.web, "quick").await;
        assert_eq!((early.items.len(), early.next_in_ms), (0, u64::try_from(LEASE_MS).ok()));
        street.shop.pass(LEASE_MS);
        street.change(&restock("i", &[("A", 1)])).await;
        let quick = street.claim(&street.web, "quick").await;
        assert_eq!(quick.items[0].desired.version, 2);
        assert_eq!(street.settle(&street.web, "slow", &[applied(&slow, 0)]).await, [Settled::Lost]);
        assert_eq!(street.state(&street.web).await.confirmed_version, 0);
        let settled = street.settle(&street.web, "quick", &[applied(&quick, 0)]).await;
        assert!(matches!(settled[..], [Settled::Confirmed(_)]));
        // Later still, and twice: the channel never goes back.
        assert_eq!(street.settle(&street.web, "slow", &[applied(&slow, 0)]).await, [Settled::Lost]);
        assert_eq!(street.settle(&street.web, "quick", &[applied(&quick, 0)]).await, [Settled::Lost]);
        let state = street.state(&street.web).await;
        assert_eq!((state.confirmed_version, state.confirmed_quantity), (2, 11));
        street.shop.close().await;
    }
}

#[tokio::test]
async fn an_older_version_never_replaces_a_newer_one() {
    let street = Street::in_sync(Shop::open(both()[0]).await).await;
    street.change(&restock("i", &[("A", 1)])).await;
    let claim = street.claim(&street.web, "t").await;
    let older = Settlement { version: 0, quantity: 99, ..applied(&claim, 0) };
    let settled = street.settle(&street.web, "t", &[older]).await;
    assert!(matches!(settled[..], [Settled::Moved(_)]), "{settled:?}");
    let state = street.state(&street.web).await;
    assert_eq!((state.confirmed_version, state.confirmed_quantity), (1, 10));
    assert!(state.due_ms.is_some());
    street.shop.close().await;
}

#[tokio::test]
async fn a_failure_is_parked_until_its_time_and_counted_when_it_burns_an_attempt() {
    for partitions in both() {
        let street = Street::open(Shop::open(partitions).await).await;
        for (round, burns) in [(1_u32, true), (2, true), (2, false)] {
            let claim = street.claim(&street.web, "t").await;
            assert_eq!(claim.items.len(), 1, "round {round}");
            let settled = street.settle(&street.web, "t", &[failed(&claim, 1000, burns)]).await;
            assert_eq!(settled, [Settled::Parked]);
            let state = street.state(&street.web).await;
            assert_eq!((state.attempts, state.due_ms), (round, Some(street.shop.now_ms() + 1000)));
            assert_eq!(state.last_error, "503 from the shop");
            assert_eq!(state.oldest_unconfirmed_ms, Some(START_MS));
            let counts = street.counts(&street.web).await;
            assert_eq!((counts.due, counts.retrying, counts.leased), (1, 1, 0));
            let early = street.claim(&street.web, "early").await;
            assert_eq!((early.items.len(), early.next_in_ms), (0, Some(1000)));
            // A change does not jump the queue of retries.
            street.change(&restock(&format!("i{round}{burns}"), &[("A", 1)])).await;
            assert_eq!(street.claim(&street.web, "early").await.items.len(), 0);
            street.shop.pass(1000);
        }
        let claim = street.claim(&street.web, "t").await;
        assert_eq!((claim.items[0].attempts, claim.items[0].desired.version), (2, 4));
        let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        assert_eq!(settled, [Settled::Confirmed(lag(3000, 1))]);
        let state = street.state(&street.web).await;
        assert_eq!((state.attempts, state.last_error.as_str()), (0, ""));
        street.shop.close().await;
    }
}

#[tokio::test]
async fn what_waits_without_having_failed_does_not_wait_with_news() {
    for partitions in both() {
        let street = Street::open(Shop::open(partitions).await).await;
        let hour_ms = 3_600_000;
        let claim = street.claim(&street.web, "t").await;
        street.settle(&street.web, "t", &[failed(&claim, hour_ms, false)]).await;
        assert_eq!(street.claim(&street.web, "early").await.items.len(), 0);
        street.change(&restock("i1", &[("A", 1)])).await;
        let claim = street.claim(&street.web, "t2").await;
        assert_eq!(claim.items.len(), 1);
        // News that came during the call does not wait either.
        street.change(&restock("i2", &[("A", 1)])).await;
        street.settle(&street.web, "t2", &[failed(&claim, hour_ms, false)]).await;
        assert_eq!(street.claim(&street.web, "t3").await.items.len(), 1);
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_claim_takes_no_more_than_its_limit_and_what_ran_out_first() {
    for partitions in both() {
        let shop = Shop::open_with(partitions, |settings| settings.channels.truncate(1)).await;
        let street = Street::open(shop).await;
        let names: Vec<String> = (0..400).map(|n| format!("s{n}")).collect();
        let here: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| partitions.of(&sku(name)) == street.home)
            .take(10)
            .collect();
        for name in &here {
            street.shop.applied(&set_if("new", name, 5, SetCondition::Version(0))).await;
        }
        street.fan_out().await;
        let policy = ChannelRules::default();
        let mut seen = Vec::new();
        for token in ["1", "2", "3"] {
            let claim = street.shop.store.claim(street.home, &street.web, &policy, token, 4).await.unwrap();
            assert!(claim.items.len() <= 4);
            seen.extend(claim.items.into_iter().map(|item| item.desired.sku));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 11, "A and ten more, none twice");
        let counts = street.counts(&street.web).await;
        assert_eq!((counts.due, counts.leased), (0, 11));
        street.shop.pass(LEASE_MS);
        let again = street.shop.store.claim(street.home, &street.web, &policy, "4", 100).await.unwrap();
        assert_eq!(again.items.len(), 11);
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_broken_sku_is_claimed_as_broken_and_hurts_no_other() {
    for partitions in both() {
        let street = Street::open(Shop::open(partitions).await).await;
        let stock = street.shop.key("A", "stock");
        street.shop.redis::<i64>(redis::cmd("HSET").arg(&stock).arg("A").arg("rubbish")).await;
        let claim = street.claim(&street.web, "t").await;
        assert_eq!((claim.items.len(), claim.broken), (0, vec![sku("A")]));
        let outcome = SettleOutcome::Failed { delay_ms: 9, burns_attempt: true, error: "broken".to_owned() };
        let answer = Settlement { sku: sku("A"), version: 0, quantity: 0, paused: false, outcome };
        assert_eq!(street.settle(&street.web, "t", &[answer]).await, [Settled::Parked]);
        assert!(street.is_due(&street.web).await);
        street.shop.close().await;
    }
}

#[tokio::test]
async fn entries_somebody_else_read_and_lost_are_adopted() {
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        street.shop.answer(&restock("i", &[("A", 1)])).await;
        let read = street.shop.read("dead", 1000).await;
        assert_eq!(read.len(), 1, "read, and never acknowledged");
        assert!(!street.is_due(&street.web).await);
        let store = &street.shop.store;
        let (adopted, next) =
            store.adopt_entries(street.home, "me", 0, EntryId::default(), 100).await.unwrap();
        assert_eq!((adopted.len(), next), (1, None));
        store.fan_out(street.home, store.channels(), &adopted).await.unwrap();
        assert!(street.is_due(&street.web).await);
        let (left, _) = store.adopt_entries(street.home, "me", 0, EntryId::default(), 100).await.unwrap();
        assert!(left.is_empty(), "acknowledged with the marks");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_key_of_the_wrong_type_is_named_and_nothing_is_half_written() {
    for partitions in both() {
        let policy = ChannelRules::default();
        for kind in ["due", "lease", "dirty", "work", "sync", "dead"] {
            for channel in ["web", "app"] {
                let street = Street::open(Shop::open(partitions).await).await;
                let store = &street.shop.store;
                let claim = street.claim(&street.web, "t").await;
                let settlement = applied(&claim, 0);
                street.shop.answer(&restock("i", &[("A", 1)])).await;
                let read = street.shop.read("me", 100).await;
                let key = street.shop.key("A", &format!("{kind}:{channel}"));
                street.shop.redis::<()>(redis::cmd("SET").arg(&key).arg("wrong")).await;
                // A sick channel hurts nobody else, and the entry waits until it is mended.
                assert!(store.fan_out(street.home, store.channels(), &read[0].1).await.is_ok());
                let healthy = if channel == "web" { &street.app } else { &street.web };
                assert!(street.is_due(healthy).await || *healthy == street.web, "{key}");
                let (left, _) =
                    store.adopt_entries(street.home, "me", 0, EntryId::default(), 9).await.unwrap();
                assert_eq!(left.len(), 1, "{key}");
                let before = street.shop.dump().await;
                let names_it = |fault: StoreError| match fault {
                    StoreError::WrongType { detail } => assert!(detail.contains(&key), "{detail}"),
                    other => panic!("{key}: {other:?}"),
                };
                if channel == "web" {
                    let told = store.settle(street.home, &street.web, &policy, "t", &[settlement]).await;
                    names_it(told.expect_err("must notice"));
                    if !["sync", "dead"].contains(&kind) {
                        let claimed = store.claim(street.home, &street.web, &policy, "t2", 1).await;
                        names_it(claimed.expect_err("must notice"));
                    }
                }
                assert_eq!(street.shop.dump().await, before);
                street.shop.close().await;
            }
        }
    }
}

/// Only a metric hangs on it.
#[tokio::test]
async fn a_wrong_key_of_what_is_sold_out_keeps_no_channel_from_being_told() {
    for partitions in both() {
        let street = Street::in_sync(Shop::open(partitions).await).await;
        let (store, key) = (&street.shop.store, street.shop.key("A", "soldout"));
        street.shop.redis::<()>(redis::cmd("SET").arg(&key).arg("wrong")).await;
        street.change(&decrement("all", &[("A", 10)])).await;
        for channel in [&street.web, &street.app] {
            let settled = street.tell(channel).await;
            assert!(matches!(settled[..], [Settled::Confirmed(_)]), "{settled:?}");
        }
        let waiting =
            async || store.adopt_entries(street.home, "me", 0, EntryId::default(), 9).await.unwrap().0;
        let left = waiting().await;
        assert_eq!(left.len(), 1, "noticed, and kept until it is mended");
        street.shop.redis::<()>(redis::cmd("DEL").arg(&key)).await;
        store.fan_out(street.home, store.channels(), &left).await.unwrap();
        assert_eq!(waiting().await.len(), 0);
        street.shop.close().await;
    }
}
