//! Group commit: bounds on batch and queue, and a Redis that forgets its scripts between two calls.

use futures_util::future::join_all;
use stockgate::{
    domain::ChannelRules,
    store::{SettleOutcome, Settled, Settlement, StoreError},
};

use crate::{
    harness::{Shop, both},
    requests::*,
};

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_the_rest_is_answered() {
    for partitions in both() {
        let shop = Shop::open_with(partitions, |settings| settings.queue_max = 4).await;
        shop.stock(&[("A", 100), ("B", 100), ("C", 100)]).await;
        let skus = ["A", "A", "A", "A", "B", "C", "B", "C"];
        let asked: Vec<_> =
            skus.iter().enumerate().map(|(n, sku)| decrement(&format!("k{n}"), &[(sku, 1)])).collect();
        // One thread: all are offered before the committer takes the first.
        let answers = join_all(asked.iter().map(|one| shop.store.mutate(one, None))).await;
        for (n, answer) in answers.into_iter().enumerate() {
            match n {
                // The hot one has half of the queue.
                0 | 1 | 4 | 5 => assert!(answer.unwrap().result.is_ok()),
                2 | 3 => assert!(matches!(answer, Err(StoreError::Overloaded { queued: 2 })), "{answer:?}"),
                _ => assert!(matches!(answer, Err(StoreError::Overloaded { queued: 4 })), "{answer:?}"),
            }
        }
        assert_eq!((shop.units("A").await, shop.units("B").await), ((98, 0), (99, 0)));
        shop.applied(&decrement("k3", &[("A", 1)])).await;
        shop.close().await;
    }
}

#[tokio::test]
async fn calls_of_a_hundred_lines_go_in_batches_within_bounds() {
    for partitions in both() {
        for (batch_max, lines_max) in [(512, 2000), (3, 2000), (512, 50), (1, 1)] {
            let shop = Shop::open_with(partitions, |settings| {
                settings.batch_max = batch_max;
                settings.lines_max = lines_max;
            })
            .await;
            let names: Vec<String> = (0..100).map(|n| format!("sku-{n:03}")).collect();
            let cart: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
            join_all(names.iter().map(|name| shop.answer_owned(set("stock", name, 100)))).await;
            let asked: Vec<_> = (0..60).map(|n| decrement(&format!("k{n}"), &cart)).collect();
            join_all(asked.iter().map(|one| shop.applied(one))).await;
            for name in &names {
                assert_eq!(shop.units(name).await, (40, 0));
            }
            let longest = shop.longest_run().await;
            let lines_bound = lines_max.max(100);
            assert!(longest <= lines_bound.min(batch_max * 100), "{longest} changes in one script");
            shop.close().await;
        }
    }
}

#[tokio::test]
async fn waiting_calls_share_a_script() {
    let shop = Shop::open(both()[0]).await;
    shop.stock(&[("A", 100)]).await;
    let asked: Vec<_> = (0..64).map(|n| decrement(&format!("k{n}"), &[("A", 1)])).collect();
    join_all(asked.iter().map(|one| shop.applied(one))).await;
    assert!(shop.longest_run().await >= 32, "64 waiting calls should go in a script or two");
    shop.close().await;
}

#[tokio::test]
async fn who_gave_up_waiting_is_not_served_and_may_repeat() {
    let shop = Shop::open(both()[0]).await;
    shop.stock(&[("A", 10)]).await;
    let sale = decrement("k", &[("A", 1)]);
    // Dropped before the committer runs: never sent.
    tokio::select! {
        biased;
        answer = shop.store.mutate(&sale, None) => panic!("nobody could answer yet: {answer:?}"),
        () = std::future::ready(()) => {}
    }
    assert!(!shop.answer(&sale).await.replayed);
    assert_eq!(shop.units("A").await, (9, 0));
    shop.close().await;
}

#[tokio::test]
async fn going_down_answers_what_is_queued_and_refuses_the_rest() {
    let shop = Shop::open(both()[0]).await;
    shop.stock(&[("A", 10)]).await;
    let store = shop.store.clone();
    let sale = decrement("k", &[("A", 1)]);
    let (answer, ()) = tokio::join!(store.mutate(&sale, None), shop.close());
    assert!(answer.unwrap().result.is_ok());
    assert!(matches!(store.mutate(&sale, None).await, Err(StoreError::Draining)));
}

#[tokio::test]
async fn a_redis_that_forgets_its_scripts_is_not_noticed() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        let home = partitions.of(&sku("A"));
        let (web, policy) = (channel("web"), ChannelRules::default());
        shop.forget_scripts().await;
        shop.applied(&decrement("k1", &[("A", 1)])).await;
        shop.forget_scripts().await;
        let asked: Vec<_> = (0..5).map(|n| decrement(&format!("many {n}"), &[("A", 1)])).collect();
        join_all(asked.iter().map(|one| shop.applied(one))).await;
        shop.forget_scripts().await;
        let read = shop.read("me", 1000).await;
        for (partition, entries) in read {
            shop.forget_scripts().await;
            shop.store.fan_out(partition, shop.store.channels(), &entries).await.unwrap();
        }
        shop.forget_scripts().await;
        let claim = shop.store.claim(home, &web, &policy, "t1", 10).await.unwrap();
        assert_eq!((claim.items.len(), claim.items[0].desired.published), (1, 4));
        shop.forget_scripts().await;
        let told = Settlement {
            sku: sku("A"),
            version: claim.items[0].desired.version,
            quantity: 4,
            paused: false,
            outcome: SettleOutcome::Applied,
        };
        let settled = shop.store.settle(home, &web, &ChannelRules::default(), "t1", &[told]).await.unwrap();
        assert!(matches!(settled[..], [Settled::Confirmed(_)]), "{settled:?}");
        shop.forget_scripts().await;
        assert_eq!(shop.store.sweep(home, 10).await.unwrap().ended, 0);
        shop.close().await;
    }
}
