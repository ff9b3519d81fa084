//! A shop that has lived goes from one partition to sixteen and on to four: nothing of it is lost, doubled or out of order.

use stockgate::{
    domain::{ChannelRules, HoldState, Refusal},
    store::{RepartitionError, SettleOutcome},
};

use crate::{
    harness::Shop,
    repartition_shop::{
        CHANNELS, Past, SKUS, carry_all, check_last_events, contents, events_of, given_to_workers,
        is_left_over, is_told_alike, lived_in, move_to, order, partitions, reopened, sayings, tell,
    },
    requests::*,
};

/// Everything that must stay.
async fn portrait(shop: &Shop) -> Vec<String> {
    let mut all = Vec::new();
    for name in SKUS {
        all.extend(sayings(&events_of(shop, Some(name)).await));
        let level = shop.level(name).await;
        all.push(format!("{name} {level:?}"));
    }
    all.extend(contents(shop).await.into_iter().map(|(field, value)| format!("{field} = {value}")));
    all
}

async fn move_on(shop: &Shop, to: u16) -> Shop {
    let before = portrait(shop).await;
    let (from, moved) = (shop.partitions(), move_to(&shop.settings, to).await.unwrap());
    assert_eq!((moved.from, moved.to), (from, partitions(to)));
    assert_eq!(moved.before, moved.after);
    assert_eq!(moved.after.unwrap().skus, SKUS.len() as u64);
    let moved = reopened(shop, to).await;
    assert_eq!(portrait(&moved).await, before);
    assert_eq!(is_left_over(&moved).await, Vec::<String>::new());
    let report = moved.store.verify(&[], false).await.unwrap();
    assert!(report.findings.is_empty() && report.unreadable.is_empty(), "{report:?}");
    check_last_events(&moved).await;
    let ms: Vec<u64> = events_of(&moved, None).await.iter().map(|event| event.id.entry_ms).collect();
    assert!(ms.is_sorted(), "all events, in the order of their entries");
    moved
}

/// Every request is answered from its record, and nothing moves.
async fn check_repeats(shop: &Shop, past: &Past) {
    let before = contents(shop).await;
    for (asked, answer) in &past.asked {
        let again = shop.answer(asked).await;
        assert!(again.replayed, "{asked:?}");
        assert!(is_told_alike(shop, asked, &again, answer), "{asked:?}: {again:?}, first {answer:?}");
    }
    assert_eq!(contents(shop).await, before);
}

/// A hold that has ended says so, whatever number of partitions its id was made for.
async fn check_holds(shop: &Shop, past: &Past, round: &str) {
    for (index, id) in past.holds.iter().enumerate() {
        let hold = shop.store.hold(id).await.unwrap().unwrap();
        assert_eq!(&hold.id, id);
        assert_ne!(hold.state, HoldState::Held);
        let refused = shop.refused(&commit(&format!("{round} {index}"), id)).await;
        assert!(
            matches!(refused, Refusal::HoldOver { state, .. } if state == hold.state),
            "{id}: {refused:?}, {hold:?}"
        );
        let refused = shop.refused(&release(&format!("{round} back {index}"), id)).await;
        assert!(matches!(refused, Refusal::HoldOver { .. }), "{id}: {refused:?}");
    }
}

/// Workers carry and tell everything that is left.
async fn finish_channels(shop: &Shop) {
    shop.pass(60_000);
    carry_all(shop, "late").await;
    for name in CHANNELS {
        tell(shop, name, |_| SettleOutcome::Applied).await;
    }
    for name in CHANNELS {
        let id = channel(name);
        for sku_name in SKUS {
            let level = shop.level(sku_name).await;
            let state = shop.store.sync_state(&id, &sku(sku_name)).await.unwrap();
            let told = (state.confirmed_version, state.confirmed_quantity);
            let is_dead = state.dead_ms.is_some();
            assert!(
                told == (level.version, level.available()) || is_dead,
                "{name} {sku_name}: {state:?} {level:?}"
            );
        }
        for partition in shop.partitions().all() {
            let claim = shop.store.claim(partition, &id, &ChannelRules::default(), "none", 10).await.unwrap();
            assert_eq!((claim.items.len(), claim.next_in_ms), (0, None));
        }
    }
}

#[tokio::test]
async fn a_shop_that_has_lived_moves_whole() {
    for way in [[1, 16, 4], [16, 3, 1], [4, 1, 16]] {
        let (shop, past) = lived_in(way[0]).await;
        let homes: std::collections::BTreeSet<_> =
            SKUS.map(|name| partitions(16).of(&sku(name))).into_iter().collect();
        assert!(homes.len() >= 4, "{homes:?}");
        let mut now = shop;
        for to in &way[1..] {
            now = move_on(&now, *to).await;
            check_repeats(&now, &past).await;
        }
        assert_eq!(given_to_workers(&now).await, past.uncarried, "{way:?}");
        check_holds(&now, &past, "again").await;
        finish_channels(&now).await;
        now.applied(&decrement("life goes on", &[("A", 1), ("H", 1)])).await;
        check_last_events(&now).await;
        assert_eq!(now.store.verify(&[], false).await.unwrap().findings, []);
        now.close().await;
    }
}

/// An id of before must not name another event of after.
#[tokio::test]
async fn an_event_id_of_before_names_nothing() {
    let (shop, _) = lived_in(1).await;
    let before = events_of(&shop, None).await;
    move_to(&shop.settings, 16).await.unwrap();
    let moved = reopened(&shop, 16).await;
    for event in &before {
        assert_eq!(moved.store.event(event.id).await.unwrap(), None);
    }
    let between = events_of(&moved, None).await;
    move_to(&shop.settings, 1).await.unwrap();
    let back = reopened(&shop, 1).await;
    for event in before.iter().chain(&between) {
        assert_eq!(back.store.event(event.id).await.unwrap(), None);
    }
    assert_eq!(before.len(), between.len());
}

/// A hold of a shop that never had so many partitions is nobody's.
#[tokio::test]
async fn only_counts_there_were_are_known() {
    let (shop, _) = lived_in(4).await;
    let foreign = hold_of(&reserve("k", &[("A", 1), ("B", 1)], 10), partitions(16));
    assert!(!foreign.fits(partitions(4)), "or it shows nothing");
    assert_eq!(shop.refused(&release("r", &foreign)).await, Refusal::UnknownHold);
    move_to(&shop.settings, 5).await.unwrap();
    let moved = reopened(&shop, 5).await;
    assert!(!foreign.fits(partitions(5)), "or it shows nothing");
    assert_eq!(moved.refused(&release("r", &foreign)).await, Refusal::UnknownHold);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let (shop, _) = lived_in(4).await;
    let before = shop.dump().await;
    let dry = stockgate::store::Repartition { dry_run: true, ..order(16) };
    let done = stockgate::store::repartition(shop.settings.clone(), dry, &|_| {}).await.unwrap();
    assert_eq!((done.from, done.to, done.after), (partitions(4), partitions(16), None));
    assert_eq!(done.before.unwrap().skus, SKUS.len() as u64);
    assert_eq!(shop.dump().await, before);
    shop.store.prepare().await.unwrap();
    let same = stockgate::store::Repartition { dry_run: true, ..order(4) };
    let refused = stockgate::store::repartition(shop.settings.clone(), same, &|_| {}).await;
    assert!(matches!(refused, Err(RepartitionError::SameCount { count: 4 })), "{refused:?}");
}
