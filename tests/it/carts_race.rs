//! Carts that meet: over the last units, under one key, overdue, broken or forgotten.

use std::sync::atomic::{AtomicBool, Ordering};

use stockgate::{
    domain::{Answer, Mutation, Refusal},
    store::StoreError,
};
use tokio::task::JoinSet;

use crate::{
    carts::{apart, shop_apart, sweep_all},
    carts_scissors::{Cut, Scissors},
    harness::{CART_TTL_MS, RETENTION_MS, Shop, both},
    requests::*,
    server::Server,
};

/// Asks everything at once, spread over four gateways.
async fn rush(shop: &Shop, asked: &[Mutation]) -> Vec<Result<Answer, StoreError>> {
    let gateways: Vec<Shop> = (0..4).map(|_| shop.another_gateway()).collect();
    let mut tasks = JoinSet::new();
    for (n, mutation) in asked.iter().cloned().enumerate() {
        let store = gateways[n % gateways.len()].store.clone();
        tasks.spawn(async move { (n, store.mutate(&mutation, None).await) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(n, _)| *n);
    for gateway in gateways {
        gateway.close().await;
    }
    answers.into_iter().map(|(_, answer)| answer).collect()
}

async fn assert_clean(shop: &Shop) {
    let report = shop.store.verify(&[], false).await.unwrap();
    assert_eq!((report.findings, report.unreadable.len()), (vec![], 0));
}

/// Leaves a cart in the middle: so many of its scripts were carried out, in so many partitions. Returns what the caller heard.
async fn leave(shop: &Shop, asked: &Mutation, scripts: usize, partitions: usize) -> StoreError {
    // The first script of a gateway in a partition asks for the window.
    let scissors = Scissors::new(&Server::shared().url, scripts + partitions, Cut::Before);
    let gateway = shop.another_gateway_at(scissors.address.clone());
    let fault = gateway.store.mutate(asked, None).await.expect_err("must be cut");
    gateway.close().await;
    fault
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn carts_that_cross_over_the_last_units_sell_all_lines_or_none() {
    let (shop, names) = (shop_apart().await, apart(3));
    for name in &names {
        shop.stock(&[(name, 10)]).await;
    }
    let pair = |n: usize| [(names[n % 3].as_str(), 1), (names[(n + 1) % 3].as_str(), 1)];
    let asked: Vec<Mutation> = (0..64).map(|n| decrement(&format!("k{n}"), &pair(n))).collect();
    let is_over = AtomicBool::new(false);
    let sweeping = async {
        // Time flies: attempts are given up while they are under way.
        while !is_over.load(Ordering::SeqCst) {
            shop.pass(CART_TTL_MS / 4);
            sweep_all(&shop).await;
        }
    };
    let buying = async {
        let answers = rush(&shop, &asked).await;
        is_over.store(true, Ordering::SeqCst);
        answers
    };
    let (answers, ()) = tokio::join!(buying, sweeping);
    shop.pass(CART_TTL_MS);
    sweep_all(&shop).await;
    assert_clean(&shop).await;
    // What nobody answered is found out by the repeat.
    let mut sold = 0;
    for (asked, first) in asked.iter().zip(answers) {
        let now = shop.answer(asked).await;
        match (&first, &now.result) {
            (Ok(first), _) => assert_eq!(first.result, now.result, "{asked:?}"),
            (Err(StoreError::Unsettled { .. }), _) => {}
            (Err(fault), _) => panic!("{asked:?}: {fault}"),
        }
        match now.result {
            Ok(_) => sold += 2,
            Err(Refusal::Insufficient(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let mut gone = 0;
    for name in &names {
        let (on_hand, held) = shop.units(name).await;
        assert!(on_hand >= 0 && held == 0, "{name}: {on_hand} {held}");
        gone += 10 - on_hand;
    }
    assert_eq!(gone, sold);
    assert_clean(&shop).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_asked_by_many_at_once_sells_one_cart() {
    let (shop, names) = (shop_apart().await, apart(2));
    shop.stock(&[(&names[0], 10), (&names[1], 10)]).await;
    let cart = [(names[0].as_str(), 1), (names[1].as_str(), 2)];
    for (key, ask) in [("d", decrement("d", &cart)), ("i", restock("i", &cart))] {
        let answers = rush(&shop, &vec![ask; 16]).await;
        let mut results = answers.into_iter().map(|answer| answer.unwrap().result.unwrap());
        let first = results.next().unwrap();
        assert!(results.all(|result| result == first), "{key}");
    }
    sweep_all(&shop).await;
    assert_eq!((shop.units(&names[0]).await, shop.units(&names[1]).await), ((10, 0), (10, 0)));
    assert_clean(&shop).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_requests_under_one_key_at_once_are_never_mixed() {
    for round in 0..8 {
        let (shop, names) = (shop_apart().await, apart(2));
        shop.stock(&[(&names[0], 10), (&names[1], 10)]).await;
        let (home, other) = (names[0].as_str(), names[1].as_str());
        let small = decrement("k", &[(home, 1), (other, 1)]);
        let large = decrement("k", &[(home, 1), (other, 5)]);
        let answers = rush(&shop, &[small.clone(), large.clone(), small.clone(), large.clone()]).await;
        for answer in &answers {
            match answer {
                Ok(Answer { result: Ok(_) | Err(Refusal::Conflict { field: "lines" }), .. })
                | Err(StoreError::Unsettled { .. }) => {}
                other => panic!("{round}: {other:?}"),
            }
        }
        let first = shop.answer(&small).await.result;
        let second = shop.answer(&large).await.result;
        shop.pass(CART_TTL_MS);
        sweep_all(&shop).await;
        let units = (shop.units(home).await, shop.units(other).await);
        match (first, second) {
            (Ok(_), Err(Refusal::Conflict { .. })) => assert_eq!(units, ((9, 0), (9, 0))),
            (Err(Refusal::Conflict { .. }), Ok(_)) => assert_eq!(units, ((9, 0), (5, 0))),
            other => panic!("{other:?}"),
        }
        assert_clean(&shop).await;
        shop.close().await;
    }
}

#[tokio::test]
async fn what_one_request_prepared_is_not_sold_by_another_of_its_key() {
    let (shop, names) = (shop_apart().await, apart(2));
    let (home, other) = (names[0].as_str(), names[1].as_str());
    shop.stock(&[(home, 9), (other, 5)]).await;
    let (small, large) = (decrement("k", &[(home, 1), (other, 1)]), decrement("k", &[(home, 1), (other, 5)]));
    // The window, what home says, the other's part; then the decision stands still.
    let scissors = Scissors::new(&Server::shared().url, 3, Cut::Pause);
    let gateway = shop.another_gateway_at(scissors.address.clone());
    let late = gateway.store.mutate(&small, None);
    let meanwhile = async {
        scissors.arrived().await;
        shop.applied(&decrement("rest", &[(other, 4)])).await;
        assert!(matches!(shop.refused(&large).await, Refusal::Insufficient(_)));
        scissors.go_on();
    };
    let (late, ()) = tokio::join!(late, meanwhile);
    assert_eq!(late.unwrap().result, Err(Refusal::Conflict { field: "lines" }));
    assert_eq!((shop.units(home).await, shop.units(other).await), ((9, 0), (1, 0)));
    assert_clean(&shop).await;
    gateway.close().await;
    shop.close().await;
}

#[tokio::test]
async fn an_overdue_cart_refuses_no_sale_in_any_partition() {
    let (shop, names) = (shop_apart().await, apart(3));
    let (home, other) = (names[0].as_str(), names[1].as_str());
    shop.stock(&[(home, 5), (other, 5), (&names[2], 5)]).await;
    // Made, and its time is over.
    shop.applied(&reserve("over", &[(home, 5), (other, 5)], 1000)).await;
    shop.pass(1000);
    shop.applied(&decrement("there", &[(other, 1)])).await;
    assert_eq!((shop.units(home).await, shop.units(other).await), ((5, 0), (4, 0)));
    // Made, and its time is not over: the deadline of its child is the true one.
    shop.applied(&reserve("live", &[(home, 4), (other, 4)], 50_000)).await;
    shop.pass(CART_TTL_MS);
    assert!(matches!(shop.refused(&decrement("early", &[(other, 1)])).await, Refusal::Insufficient(_)));
    shop.applied(&commit("c", &hold_of(&reserve("live", &[(home, 4), (other, 4)], 1), shop.partitions())))
        .await;
    // Left before it was decided: home, then two parts.
    shop.applied(&set("again", other, 5)).await;
    let fault = leave(&shop, &decrement("left", &[(home, 1), (other, 5), (&names[2], 5)]), 3, 3).await;
    assert!(!matches!(fault, StoreError::NotFollowed { .. }), "{fault:?}");
    assert_eq!((shop.units(other).await, shop.units(&names[2]).await), ((5, 5), (5, 5)));
    assert!(matches!(shop.refused(&decrement("too early", &[(other, 1)])).await, Refusal::Insufficient(_)));
    shop.pass(CART_TTL_MS);
    shop.applied(&decrement("after", &[(other, 3), (&names[2], 5)])).await;
    assert_eq!((shop.units(other).await, shop.units(&names[2]).await), ((2, 0), (0, 0)));
    // Its repeat meets what is left.
    assert!(matches!(
        shop.refused(&decrement("left", &[(home, 1), (other, 5), (&names[2], 5)])).await,
        Refusal::Insufficient(_)
    ));
    assert_clean(&shop).await;
    shop.close().await;
}

#[tokio::test]
async fn a_sale_is_not_refused_for_a_cart_whose_home_cannot_be_asked() {
    let (shop, names) = (shop_apart().await, apart(2));
    let (home, other) = (names[0].as_str(), names[1].as_str());
    shop.stock(&[(home, 5), (other, 5)]).await;
    leave(&shop, &decrement("left", &[(home, 1), (other, 5)]), 2, 2).await;
    shop.pass(CART_TTL_MS);
    let sale = decrement("sale", &[(other, 1)]);
    // Its own script goes through, when it knows the window; the question to home does not.
    let scissors = Scissors::new(&Server::shared().url, 2, Cut::Before);
    let gateway = shop.another_gateway_at(scissors.address.clone());
    let fault = gateway.store.mutate(&sale, None).await.expect_err("must not be decided");
    assert!(matches!(fault, StoreError::Unsettled { .. }), "{fault:?}");
    gateway.close().await;
    assert!(!shop.answer(&sale).await.replayed);
    assert_eq!(shop.units(other).await, (4, 0));
    shop.close().await;
}

#[tokio::test]
async fn a_cart_with_a_broken_home_keeps_no_other_from_ending() {
    let (shop, names) = (shop_apart().await, apart(2));
    let (home, other) = (names[0].as_str(), names[1].as_str());
    shop.stock(&[(home, 9), (other, 9)]).await;
    let broken = reserve("broken", &[(home, 1), (other, 1)], 1000);
    shop.applied(&broken).await;
    shop.applied(&reserve("whole", &[(home, 2), (other, 2)], 1001)).await;
    let id = hold_of(&broken, shop.partitions());
    let key = shop.key(home, "holds");
    let good: String = shop.redis(redis::cmd("HGET").arg(&key).arg(id.as_str())).await;
    shop.redis::<i64>(redis::cmd("HSET").arg(&key).arg(id.as_str()).arg("rubbish")).await;
    shop.pass(2000);
    sweep_all(&shop).await;
    assert_eq!((shop.units(home).await, shop.units(other).await), ((9, 1), (9, 1)));
    // Its units are refused like those of any hold that nobody can read.
    assert!(matches!(shop.refused(&decrement("d", &[(other, 9)])).await, Refusal::Insufficient(_)));
    shop.redis::<i64>(redis::cmd("HSET").arg(&key).arg(id.as_str()).arg(good)).await;
    shop.pass(1000);
    sweep_all(&shop).await;
    assert_eq!((shop.units(home).await, shop.units(other).await), ((9, 0), (9, 0)));
    assert_clean(&shop).await;
    shop.close().await;
}

/// What a commit sold is not lost with the attempt it belongs to: the next attempt begins where it ended.
#[tokio::test]
async fn what_was_sold_before_a_cart_expired_stays_sold_when_it_is_taken_again() {
    let (shop, names) = (shop_apart().await, apart(2));
    let (home, other) = (names[0].as_str(), names[1].as_str());
    shop.stock(&[(home, 9), (other, 9)]).await;
    let held = reserve("held", &[(home, 3), (other, 5)], 1000);
    shop.applied(&held).await;
    let id = hold_of(&held, shop.partitions());
    // Home has sold two of the other's; the other was not told.
    let fault = leave(&shop, &commit_some("some", &id, &[(other, 2)], true), 1, 1).await;
    assert!(matches!(fault, StoreError::NotFollowed { .. }), "{fault:?}");
    assert_eq!((shop.units(home).await, shop.units(other).await), ((9, 3), (9, 5)));
    shop.pass(1000);
    let again = shop.applied(&reacquire("rest", &id, &[(home, 1), (other, 3)])).await;
    let lines = again.hold.unwrap().lines;
    assert_eq!(lines.iter().map(|line| line.committed).collect::<Vec<_>>(), [1, 5]);
    assert_eq!((shop.units(home).await, shop.units(other).await), ((8, 0), (4, 0)));
    // The repeat of what was left in the middle finds it done.
    assert!(shop.answer(&commit_some("some", &id, &[(other, 2)], true)).await.replayed);
    shop.pass(CART_TTL_MS);
    sweep_all(&shop).await;
    assert_eq!((shop.units(home).await, shop.units(other).await), ((8, 0), (4, 0)));
    assert_clean(&shop).await;
    shop.close().await;
}

#[tokio::test]
async fn an_older_revision_that_comes_late_takes_nothing_back() {
    let (shop, names) = (shop_apart().await, apart(2));
    let (home, other) = (names[0].as_str(), names[1].as_str());
    shop.stock(&[(home, 9), (other, 9)]).await;
    let held = reserve("held", &[(home, 3), (other, 5)], 50_000);
    shop.applied(&held).await;
    let id = hold_of(&held, shop.partitions());
    // The window, then home; the other is to be told.
    let scissors = Scissors::new(&Server::shared().url, 2, Cut::Pause);
    let gateway = shop.another_gateway_at(scissors.address.clone());
    let first = commit_some("first", &id, &[(other, 1)], true);
    let late = gateway.store.mutate(&first, None);
    let meanwhile = async {
        scissors.arrived().await;
        shop.applied(&commit_some("second", &id, &[(other, 2)], true)).await;
        assert_eq!(shop.units(other).await, (6, 2));
        scissors.go_on();
    };
    let (late, ()) = tokio::join!(late, meanwhile);
    assert!(late.unwrap().result.is_ok());
    assert_eq!((shop.units(home).await, shop.units(other).await), ((9, 3), (6, 2)));
    assert_clean(&shop).await;
    gateway.close().await;
    shop.close().await;
}

/// A level that is waited for is the one of the weakest step.
#[tokio::test]
async fn a_cart_is_as_durable_as_the_least_of_its_steps() {
    let (shop, names) = (shop_apart().await, apart(2));
    shop.stock(&[(&names[0], 9), (&names[1], 9)]).await;
    let mut sale = decrement("sale", &[(&names[0], 1), (&names[1], 1)]);
    sale.durability = Some("replicated=16".parse().unwrap());
    let answer = shop.answer(&sale).await;
    assert!(answer.result.is_ok() && !answer.durability.is_enough(), "{answer:?}");
    assert_eq!(answer.durability.asked, "replicated=16".parse().unwrap());
    shop.close().await;
}

/// Home remembers for a while only what it decided: a child older than that is not guessed about.
#[tokio::test]
async fn a_child_older_than_what_home_remembers_is_left_alone() {
    let (shop, names) = (shop_apart().await, apart(2));
    let (home, other) = (names[0].as_str(), names[1].as_str());
    shop.stock(&[(home, 5), (other, 5)]).await;
    // Decided, and the other was not told.
    leave(&shop, &decrement("sold", &[(home, 1), (other, 2)]), 3, 2).await;
    shop.pass(2 * RETENTION_MS);
    sweep_all(&shop).await;
    assert_eq!((shop.units(home).await, shop.units(other).await), ((4, 0), (5, 2)));
    shop.close().await;
}

/// A repeat cannot mend it, and would be asked for without end.
#[tokio::test]
async fn a_broken_part_of_a_decided_cart_is_called_broken() {
    let (shop, names) = (shop_apart().await, apart(2));
    let (home, other) = (names[0].as_str(), names[1].as_str());
    shop.stock(&[(home, 9), (other, 9)]).await;
    let held = reserve("held", &[(home, 1), (other, 1)], 50_000);
    shop.applied(&held).await;
    let id = hold_of(&held, shop.partitions());
    let (key, child) = (shop.key(other, "holds"), format!("0~{id}"));
    let good: String = shop.redis(redis::cmd("HGET").arg(&key).arg(&child)).await;
    shop.redis::<i64>(redis::cmd("HSET").arg(&key).arg(&child).arg("rubbish")).await;
    let sold = commit("sold", &id);
    for _ in 0..2 {
        let fault = shop.fault(&sold).await;
        assert!(matches!(&fault, StoreError::Broken { what } if what.contains(&child)), "{fault:?}");
    }
    shop.redis::<i64>(redis::cmd("HSET").arg(&key).arg(&child).arg(good)).await;
    assert!(shop.answer(&sold).await.replayed);
    assert_eq!((shop.units(home).await, shop.units(other).await), ((8, 0), (8, 0)));
    assert_clean(&shop).await;
    shop.close().await;
}

/// A partition whose Redis failed over may have lost its part: nobody makes up what it came to, also not for a repeat.
#[tokio::test]
async fn a_lost_part_of_a_decided_cart_is_called_broken() {
    let (shop, names) = (shop_apart().await, apart(3));
    let (home, other, third) = (names[0].as_str(), names[1].as_str(), names[2].as_str());
    shop.stock(&[(home, 9), (other, 9), (third, 9)]).await;
    let sold = decrement("sold", &[(home, 1), (other, 1), (third, 1)]);
    shop.applied(&sold).await;
    let held = reserve("held", &[(home, 2), (other, 2), (third, 2)], 50_000);
    shop.applied(&held).await;
    let id = hold_of(&held, shop.partitions());
    let keys: Vec<String> = shop.redis(redis::cmd("KEYS").arg(shop.key(other, "*"))).await;
    let is_of_carts = |key: &&String| [":holds", ":rec:", ":ended:"].iter().any(|part| key.contains(part));
    let lost: Vec<&String> = keys.iter().filter(is_of_carts).collect();
    assert_eq!(lost.len(), 3, "{keys:?}");
    shop.redis::<i64>(redis::cmd("DEL").arg(lost)).await;
    // What does not ask for it goes on.
    let some = shop.applied(&commit_some("some", &id, &[(home, 1), (third, 1)], true)).await;
    assert!(some.lines.iter().all(|line| line.level.version > 0), "{some:?}");
    for asked in [commit("rest", &id), sold.clone()] {
        for _ in 0..2 {
            let fault = shop.fault(&asked).await;
            assert!(matches!(&fault, StoreError::Broken { what } if what.contains(other)), "{fault:?}");
        }
    }
    // Where partitions were changed, parts that had ended are not kept: their counts are not known any more.
    let meta = format!("{}:meta", shop.settings.namespace);
    shop.redis::<i64>(redis::cmd("HSET").arg(meta).arg("partitions_before").arg("4")).await;
    let moved = shop.another_gateway();
    moved.store.prepare().await.unwrap();
    let again = moved.applied(&sold).await;
    assert_eq!(again.lines.iter().map(|line| line.level.on_hand).collect::<Vec<_>>(), [8, 0, 8]);
    moved.close().await;
    shop.close().await;
}

/// Children stay among the deadlines until their home is asked: a sale must not look at the same ones again and again.
#[tokio::test]
async fn hundreds_of_overdue_carts_keep_no_sale_from_its_answer() {
    const CARTS: usize = 300;
    let (shop, names) = (shop_apart().await, apart(2));
    let (home, other) = (names[0].as_str(), names[1].as_str());
    let twin = twin_of(other);
    let units = i64::try_from(CARTS).unwrap();
    shop.stock(&[(home, units), (other, units), (&twin, 1)]).await;
    let asked: Vec<Mutation> =
        (0..CARTS).map(|n| reserve(&format!("r{n}"), &[(home, 1), (other, 1)], 1000)).collect();
    assert!(rush(&shop, &asked).await.iter().all(Result::is_ok));
    shop.pass(CART_TTL_MS);
    // Of what they do not hold there is too little all the same.
    assert!(matches!(shop.refused(&decrement("more", &[(&twin, 2)])).await, Refusal::Insufficient(_)));
    shop.applied(&decrement("one", &[(other, 1)])).await;
    shop.applied(&decrement("all", &[(other, units - 1)])).await;
    assert_eq!(shop.units(other).await, (0, 0));
    assert_clean(&shop).await;
    shop.close().await;
}

/// Another SKU of the same partition.
fn twin_of(name: &str) -> String {
    let place = both()[1].of(&sku(name));
    let names = (0..).map(|n| format!("twin-{n:03}"));
    names.into_iter().find(|name| both()[1].of(&sku(name)) == place).unwrap()
}
