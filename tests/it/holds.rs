//! Holds: one end each, decided by the clock inside the script; an expired hold never refuses a sale.

use stockgate::{
    domain::{EventKind, HoldState, Partition, Refusal, Shortage},
    store::EntryId,
};

use crate::{
    harness::{START_MS, Shop, both},
    requests::*,
};

fn over(state: HoldState, deadline_ms: i64) -> Refusal {
    Refusal::HoldOver { state, deadline_ms }
}

#[tokio::test]
async fn an_expired_hold_never_refuses_a_sale() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 2), ("B", 2)]).await;
        // Home of the hold is A; the sale of B must find it all the same.
        let made = reserve("r", &[("A", 2), ("B", 2)], 1000);
        shop.applied(&made).await;
        shop.pass(999);
        assert!(matches!(shop.refused(&decrement("early", &[("B", 1)])).await, Refusal::Insufficient(_)));
        shop.pass(1);
        shop.applied(&decrement("d", &[("B", 1)])).await;
        assert_eq!((shop.units("A").await, shop.units("B").await), ((2, 0), (1, 0)));
        let hold = shop.store.hold(&hold_of(&made, partitions)).await.unwrap().unwrap();
        assert_eq!(hold.state, HoldState::Expired);
        shop.close().await;
    }
}

#[tokio::test]
async fn a_thousand_overdue_holds_do_not_refuse_a_sale() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 1000)]).await;
        let makers: Vec<_> = (0..1000).map(|n| reserve(&format!("r{n}"), &[("A", 1)], 1000)).collect();
        let made = futures_util::future::join_all(makers.iter().map(|maker| shop.applied(maker))).await;
        assert_eq!(made.len(), 1000);
        assert_eq!(shop.units("A").await, (1000, 1000));
        shop.pass(1000);
        shop.applied(&decrement("d", &[("A", 1000)])).await;
        assert_eq!(shop.units("A").await, (0, 0));
        assert_eq!(shop.store.first_deadline_ms(partitions.of(&sku("A"))).await.unwrap(), None);
        shop.close().await;
    }
}

#[tokio::test]
async fn overdue_holds_in_every_partition_are_found() {
    let shop = Shop::open(both()[1]).await;
    let names: Vec<String> = (0..64).map(|n| format!("sku-{n}")).collect();
    for name in &names {
        shop.stock(&[(name, 20)]).await;
        for n in 0..20 {
            shop.applied(&reserve(&format!("r{n}"), &[(name, 1)], 1000)).await;
        }
    }
    shop.pass(1000);
    for name in &names {
        shop.applied(&decrement("d", &[(name, 20)])).await;
    }
    shop.close().await;
}

#[tokio::test]
async fn expiry_wins_at_the_deadline() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 5)]).await;
        let made = reserve("r", &[("A", 5)], 1000);
        let hold = hold_of(&made, partitions);
        shop.applied(&made).await;
        shop.pass(999);
        assert_eq!(shop.store.hold(&hold).await.unwrap().unwrap().state, HoldState::Held);
        shop.pass(1);
        assert_eq!(shop.store.hold(&hold).await.unwrap().unwrap().state, HoldState::Expired);
        assert_eq!(shop.refused(&commit("c", &hold)).await, over(HoldState::Expired, START_MS + 1000));
        assert_eq!(shop.refused(&release("l", &hold)).await, over(HoldState::Expired, START_MS + 1000));
        assert_eq!(shop.refused(&extend("e", &hold, 9)).await, over(HoldState::Expired, START_MS + 1000));
        assert_eq!(shop.units("A").await, (5, 0));
        shop.close().await;
    }
}

#[tokio::test]
async fn reacquire_takes_the_units_again_and_only_once() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 5), ("B", 5)]).await;
        let made = reserve("r", &[("A", 3), ("B", 2)], 1000);
        let hold = hold_of(&made, partitions);
        shop.applied(&made).await;
        shop.pass(1000);
        let done = shop.applied(&reacquire("c1", &hold, &[])).await;
        let sold: Vec<i64> = done.lines.iter().map(|line| line.quantity).collect();
        assert_eq!(sold, [3, 2]);
        assert_eq!(done.hold.unwrap().state, HoldState::Committed);
        assert_eq!(
            shop.refused(&reacquire("c2", &hold, &[])).await,
            over(HoldState::Committed, START_MS + 1000)
        );
        assert_eq!((shop.units("A").await, shop.units("B").await), ((2, 0), (3, 0)));
        shop.close().await;
    }
}

