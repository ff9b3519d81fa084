//! A stored text that does not parse: only what touches it fails, its neighbours in the same script are unharmed.

use futures_util::future::join_all;
use stockgate::{
    domain::{EventKind, HoldState},
    store::{EntryId, StoreError, StoredLevel},
};

use crate::{
    harness::{RETENTION_MS, START_MS, Shop, both},
    requests::*,
};

#[track_caller]
fn assert_broken(fault: &StoreError, what: &str) {
    let StoreError::Broken { what: named } = fault else { panic!("{what}: {fault:?}") };
    assert!(named.contains(what), "{named:?} does not name {what}");
}

const BROKEN_TEXTS: [&str; 6] =
    ["", "rubbish", "1 2 3", "1.5 0 1 1 0 0-1-0-0", "5 -1 1 1 0 0-1-0-0", "5 0 1 1 0 "];

#[tokio::test]
async fn a_broken_sku_fails_alone() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10), ("B", 10), ("bad", 10)]).await;
        let good: String = shop.redis(redis::cmd("HGET").arg(shop.key("bad", "stock")).arg("bad")).await;
        for (n, text) in BROKEN_TEXTS.iter().enumerate() {
            shop.redis::<i64>(redis::cmd("HSET").arg(shop.key("bad", "stock")).arg("bad").arg(text)).await;
            let asked = [
                decrement(&format!("{n} 1"), &[("A", 1)]),
                decrement(&format!("{n} 2"), &[("bad", 1)]),
                decrement(&format!("{n} 3"), &[("A", 1), ("bad", 1), ("B", 1)]),
                restock(&format!("{n} 4"), &[("bad", 1)]),
                set(&format!("{n} 5"), "bad", 1),
                adjust(&format!("{n} 6"), "bad", 1),
                reserve(&format!("{n} 7"), &[("bad", 1)], 1000),
                decrement(&format!("{n} 8"), &[("B", 1)]),
            ];
            // All wait in the queue before the first script goes, so they share it.
            let answers = join_all(asked.iter().map(|one| shop.store.mutate(one, None))).await;
            for (index, answer) in answers.into_iter().enumerate() {
                match index {
                    0 | 7 => assert!(answer.unwrap().result.is_ok()),
                    _ => assert_broken(&answer.unwrap_err(), "sku bad"),
                }
            }
            assert_eq!(shop.store.levels(&[sku("bad")]).await.unwrap(), [StoredLevel::Broken]);
        }
        let rounds = i64::try_from(BROKEN_TEXTS.len()).unwrap();
        assert_eq!((shop.units("A").await.0, shop.units("B").await.0), (10 - rounds, 10 - rounds));
        // The failure was not remembered: mended, the same key works.
        shop.redis::<i64>(redis::cmd("HSET").arg(shop.key("bad", "stock")).arg("bad").arg(good)).await;
        assert!(!shop.answer(&decrement("0 2", &[("bad", 1)])).await.replayed);
        shop.close().await;
    }
}

#[tokio::test]
async fn a_broken_hold_fails_alone() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        let (bad, good) = (reserve("bad", &[("A", 1)], 1000), reserve("good", &[("A", 1)], 1000));
        shop.applied(&bad).await;
        shop.applied(&good).await;
        let (bad, good) = (hold_of(&bad, partitions), hold_of(&good, partitions));
        let key = shop.key("A", "holds");
        for (n, text) in [
            "",
            "rubbish",
            "h 1 1 2 0 A 1 1 0 {}",
            "h 1 1 1 0 A 1 1 0",
            "h 1 1 1 99 A 1 1 0 {}",
            "h 99999999999999 1 0 {}",
        ]
        .iter()
        .enumerate()
        {
            shop.redis::<i64>(redis::cmd("HSET").arg(&key).arg(bad.as_str()).arg(text)).await;
            let asked = [
                commit(&format!("{n} c"), &bad),
                release(&format!("{n} l"), &bad),
                extend(&format!("{n} e"), &bad, 1000),
                extend(&format!("{n} good"), &good, 1000),
            ];
            let answers = join_all(asked.iter().map(|one| shop.store.mutate(one, None))).await;
            for (index, answer) in answers.into_iter().enumerate() {
                match index {
                    3 => assert!(answer.unwrap().result.is_ok()),
                    _ => assert_broken(&answer.unwrap_err(), bad.as_str()),
                }
            }
        }
        shop.close().await;
    }
}

#[tokio::test]
async fn a_record_that_is_no_text_or_more_than_a_line_fails_alone() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 100)]).await;
        let first = decrement("k", &[("A", 1)]);
        shop.applied(&first).await;
        let window = shop.now_ms() / RETENTION_MS;
        let key = shop.key("A", &format!("rec:{window}"));
        let good: Vec<u8> = shop.redis(redis::cmd("HGET").arg(&key).arg("- A k")).await;
        let broken_at_the_end = |rest: &[u8]| [&good[..good.len() - 5], rest].concat();
        let texts = [broken_at_the_end(b"\xff"), broken_at_the_end(b"\n1"), b"rubbish".to_vec(), Vec::new()];
        for (n, text) in texts.iter().enumerate() {
            shop.redis::<i64>(redis::cmd("HSET").arg(&key).arg("- A k").arg(text)).await;
            let asked = [
                decrement(&format!("{n} 1"), &[("A", 1)]),
                first.clone(),
                decrement(&format!("{n} 2"), &[("A", 1)]),
            ];
            let answers = join_all(asked.iter().map(|one| shop.store.mutate(one, None))).await;
            assert!(
                matches!(
                    &answers[..],
                    [Ok(_), Err(StoreError::Broken { .. } | StoreError::Corrupt { .. }), Ok(_)]
                ),
                "{answers:?}"
            );
        }
        assert_eq!(shop.units("A").await, (91, 0));
        shop.redis::<i64>(redis::cmd("HSET").arg(&key).arg("- A k").arg(good)).await;
        assert!(shop.answer(&first).await.replayed);
        shop.close().await;
    }
}

