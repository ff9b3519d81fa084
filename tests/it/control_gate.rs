//! The gate of one process: how rarely Redis is asked, and how soon it is asked again when something goes wrong.

use std::time::Duration;

use futures_util::future::join_all;
use stockgate::{
    domain::{BreakerState, BreakerTerms, ChannelTerms, Partitions, RateTerms},
    store::{Shut, StoreError},
    workers::{Gate, Pass, Ticket, Verdict},
};
use tokio::time::Instant;

use crate::{harness::Shop, requests::channel, server::Server};

/// Opens at the first failure, for a second, without dice.
fn terms(rate: RateTerms) -> ChannelTerms {
    ChannelTerms {
        breaker: BreakerTerms { failures: 1, jitter: 0.0, ..BreakerTerms::default() },
        rate,
        call_timeout: Duration::from_secs(10),
    }
}

fn free() -> ChannelTerms {
    terms(RateTerms::default())
}

fn gate(shop: &Shop, terms: ChannelTerms) -> Gate {
    Gate::new(shop.store.clone(), channel("web"), terms)
}

/// A shop on a Redis of its own, so that scripts can be counted.
async fn counted() -> (Server, Shop) {
    let server = Server::start();
    let shop = Shop::open_with(Partitions::ONE, |settings| settings.link.address = server.address()).await;
    (server, shop)
}

/// Scripts run on this Redis until now.
async fn scripts(shop: &Shop) -> u64 {
    let info: String = shop.redis(redis::cmd("INFO").arg("commandstats")).await;
    let calls = |line: &str| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok();
    info.lines().find_map(calls).unwrap_or(0)
}

