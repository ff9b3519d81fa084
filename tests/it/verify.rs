//! Verifying finds counters that differ from what holds and events add up to, and mends them with an event.

use std::time::Duration;

use stockgate::{
    domain::{EventKind, Level},
    store::{EntryId, Finding, FindingKind, StoredLevel},
};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{Shop, both},
    requests::*,
};

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// On hand 7, held 3, by several events; a neighbour that is right.
async fn shop_with_a_past(partitions: stockgate::domain::Partitions) -> Shop {
    let shop = Shop::open(partitions).await;
    shop.stock(&[("A", 10), ("B", 4)]).await;
    shop.applied(&decrement("d", &[("A", 3)])).await;
    shop.applied(&reserve("r", &[("A", 3)], 50_000)).await;
    shop
}

async fn write_level(shop: &Shop, text: &str) {
    shop.redis::<i64>(redis::cmd("HSET").arg(shop.key("A", "stock")).arg("A").arg(text)).await;
}

async fn check_repair(spoil: impl AsyncFn(&Shop, &Level), kind: FindingKind, stored: (i64, i64)) {
    for partitions in both() {
        for asked in [vec![], vec![sku("A")]] {
            let shop = shop_with_a_past(partitions).await;
            let right = shop.level("A").await;
            spoil(&shop, &right).await;
            let finding = Finding {
                sku: sku("A"),
                kind,
                on_hand_stored: stored.0,
                on_hand_computed: 7,
                held_stored: stored.1,
                held_computed: 3,
            };
            let found = shop.store.verify(&asked, false).await.unwrap();
            assert_eq!(found.findings, std::slice::from_ref(&finding));
            let again = shop.store.verify(&asked, false).await.unwrap();
            assert_eq!(again.findings, found.findings, "it was only looked at");
            let mended = shop.store.verify(&asked, true).await.unwrap();
            assert_eq!(mended.findings, [Finding { kind: FindingKind::Repaired, ..finding }]);
            let level = shop.level("A").await;
            assert_eq!((level.on_hand, level.held), (7, 3));
            assert!(level.version > right.version, "versions never go back");
            assert_eq!(shop.store.verify(&[], false).await.unwrap().findings, []);
            let home = partitions.of(&sku("A"));
            let newest = shop.store.entries(home, EntryId::default(), EntryId::END, 1, true).await.unwrap();
            let event = newest[0].events.as_ref().unwrap().last().unwrap();
            assert_eq!((event.kind, event.on_hand, event.held), (EventKind::Repaired, 7, 3));
            shop.applied(&decrement("after", &[("A", 4)])).await;
            shop.close().await;
        }
    }
}

fn text(on_hand: i64, held: i64, level: &Level) -> String {
    format!("{on_hand} {held} {} {} 0 0-1-0-0", level.version, level.updated_ms)
}

#[tokio::test]
async fn a_wrong_on_hand_is_found_and_mended() {
    let spoil = async |shop: &Shop, right: &Level| write_level(shop, &text(9, 3, right)).await;
    check_repair(spoil, FindingKind::Mismatch, (9, 3)).await;
}

#[tokio::test]
async fn a_wrong_held_is_found_and_mended() {
    let spoil = async |shop: &Shop, right: &Level| write_level(shop, &text(7, 5, right)).await;
    check_repair(spoil, FindingKind::Mismatch, (7, 5)).await;
}

#[tokio::test]
async fn a_broken_text_is_found_and_mended() {
    let spoil = async |shop: &Shop, _: &Level| write_level(shop, "seven, I think").await;
    check_repair(spoil, FindingKind::Broken, (0, 0)).await;
}

#[tokio::test]
async fn an_empty_text_is_found_and_mended() {
    check_repair(async |shop: &Shop, _: &Level| write_level(shop, "").await, FindingKind::Broken, (0, 0))
        .await;
}

#[tokio::test]
async fn a_vanished_field_is_found_and_mended() {
    let spoil = async |shop: &Shop, _: &Level| {
        shop.redis::<i64>(redis::cmd("HDEL").arg(shop.key("A", "stock")).arg("A")).await;
    };
    check_repair(spoil, FindingKind::Broken, (0, 0)).await;
}

#[tokio::test]
async fn a_sku_nobody_set_is_unknown() {
    for partitions in both() {
        let shop = shop_with_a_past(partitions).await;
        let report = shop.store.verify(&[sku("A"), sku("nobody")], true).await.unwrap();
        assert_eq!((report.findings, report.unknown), (vec![], vec![sku("nobody")]));
        assert_eq!(shop.store.levels(&[sku("nobody")]).await.unwrap(), [StoredLevel::Unknown]);
        shop.close().await;
    }
}

/// Verifying never calls a SKU wrong because it was changed meanwhile, and says so when it cannot tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sku_that_never_rests_is_busy_and_never_wrong() {
    let shop = shop_with_a_past(both()[0]).await;
    shop.applied(&restock("much", &[("A", 1_000_000)])).await;
    let stop = CancellationToken::new();
    let mut sellers = JoinSet::new();
    for seller in 0..4 {
        let (store, stop) = (shop.store.clone(), stop.clone());
        sellers.spawn(async move {
            let mut n = 0;
            while !stop.is_cancelled() {
                n += 1;
                store.mutate(&decrement(&format!("{seller} {n}"), &[("A", 1)]), None).await.unwrap();
            }
        });
    }
    let busy = async {
        loop {
            let report = shop.store.verify(&[sku("A")], true).await.unwrap();
            match &report.findings[..] {
                [] => {}
                [finding] if finding.kind == FindingKind::Busy => return,
                other => panic!("{other:?}"),
            }
        }
    };
    timeout(PATIENCE, busy).await.expect("a SKU that changes all the time is busy sooner or later");
    stop.cancel();
    sellers.join_all().await;
    assert_eq!(shop.store.verify(&[], false).await.unwrap().findings, []);
    shop.close().await;
}

#[tokio::test]
async fn an_entry_that_does_not_parse_is_named_and_nothing_is_repaired() {
    for partitions in both() {
        let shop = shop_with_a_past(partitions).await;
        let right = shop.level("A").await;
        write_level(&shop, &text(9, 3, &right)).await;
        let mut add = redis::cmd("XADD");
        add.arg(shop.key("A", "ev")).arg("*").arg("t").arg(1).arg("e").arg("rubbish");
        let id: String = shop.redis(&mut add).await;
        let report = shop.store.verify(&[], true).await.unwrap();
        let named = format!("event entry {id} of {}", shop.key("A", "ev"));
        let told: Vec<String> = report.unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(told, [named]);
        assert_eq!(
            report.findings.iter().map(|found| found.kind).collect::<Vec<_>>(),
            [FindingKind::Mismatch]
        );
        assert_eq!(shop.units("A").await, (9, 3));
        shop.redis::<i64>(redis::cmd("XDEL").arg(shop.key("A", "ev")).arg(id)).await;
        shop.store.verify(&[], true).await.unwrap();
        assert_eq!(shop.units("A").await, (7, 3));
        shop.close().await;
    }
}