#[tokio::test]
async fn reacquire_refuses_when_the_units_are_gone() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 5)]).await;
        let made = reserve("r", &[("A", 3)], 1000);
        let hold = hold_of(&made, partitions);
        shop.applied(&made).await;
        shop.pass(1000);
        shop.applied(&decrement("d", &[("A", 4)])).await;
        let short = vec![Shortage { sku: sku("A"), requested: 3, available: 1 }];
        assert_eq!(shop.refused(&reacquire("c", &hold, &[])).await, Refusal::Insufficient(short));
        // A part of it is still there.
        shop.applied(&reacquire("c part", &hold, &[("A", 1)])).await;
        assert_eq!(shop.units("A").await, (0, 0));
        shop.close().await;
    }
}

#[tokio::test]
async fn a_partial_commit_gives_the_rest_back_unless_kept_open() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10), ("B", 10)]).await;
        let (closing, open) =
            (reserve("r1", &[("A", 4), ("B", 2)], 1000), reserve("r2", &[("A", 4), ("B", 2)], 1000));
        shop.applied(&closing).await;
        shop.applied(&open).await;
        let done = shop.applied(&commit_some("c1", &hold_of(&closing, partitions), &[("A", 1)], false)).await;
        assert_eq!(done.hold.unwrap().state, HoldState::Committed);
        assert_eq!((shop.units("A").await, shop.units("B").await), ((9, 4), (10, 2)));

        let hold = hold_of(&open, partitions);
        let done = shop.applied(&commit_some("c2", &hold, &[("A", 1)], true)).await;
        let kept = done.hold.unwrap();
        assert_eq!(kept.state, HoldState::Held);
        let units: Vec<_> =
            kept.lines.iter().map(|line| (line.reserved, line.held, line.committed)).collect();
        assert_eq!(units, [(4, 3, 1), (2, 2, 0)]);
        let too_much = vec![Shortage { sku: sku("A"), requested: 4, available: 3 }];
        let refusal = shop.refused(&commit_some("c3", &hold, &[("A", 4)], true)).await;
        assert_eq!(refusal, Refusal::ExceedsHold(too_much));
        let done = shop.applied(&commit("c4", &hold)).await;
        assert_eq!(done.hold.unwrap().state, HoldState::Committed);
        assert_eq!((shop.units("A").await, shop.units("B").await), ((5, 0), (8, 0)));
        shop.close().await;
    }
}

#[tokio::test]
async fn release_twice_returns_stock_once() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        let made = reserve("r", &[("A", 4)], 1000);
        let hold = hold_of(&made, partitions);
        shop.applied(&made).await;
        shop.applied(&release("l1", &hold)).await;
        assert_eq!(shop.refused(&release("l2", &hold)).await, over(HoldState::Released, START_MS + 1000));
        assert_eq!(shop.units("A").await, (10, 0));
        shop.close().await;
    }
}

#[tokio::test]
async fn a_hold_released_before_it_was_made_is_never_made() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        let late = reserve("r", &[("A", 4)], 1000);
        let hold = hold_of(&late, partitions);
        let done = shop.applied(&release("l", &hold)).await;
        assert_eq!(done.hold.unwrap().state, HoldState::Released);
        assert_eq!(shop.refused(&late).await, over(HoldState::Released, 0));
        assert_eq!(shop.units("A").await, (10, 0));
        shop.close().await;
    }
}

#[tokio::test]
async fn the_sweeper_ends_overdue_holds_up_to_its_limit() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 300)]).await;
        for n in 0..150 {
            shop.applied(&reserve(&format!("r{n}"), &[("A", 1)], 1000)).await;
        }
        shop.applied(&reserve("later", &[("A", 1)], 5000)).await;
        let home = partitions.of(&sku("A"));
        assert_eq!(shop.store.first_deadline_ms(home).await.unwrap(), Some(START_MS + 1000));
        shop.pass(1000);
        let first = shop.store.sweep(home, 100).await.unwrap();
        assert_eq!((first.ended, first.more), (100, true));
        let second = shop.store.sweep(home, 100).await.unwrap();
        assert_eq!((second.ended, second.more), (50, false));
        assert_eq!(shop.units("A").await, (300, 1));
        assert_eq!(shop.store.first_deadline_ms(home).await.unwrap(), Some(START_MS + 5000));
        let expired = kinds(&shop, home).await.iter().filter(|kind| **kind == EventKind::Expired).count();
        assert_eq!(expired, 150);
        shop.close().await;
    }
}

async fn kinds(shop: &Shop, partition: Partition) -> Vec<EventKind> {
    let entries = shop.store.entries(partition, EntryId::default(), EntryId::END, 1000, false).await.unwrap();
    entries.into_iter().flat_map(|entry| entry.events.unwrap()).map(|event| event.kind).collect()
}
