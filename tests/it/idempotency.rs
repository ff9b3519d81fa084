//! Once: the same request with the same key changes stock once, and every repeat gets the first answer.

use std::time::Duration;

use stockgate::{
    domain::{Action, ClientId, HoldState, Mutation, Refusal, Rpc, SetCondition, Shortage, Text},
    store::{DroppedWindows, Resolved, StoreError},
};
use tokio::time::Instant;

use crate::{
    harness::{RETENTION_MS, START_MS, Shop, both},
    requests::*,
};

#[tokio::test]
async fn the_sale_of_the_last_unit_repeated_answers_success() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 1)]).await;
        let sale = decrement("k", &[("A", 1)]);
        let first = shop.answer(&sale).await;
        let again = shop.answer(&sale).await;
        assert!(!first.replayed && again.replayed);
        assert_eq!(first.result, again.result);
        assert!(first.result.is_ok());
        assert_eq!(shop.units("A").await, (0, 0));
        assert!(matches!(shop.refused(&decrement("k2", &[("A", 1)])).await, Refusal::Insufficient(_)));
        shop.close().await;
    }
}

/// Every verb with what must be there before: A and B at 10, a live hold of 2 A and 2 B, an expired hold of 1 A.
async fn every_verb(shop: &Shop) -> Vec<Mutation> {
    shop.stock(&[("A", 10), ("B", 10)]).await;
    let short = reserve("short", &[("A", 1)], 10);
    let long = reserve("long", &[("A", 2), ("B", 2)], 50_000);
    shop.applied(&short).await;
    shop.applied(&long).await;
    shop.pass(10);
    let partitions = shop.partitions();
    let (over, live) = (hold_of(&short, partitions), hold_of(&long, partitions));
    let unborn = hold_of(&reserve("unborn", &[("B", 1)], 1000), partitions);
    vec![
        decrement("d", &[("A", 1), ("B", 2)]),
        decrement("d short", &[("A", 100)]),
        from("web", decrement("d short web", &[("A", 100), ("B", 100)])),
        decrement("d unknown", &[("nobody", 1)]),
        restock("i", &[("B", 3), ("A", 1)]),
        reserve("r", &[("B", 1), ("A", 1)], 1000),
        reserve("r short", &[("B", 100)], 1000),
        extend("e", &live, 20_000),
        commit_some("c some", &live, &[("B", 1)], true),
        commit_some("c too much", &live, &[("B", 9)], true),
        release_some("l some", &live, &[("A", 1)]),
        commit("c", &live),
        commit("c over", &live),
        release("l over", &live),
        extend("e over", &live, 1000),
        commit("c expired", &over),
        reacquire("c reacquire", &over, &[]),
        release("l unborn", &unborn),
        adjust("a", "A", -1),
        adjust("a short", "A", -1000),
        set("s", "A", 7),
        set("s same", "A", 7),
        set("s new", "C", 0),
        set_if("s version", "A", 7, SetCondition::Version(1)),
    ]
}

#[tokio::test]
async fn every_verb_twice_answers_the_same_and_changes_nothing_more() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        for mutation in every_verb(&shop).await {
            let first = shop.answer(&mutation).await;
            let after_first = shop.dump().await;
            let again = shop.answer(&mutation).await;
            assert_eq!(again.result, first.result, "{mutation:?}");
            assert!(!first.replayed && again.replayed, "{mutation:?}");
            assert_eq!(shop.dump().await, after_first, "{mutation:?}");
        }
        shop.close().await;
    }
}

#[tokio::test]
async fn every_verb_twice_in_one_script_happens_once() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        for mutation in every_verb(&shop).await {
            let (first, second) = tokio::join!(shop.answer(&mutation), shop.answer(&mutation));
            assert_eq!(first.result, second.result, "{mutation:?}");
            assert!(first.replayed != second.replayed, "{mutation:?}");
        }
        let report = shop.store.verify(&[], false).await.unwrap();
        assert_eq!(report.findings, []);
        shop.close().await;
    }
}