async fn go(gate: &Gate) -> Ticket {
    match gate.ask().await.unwrap() {
        Pass::Go(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

async fn probe(gate: &Gate) -> Ticket {
    match gate.ask().await.unwrap() {
        Pass::Probe(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

async fn shut(gate: &Gate) -> (Duration, Shut) {
    match gate.ask().await.unwrap() {
        Pass::Wait { wait, why } => (wait, why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_thousand_calls_to_a_healthy_channel_cost_a_few_scripts() {
    let (_server, shop) = counted().await;
    let gate = gate(&shop, free());
    for _ in 0..1000 {
        let ticket = go(&gate).await;
        assert_eq!(gate.report(ticket, Verdict::Worked).await.unwrap(), None);
        let ticket = go(&gate).await;
        gate.give_back(ticket).await.unwrap();
    }
    // Five permits and a report per second: this holds for a machine that needs a quarter of a minute.
    let scripts = scripts(&shop).await;
    assert!(scripts < 90, "{scripts} scripts");
    shop.close().await;
}

#[tokio::test]
async fn many_at_once_ask_once() {
    let (_server, shop) = counted().await;
    let gate = gate(&shop, free());
    let passes = join_all((0..200).map(|_| gate.ask())).await;
    assert!(passes.iter().all(|pass| matches!(pass, Ok(Pass::Go(_)))));
    assert_eq!(scripts(&shop).await, 1);

    let ticket = go(&gate).await;
    gate.report(ticket, Verdict::Failed).await.unwrap();
    let before = scripts(&shop).await;
    let passes = join_all((0..200).map(|_| gate.ask())).await;
    let is_shut = |pass: &Result<Pass, StoreError>| matches!(pass, Ok(Pass::Wait { wait, why: Shut::BreakerOpen }) if *wait == Duration::from_secs(1));
    assert!(passes.iter().all(is_shut), "{passes:?}");
    // The first asks; the others came while it asked, and take the answer of the second.
    assert!(scripts(&shop).await <= before + 2);
    shop.close().await;
}

#[tokio::test]
async fn a_failure_ends_the_grant_at_once_and_takes_what_worked_along() {
    let shop = Shop::open(Partitions::ONE).await;
    let breaker = BreakerTerms { failures: 2, ..free().breaker };
    let gate = gate(&shop, ChannelTerms { breaker, ..free() });
    for (verdict, turned) in [
        (Verdict::Failed, None),
        (Verdict::Worked, None),
        (Verdict::Failed, None),
        (Verdict::Failed, Some(BreakerState::Open)),
    ] {
        let ticket = go(&gate).await;
        assert_eq!(gate.report(ticket, verdict).await.unwrap(), turned, "{verdict:?}");
    }
    assert_eq!(shut(&gate).await, (Duration::from_secs(1), Shut::BreakerOpen));
    shop.close().await;
}

#[tokio::test]
async fn one_call_of_all_workers_shows_that_the_channel_works_again() {
    let shop = Shop::open(Partitions::ONE).await;
    let gates = [gate(&shop, free()), gate(&shop, free())];
    let (late, failed) = (go(&gates[1]).await, go(&gates[0]).await);
    assert_eq!(gates[0].report(failed, Verdict::Failed).await.unwrap(), Some(BreakerState::Open));
    // Begun before it opened: it changes nothing, but its grant is over.
    assert_eq!(gates[1].report(late, Verdict::Failed).await.unwrap(), None);
    assert_eq!(shut(&gates[1]).await.1, Shut::BreakerOpen);
    shop.pass(1000);
    let answers = join_all(gates.iter().cycle().take(20).map(Gate::ask)).await;
    let mut probes = Vec::new();
    for answer in answers {
        match answer.unwrap() {
            Pass::Probe(ticket) => probes.push(ticket),
            Pass::Wait { why, .. } => assert_eq!(why, Shut::BreakerOpen),
            Pass::Go(ticket) => panic!("{ticket:?}"),
        }
    }
    assert_eq!(probes.len(), 1);
    // Nothing was due: the next one is the probe.
    gates[0].give_back(probes.remove(0)).await.unwrap();
    let ticket = probe(&gates[1]).await;
    assert_eq!(gates[1].report(ticket, Verdict::Worked).await.unwrap(), Some(BreakerState::Closed));
    for gate in &gates {
        let ticket = go(gate).await;
        gate.give_back(ticket).await.unwrap();
    }
    shop.close().await;
}

#[tokio::test]
async fn a_channel_that_says_too_many_or_refuses_is_heard_by_everybody() {
    let shop = Shop::open(Partitions::ONE).await;
    let (gate, other) = (gate(&shop, free()), gate(&shop, free()));
    for (after, wait_ms) in [(None, 1000), (Some(Duration::from_secs(90)), 90_000)] {
        let ticket = go(&gate).await;
        assert_eq!(gate.report(ticket, Verdict::Throttled { after }).await.unwrap(), None);
        for gate in [&gate, &other] {
            assert_eq!(shut(gate).await, (Duration::from_millis(wait_ms), Shut::Throttled));
        }
        shop.pass(wait_ms.cast_signed());
    }
    let ticket = go(&gate).await;
    let turned = gate.report(ticket, Verdict::Refused).await.unwrap();
    assert_eq!(turned, Some(BreakerState::Open));
    assert_eq!(shut(&other).await, (Duration::from_secs(30), Shut::BreakerOpen));
    shop.close().await;
}

#[tokio::test]
async fn scarce_calls_that_are_not_made_go_back_to_the_other_workers() {
    let shop = Shop::open(Partitions::ONE).await;
    let scarce = terms(RateTerms { per_second: Some(50.0), burst: 10 });
    let (idle, busy) = (gate(&shop, scarce), gate(&shop, scarce));
    let made = go(&idle).await;
    let not_made = go(&idle).await;
    idle.report(made, Verdict::Worked).await.unwrap();
    idle.give_back(not_made).await.unwrap();
    for _ in 0..9 {
        let ticket = go(&busy).await;
        busy.report(ticket, Verdict::Worked).await.unwrap();
    }
    assert_eq!(shut(&busy).await, (Duration::from_millis(20), Shut::RateLimit));

    // So do those of a grant that a failure ends, and those of a probe.
    shop.pass(1000);
    let ticket = go(&idle).await;
    idle.report(ticket, Verdict::Failed).await.unwrap();
    let left = || async { shop.store.channel_control(&channel("web")).await.unwrap().tokens };
    assert_eq!(left().await, 9);
    shop.pass(1000);
    let ticket = probe(&idle).await;
    assert_eq!(left().await, 9);
    idle.give_back(ticket).await.unwrap();
    assert_eq!(left().await, 10);
    shop.close().await;
}

#[tokio::test]
async fn no_call_goes_longer_than_a_grant_after_an_operator_paused() {
    let shop = Shop::open(Partitions::ONE).await;
    let gate = gate(&shop, free());
    let ticket = go(&gate).await;
    gate.report(ticket, Verdict::Worked).await.unwrap();
    shop.store.pause_channel(&channel("web"), "ann", "sale check").await.unwrap();
    let paused_at = Instant::now();
    loop {
        let asked_at = Instant::now();
        match gate.ask().await.unwrap() {
            Pass::Go(ticket) => {
                assert!(asked_at < paused_at + Duration::from_millis(200));
                gate.give_back(ticket).await.unwrap();
            }
            Pass::Wait { why, .. } => {
                assert_eq!(why, Shut::Paused);
                break;
            }
            Pass::Probe(ticket) => panic!("{ticket:?}"),
        }
        tokio::task::yield_now().await;
    }
    shop.store.resume_channel(&channel("web")).await.unwrap();
    let ticket = go(&gate).await;
    gate.give_back(ticket).await.unwrap();
    shop.close().await;
}

#[tokio::test]
async fn what_redis_could_not_be_told_is_told_with_the_next_ask() {
    let shop = Shop::open(Partitions::ONE).await;
    let gate = gate(&shop, free());
    let ticket = go(&gate).await;
    let key = format!("{}:{{c:web}}:ctl", shop.settings.namespace);
    shop.redis::<()>(redis::cmd("SET").arg(&key).arg("wrong")).await;
    let fault = gate.report(ticket, Verdict::Failed).await.expect_err("must notice");
    assert!(matches!(fault, StoreError::WrongType { .. }), "{fault:?}");
    assert!(gate.ask().await.is_err());
    shop.redis::<i64>(redis::cmd("DEL").arg(&key)).await;
    assert_eq!(shut(&gate).await, (Duration::from_secs(1), Shut::BreakerOpen));
    shop.close().await;
}
