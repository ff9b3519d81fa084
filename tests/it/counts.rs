//! Counts at their edges: too large, below zero, below what is held; and a Redis that is full.

use std::time::Duration;

use stockgate::{
    domain::{Refusal, SetCondition, Shortage, Versions},
    store::StoreError,
};

use crate::{
    harness::{Shop, both},
    requests::*,
    server::Server,
};

#[tokio::test]
async fn a_count_that_would_not_be_exact_is_refused() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 1), ("B", 1)]).await;
        let text = "9999999999990 0 1 1 0 0-1-0-0";
        shop.redis::<i64>(redis::cmd("HSET").arg(shop.key("A", "stock")).arg("A").arg(text)).await;
        let overflow = Refusal::Overflow(sku("A"));
        assert_eq!(shop.refused(&restock("i", &[("B", 1), ("A", 11)])).await, overflow);
        assert_eq!(shop.refused(&adjust("a", "A", 11)).await, overflow);
        assert_eq!((shop.units("A").await.0, shop.units("B").await.0), (9_999_999_999_990, 1));
        shop.applied(&restock("i2", &[("A", 10)])).await;
        assert_eq!(shop.units("A").await.0, 10_000_000_000_000);
        // Printed whole, never as 1e+13.
        shop.applied(&decrement("d", &[("A", 1)])).await;
        assert_eq!(shop.units("A").await.0, 9_999_999_999_999);
        shop.close().await;
    }
}

#[tokio::test]
async fn adjusting_below_zero_is_refused() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 3)]).await;
        let short = vec![Shortage { sku: sku("A"), requested: 4, available: 3 }];
        assert_eq!(shop.refused(&adjust("a", "A", -4)).await, Refusal::Insufficient(short));
        shop.applied(&adjust("a2", "A", -3)).await;
        assert_eq!(shop.units("A").await, (0, 0));
        shop.close().await;
    }
}

#[tokio::test]
async fn a_count_set_below_what_is_held_is_oversold_and_not_clamped() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        let made = reserve("r", &[("A", 6)], 1000);
        shop.applied(&made).await;
        shop.applied(&set("s", "A", 2)).await;
        assert_eq!(shop.level("A").await.available(), -4);
        let short = vec![Shortage { sku: sku("A"), requested: 1, available: -4 }];
        assert_eq!(shop.refused(&decrement("d", &[("A", 1)])).await, Refusal::Insufficient(short));
        // What was promised is sold all the same: the shop owes four.
        shop.applied(&commit("c", &hold_of(&made, partitions))).await;
        assert_eq!(shop.units("A").await, (-4, 0));
        shop.applied(&restock("i", &[("A", 5)])).await;
        assert_eq!(shop.units("A").await, (1, 0));
        shop.close().await;
    }
}

#[tokio::test]
async fn set_keeps_its_condition() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.applied(&set_if("new", "A", 5, SetCondition::Version(0))).await;
        let there = vec![Versions { sku: sku("A"), expected: 0, current: 1 }];
        let again = set_if("new again", "A", 9, SetCondition::Version(0));
        assert_eq!(shop.refused(&again).await, Refusal::VersionMismatch(there));
        shop.applied(&set_if("at 1", "A", 6, SetCondition::Version(1))).await;
        assert_eq!(shop.units("A").await, (6, 0));
        shop.close().await;
    }
}

#[tokio::test]
async fn a_full_redis_refuses_to_take_and_lets_give_back() {
    let server = Server::start();
    for partitions in both() {
        let shop = Shop::open_with(partitions, |settings| settings.link.address = server.address()).await;
        shop.stock(&[("A", 100)]).await;
        let makers: Vec<_> = (0..3).map(|n| reserve(&format!("r{n}"), &[("A", 10)], 1000 + n)).collect();
        for maker in &makers {
            shop.applied(maker).await;
        }
        let holds = makers.iter().map(|maker| hold_of(maker, partitions)).collect::<Vec<_>>();
        shop.redis::<()>(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1")).await;
        let before = shop.dump().await;
        for taking in
            [decrement("d", &[("A", 1)]), reserve("r", &[("A", 1)], 1000), restock("i", &[("A", 1)])]
        {
            assert!(matches!(shop.fault(&taking).await, StoreError::OutOfMemory), "{taking:?}");
        }
        assert_eq!(shop.dump().await, before);
        // In one batch with what must wait.
        let (give, take) = (commit("c", &holds[0]), decrement("d2", &[("A", 1)]));
        let (given, taken) = tokio::join!(shop.store.mutate(&give, None), shop.store.mutate(&take, None));
        assert!(given.unwrap().result.is_ok());
        assert!(matches!(taken, Err(StoreError::OutOfMemory)));
        shop.applied(&release("l", &holds[1])).await;
        shop.pass(Duration::from_secs(2).as_millis().try_into().unwrap());
        let swept = shop.store.sweep(partitions.of(&sku("A")), 10).await.unwrap();
        assert_eq!((swept.ended, shop.units("A").await), (1, (90, 0)));
        // Nothing was remembered of what was refused: with room again the same keys work.
        shop.redis::<()>(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0")).await;
        assert!(!shop.answer(&decrement("d", &[("A", 1)])).await.replayed);
        shop.close().await;
    }
}