#[tokio::test]
async fn a_broken_hold_does_not_stop_the_sweeper_or_a_sale() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        for n in 0..10 {
            shop.applied(&reserve(&format!("r{n}"), &[("A", 1)], 1000 + n)).await;
        }
        let first = hold_of(&reserve("r0", &[("A", 1)], 1000), partitions);
        shop.redis::<i64>(redis::cmd("HSET").arg(shop.key("A", "holds")).arg(first.as_str()).arg("rubbish"))
            .await;
        shop.pass(5000);
        let home = partitions.of(&sku("A"));
        let swept = shop.store.sweep(home, 5).await.unwrap();
        assert_eq!((swept.ended, swept.more), (4, true));
        shop.applied(&decrement("d", &[("A", 9)])).await;
        assert_eq!(shop.units("A").await, (1, 1));
        // It is looked at again later, not at once.
        let next = shop.store.first_deadline_ms(home).await.unwrap().unwrap();
        assert!(next > shop.now_ms());
        shop.close().await;
    }
}

#[tokio::test]
async fn a_hold_whose_sku_is_broken_is_ended_once_it_is_mended() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 5), ("B", 5)]).await;
        let made = reserve("r", &[("A", 1), ("B", 1)], 1000);
        shop.applied(&made).await;
        let stock = shop.key("B", "stock");
        let good: String = shop.redis(redis::cmd("HGET").arg(&stock).arg("B")).await;
        shop.redis::<i64>(redis::cmd("HSET").arg(&stock).arg("B").arg("rubbish")).await;
        shop.pass(1000);
        let (home, other) = (partitions.of(&sku("A")), partitions.of(&sku("B")));
        // Apart, a broken neighbour is none of home's business.
        let is_apart = shop.is_apart();
        assert_eq!(shop.store.sweep(home, 10).await.unwrap().ended, u32::from(is_apart));
        assert_eq!(shop.units("A").await, (5, 0), "an expired hold refuses no sale of its whole neighbours");
        shop.redis::<i64>(redis::cmd("HSET").arg(&stock).arg("B").arg(good)).await;
        shop.pass(1000);
        assert_eq!(shop.store.sweep(home, 10).await.unwrap().ended, u32::from(!is_apart));
        shop.store.sweep(other, 10).await.unwrap();
        assert_eq!((shop.units("A").await, shop.units("B").await), ((5, 0), (5, 0)));
        let state = shop.store.hold(&hold_of(&made, partitions)).await.unwrap().unwrap().state;
        assert_eq!(state, HoldState::Expired);
        shop.close().await;
    }
}

#[tokio::test]
async fn a_broken_record_fails_alone() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        let records = shop.key("A", &format!("rec:{}", START_MS / RETENTION_MS));
        for (n, text) in ["", "rubbish", "d-with-a-fingerprint but no answer"].iter().enumerate() {
            let (bad, good) = (format!("bad {n}"), format!("good {n}"));
            shop.redis::<i64>(redis::cmd("HSET").arg(&records).arg(format!("- A {bad}")).arg(text)).await;
            let (bad, good) = (decrement(&bad, &[("A", 1)]), decrement(&good, &[("A", 1)]));
            let (bad, good) = tokio::join!(shop.store.mutate(&bad, None), shop.store.mutate(&good, None));
            assert!(good.unwrap().result.is_ok());
            // Nobody can know what was answered: neither sold again nor called done.
            match bad {
                Err(fault) => assert!(matches!(fault, StoreError::Broken { .. }), "{fault:?}"),
                Ok(answer) => assert!(answer.result.is_err(), "{answer:?}"),
            }
        }
        assert_eq!(shop.units("A").await, (7, 0));
        shop.close().await;
    }
}

#[tokio::test]
async fn events_of_a_run_with_a_broken_neighbour_are_whole() {
    let shop = Shop::open(both()[0]).await;
    shop.stock(&[("A", 10), ("bad", 10)]).await;
    shop.redis::<i64>(redis::cmd("HSET").arg(shop.key("bad", "stock")).arg("bad").arg("rubbish")).await;
    let asked = [decrement("1", &[("A", 1)]), decrement("2", &[("bad", 1)]), decrement("3", &[("A", 1)])];
    join_all(asked.iter().map(|one| shop.store.mutate(one, None))).await;
    let home = shop.partitions().of(&sku("A"));
    let last = shop.store.last_entry(home).await.unwrap();
    let entries = shop.store.entries(home, last, EntryId::END, 10, false).await.unwrap();
    let events = entries[0].events.as_ref().unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.key.as_str())).collect();
    assert_eq!(told, [(EventKind::Decremented, "1"), (EventKind::Decremented, "3")]);
    shop.close().await;
}
