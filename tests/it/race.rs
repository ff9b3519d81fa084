//! Never oversold: many want the last units at once, through several gateways.

use stockgate::domain::{Mutation, Partitions, Refusal};
use tokio::task::JoinSet;

use crate::{
    harness::{Shop, both},
    requests::*,
};

/// Asks everything at once, spread over four gateways; says how many were carried out.
async fn rush(shop: &Shop, asked: Vec<Mutation>) -> usize {
    let gateways: Vec<Shop> = (0..4).map(|_| shop.another_gateway()).collect();
    let mut tasks = JoinSet::new();
    for (n, mutation) in asked.into_iter().enumerate() {
        let store = gateways[n % gateways.len()].store.clone();
        tasks.spawn(async move { store.mutate(&mutation, None).await.unwrap().result });
    }
    let mut applied = 0;
    while let Some(result) = tasks.join_next().await {
        match result.unwrap() {
            Ok(_) => applied += 1,
            Err(Refusal::Insufficient(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    for gateway in gateways {
        gateway.close().await;
    }
    applied
}

async fn check_rush(partitions: Partitions, ask: fn(&str) -> Mutation, left: (i64, i64)) {
    let shop = Shop::open(partitions).await;
    shop.stock(&[("A", 10)]).await;
    let applied = rush(&shop, (0..64).map(|n| ask(&format!("k{n}"))).collect()).await;
    assert_eq!((applied, shop.units("A").await), (10, left));
    assert_eq!(shop.store.verify(&[], false).await.unwrap().findings, []);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_buyers_of_ten_units_buy_ten() {
    for partitions in both() {
        check_rush(partitions, |key| decrement(key, &[("A", 1)]), (0, 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_holders_of_ten_units_hold_ten() {
    for partitions in both() {
        check_rush(partitions, |key| reserve(key, &[("A", 1)], 1000), (10, 10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn carts_that_cross_each_other_sell_all_lines_or_none() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10), ("B", 10), ("C", 10)]).await;
        let carts: [&[(&str, i64)]; 3] =
            [&[("A", 1), ("B", 1)], &[("B", 1), ("C", 1)], &[("C", 1), ("A", 1)]];
        let asked = (0..64).map(|n| decrement(&format!("k{n}"), carts[n % 3])).collect();
        let applied = i64::try_from(rush(&shop, asked).await).unwrap();
        let mut sold = 0;
        for name in ["A", "B", "C"] {
            let (on_hand, _) = shop.units(name).await;
            assert!(on_hand >= 0);
            sold += 10 - on_hand;
        }
        assert_eq!(sold, 2 * applied);
        assert_eq!(shop.store.verify(&[], false).await.unwrap().findings, []);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_asked_by_many_at_once_sells_once() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 10)]).await;
        let applied = rush(&shop, vec![decrement("k", &[("A", 1)]); 64]).await;
        assert_eq!((applied, shop.units("A").await), (64, (9, 0)));
        shop.close().await;
    }
}