#[tokio::test]
async fn a_refusal_is_remembered_even_when_stock_has_come() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 1)]).await;
        let sale = decrement("k", &[("A", 2)]);
        let refusal = Refusal::Insufficient(vec![Shortage { sku: sku("A"), requested: 2, available: 1 }]);
        assert_eq!(shop.refused(&sale).await, refusal);
        shop.applied(&restock("more", &[("A", 10)])).await;
        let again = shop.answer(&sale).await;
        assert_eq!((again.result, again.replayed), (Err(refusal), true));
        shop.close().await;
    }
}

#[tokio::test]
async fn another_request_with_the_same_key_is_told_the_field_that_differs() {
    let shop = Shop::open(both()[0]).await;
    shop.stock(&[("A", 10)]).await;
    let first = decrement("k", &[("A", 1)]);
    shop.applied(&first).await;
    let changed = |change: fn(&mut Mutation)| {
        let mut other = first.clone();
        change(&mut other);
        other
    };
    for (other, field) in [
        (decrement("k", &[("A", 2)]), "lines"),
        (restock("k", &[("A", 1)]), "rpc"),
        (from("web", first.clone()), "channel"),
        (changed(|m| m.cause.order_ref = Text::parse("o".to_owned()).unwrap()), "order_ref"),
        (changed(|m| m.cause.reason = Text::parse("r".to_owned()).unwrap()), "reason"),
        (changed(|m| m.cause.actor = Text::parse("a".to_owned()).unwrap()), "actor"),
    ] {
        let answer = shop.answer(&other).await;
        assert_eq!((answer.result, answer.replayed), (Err(Refusal::Conflict { field }), false));
    }
    assert_eq!(shop.units("A").await, (9, 0));
    shop.close().await;
}

#[tokio::test]
async fn nobody_reads_the_answers_of_another_client() {
    let shop = Shop::open(both()[0]).await;
    shop.stock(&[("A", 10)]).await;
    let mine = decrement("k", &[("A", 1)]);
    let mut theirs = mine.clone();
    theirs.cause.client = ClientId::parse("other").unwrap();
    assert!(!shop.answer(&mine).await.replayed);
    assert!(!shop.answer(&theirs).await.replayed);
    assert_eq!(shop.units("A").await, (8, 0));
    let unused = shop.resolve(&ClientId::parse("third").unwrap(), "A", "k").await;
    assert_eq!(unused, Resolved::Burnt);
    shop.close().await;
}

#[tokio::test]
async fn resolving_a_key_tells_its_answer_or_burns_it() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 3), ("B", 3)]).await;
        let resolve = async |text: &str| shop.resolve(&client(), "A", text).await;
        let sold = shop.applied(&decrement("used", &[("B", 1), ("A", 1)])).await;
        let event_ids = sold.lines.iter().filter_map(|line| line.event_id).collect::<Vec<_>>();
        assert_eq!(event_ids.len(), 2);
        assert_eq!(resolve("used").await, Resolved::Applied { rpc: Rpc::Decrement, event_ids, hold: None });

        let held = reserve("held", &[("A", 1)], 1000);
        let made = shop.applied(&held).await;
        let hold = Some(hold_of(&held, partitions));
        let event_ids = vec![made.lines[0].event_id.unwrap()];
        assert_eq!(resolve("held").await, Resolved::Applied { rpc: Rpc::Reserve, event_ids, hold });

        let refusal = shop.refused(&decrement("refused", &[("A", 9)])).await;
        assert_eq!(resolve("refused").await, Resolved::Refused { rpc: Rpc::Decrement, refusal });

        let before = shop.dump().await;
        resolve("used").await;
        assert_eq!(shop.dump().await, before);

        assert_eq!(resolve("unused").await, Resolved::Burnt);
        assert_eq!(resolve("unused").await, Resolved::Burnt);
        assert_eq!(shop.refused(&decrement("unused", &[("A", 1)])).await, Refusal::KeyBurnt);
        assert_eq!(shop.units("A").await, (2, 1));
        shop.close().await;
    }
}

