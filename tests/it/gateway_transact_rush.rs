//! The books after a rush over Transact streams: in peace, cancelled in the middle, and with a Redis that dies.

use std::collections::{BTreeMap, BTreeSet};

use stockgate::proto::{LineResult, TransactRequest, transact_response::Result as Outcome};
use tokio::task::JoinHandle;
use tonic::Code;

use crate::{
    gateway::{Gateway, SOON, Setup, eventually},
    gateway_calls::reason,
    gateway_redis::Redis,
    gateway_transact::{Stream, sell, sold, status},
};

fn key(order: u64) -> String {
    format!("order {order}")
}

/// Sends these orders of one unit each, as fast as the stream takes them, until it takes no more.
fn send(stream: &Stream, orders: impl IntoIterator<Item = u64>) -> JoinHandle<()> {
    let (out, orders) = (stream.sender(), orders.into_iter().collect::<Vec<_>>());
    tokio::spawn(async move {
        for order in orders {
            let request = TransactRequest { tag: order, operation: Some(sell(&key(order), "hot", 1)) };
            if out.send(request).await.is_err() {
                return;
            }
        }
    })
}

/// Sends these orders over a stream of their own; returns what each was answered.
async fn rush(gateway: &Gateway, orders: impl IntoIterator<Item = u64>) -> BTreeMap<u64, Outcome> {
    let mut stream = Stream::open(gateway).await;
    let sender = send(&stream, orders);
    stream.half_close();
    let (answers, end) = stream.rest().await;
    end.unwrap();
    sender.await.unwrap();
    answers
}

/// Units gone are units sold, each key has one event, and every order answers its line again.
async fn check(gateway: &Gateway, units: i64, lines: &BTreeMap<u64, LineResult>) {
    assert_eq!(gateway.level("hot").await.on_hand, units - i64::try_from(lines.len()).unwrap());
    let events = gateway.sales("hot").await;
    let keys: BTreeSet<_> = lines.keys().map(|order| key(*order)).collect();
    assert!(events.keys().eq(&keys), "other keys have events than were answered");
    let again = rush(gateway, lines.keys().copied()).await;
    for (order, line) in lines {
        assert_eq!(sold(&again[order]), (line.clone(), true));
        assert_eq!(events[&key(*order)].event_id, line.event_id);
    }
    assert!(gateway.findings(false).await.is_empty());
}

#[tokio::test]
async fn ten_thousand_operations_on_one_stream_keep_the_books_right() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    let units = 6_000;
    gateway.put(&[("hot", units)]).await;
    let answers = rush(&gateway, 0..10_000).await;
    assert_eq!(answers.len(), 10_000);
    let mut lines = BTreeMap::new();
    for (order, outcome) in answers {
        match &outcome {
            Outcome::Decrement(_) => {
                let (line, replayed) = sold(&outcome);
                assert!(!replayed);
                lines.insert(order, line);
            }
            refused => assert_eq!(reason(&status(refused)), "INSUFFICIENT_STOCK"),
        }
    }
    assert_eq!(lines.len(), 6_000);
    check(&gateway, units, &lines).await;
}

/// Keeps the lines that orders were answered; an order answered twice has one line.
fn note(lines: &mut BTreeMap<u64, LineResult>, answers: BTreeMap<u64, Outcome>) {
    for (order, outcome) in answers {
        let line = sold(&outcome).0;
        assert_eq!(lines.entry(order).or_insert_with(|| line.clone()), &line);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_in_the_middle_is_repeated_and_sells_nothing_twice() {
    let setup = Setup::on(Redis::shared().await);
    let mut gateway = setup.serve().await;
    let units = 100_000;
    gateway.put(&[("hot", units)]).await;
    let mut lines = BTreeMap::new();
    for round in 1..=3 {
        let mut stream = Stream::open(&gateway).await;
        let sender = send(&stream, 0..2_000);
        note(&mut lines, stream.answers(400 * round).await);
        if round == 2 {
            gateway.kill();
            stream.half_close();
            let (answers, end) = stream.rest().await;
            note(&mut lines, answers);
            end.unwrap_err();
            gateway = setup.serve().await;
        } else {
            // The caller cancels.
            drop(stream);
        }
        sender.await.unwrap();
    }
    note(&mut lines, rush(&gateway, 0..2_000).await);
    assert_eq!(lines.len(), 2_000);
    check(&gateway, units, &lines).await;
}

#[tokio::test]
async fn a_stream_outlives_a_redis_that_is_killed_and_its_repeats_keep_the_books_right() {
    let mut redis = Redis::start().await;
    let gateway = Setup::on(&redis).serve().await;
    let units = 100_000;
    gateway.put(&[("hot", units)]).await;
    let mut stream = Stream::open(&gateway).await;
    let sender = send(&stream, 0..5_000);
    let mut answers = stream.answers(500).await;
    redis.kill().await;
    answers.extend(stream.answers(4_500).await);
    sender.await.unwrap();
    assert_eq!(answers.len(), 5_000);
    let mut lines = BTreeMap::new();
    let mut open = BTreeSet::new();
    for (order, outcome) in &answers {
        if let Outcome::Decrement(_) = outcome {
            lines.insert(*order, sold(outcome).0);
        } else {
            let said = status(outcome);
            let reason = reason(&said);
            assert_eq!(said.code(), Code::Unavailable, "{said:?}");
            assert!(["OUTCOME_UNKNOWN", "STORE_UNAVAILABLE"].contains(&&*reason), "{said:?}");
            open.insert(*order);
        }
    }
    assert!(lines.len() >= 500 && !open.is_empty());
    redis.raise().await;
    for order in open {
        let line = eventually("the repeat is answered", SOON, async || {
            match stream.ask(sell(&key(order), "hot", 1)).await {
                outcome @ Outcome::Decrement(_) => Some(sold(&outcome).0),
                _ => None,
            }
        })
        .await;
        lines.insert(order, line);
    }
    stream.half_close();
    stream.rest().await.1.unwrap();
    check(&gateway, units, &lines).await;
}