#[tokio::test]
async fn records_live_one_window_at_least_and_two_at_most() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        shop.pass(RETENTION_MS - 1);
        let sale = decrement("k", &[("A", 1)]);
        assert!(!shop.answer(&sale).await.replayed);
        shop.pass(RETENTION_MS);
        assert!(shop.answer(&sale).await.replayed, "in the last window");
        shop.pass(1);
        assert!(!shop.answer(&sale).await.replayed, "two windows later");
        assert_eq!(shop.units("A").await, (8, 0));
        shop.close().await;
    }
}

#[tokio::test]
async fn ended_holds_live_as_long_as_records() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        let made = reserve("k", &[("A", 1)], 1000);
        let hold = hold_of(&made, partitions);
        shop.applied(&made).await;
        shop.applied(&commit("c", &hold)).await;
        shop.pass(RETENTION_MS);
        assert_eq!(shop.store.hold(&hold).await.unwrap().unwrap().state, HoldState::Committed);
        shop.pass(RETENTION_MS);
        assert_eq!(shop.store.hold(&hold).await.unwrap(), Err(Refusal::UnknownHold));
        assert_eq!(shop.refused(&commit("c2", &hold)).await, Refusal::UnknownHold);
        shop.close().await;
    }
}

#[tokio::test]
async fn windows_that_are_over_are_dropped_and_no_others() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        let first = START_MS / RETENTION_MS;
        let mut dropped = DroppedWindows::default();
        for window in first..first + 4 {
            let name = format!("A{window}");
            shop.stock(&[(&name, 10)]).await;
            let made = reserve("k", &[(&name, 1)], 1000);
            shop.applied(&made).await;
            shop.applied(&commit("c", &hold_of(&made, partitions))).await;
            shop.store.drop_old_windows(&mut dropped).await.unwrap();
            shop.pass(RETENTION_MS);
        }
        let dump = shop.dump().await;
        for (window, kept) in [(first, false), (first + 1, false), (first + 2, true), (first + 3, true)] {
            for kind in ["rec", "ended"] {
                assert_eq!(dump.contains(&format!(":{kind}:{window} ")), kept, "{kind} {window}: {dump}");
            }
        }
        shop.close().await;
    }
}

#[tokio::test]
async fn a_gateway_that_slept_through_windows_looks_in_the_right_one() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        let other = shop.another_gateway();
        shop.stock(&[("A", 10)]).await;
        other.applied(&decrement("early", &[("A", 1)])).await;
        shop.pass(3 * RETENTION_MS);
        // Only one of the two has followed the clock when the repeat comes in at the other.
        let sale = decrement("k", &[("A", 1)]);
        assert!(!shop.answer(&sale).await.replayed);
        assert!(other.answer(&sale).await.replayed);
        assert_eq!(shop.units("A").await, (8, 0));
        other.close().await;
        shop.close().await;
    }
}

#[tokio::test]
async fn an_answer_that_came_too_late_is_got_by_repeating() {
    let shop = Shop::open(both()[0]).await;
    shop.stock(&[("A", 1)]).await;
    let sale = decrement("k", &[("A", 1)]);
    let late = shop.store.mutate(&sale, Some(Instant::now() - Duration::from_millis(50))).await;
    assert!(matches!(late, Err(StoreError::NoAnswer { .. })), "{late:?}");
    // Sent or dropped before it was sent: either way the repeat sells once.
    assert!(shop.answer(&sale).await.result.is_ok());
    assert_eq!(shop.units("A").await, (0, 0));
    shop.close().await;
}

#[tokio::test]
async fn a_hold_that_outlived_its_record_is_not_made_again() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        let made = reserve("k", &[("A", 1)], RETENTION_MS);
        let hold = hold_of(&made, partitions);
        shop.applied(&made).await;
        for round in 0..3 {
            shop.pass(RETENTION_MS - 1);
            shop.applied(&extend(&format!("e{round}"), &hold, RETENTION_MS)).await;
        }
        let Action::Reserve { .. } = made.action else { panic!("a reserve") };
        assert_eq!(shop.refused(&made).await, Refusal::Conflict { field: "hold_id" });
        assert_eq!(shop.units("A").await, (10, 1));
        shop.close().await;
    }
}
