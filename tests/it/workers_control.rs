//! When workers leave a channel alone: its breaker, its rate, an operator's pause; two worker sets, as on two machines.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stockgate::{
    domain::{Backoff, BreakerState, BreakerTerms, RateTerms},
    telemetry,
};
use tokio::time::Instant;

use crate::{
    gateway::{SOON, eventually},
    requests::*,
    workers_crew::*,
};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("s{n:03}")).collect()
}

#[tokio::test]
async fn a_dead_channel_gets_one_probe_at_a_time_and_is_told_everything_once_it_lives() {
    let name = "ct-breaker";
    let shop = open(&[name], |_| {}).await;
    let lives = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&lives);
    let scripted = Scripted::new(1, move |_| match answers.load(Ordering::SeqCst) {
        true => takes(),
        false => Reply::Later(Duration::from_millis(30), fails()),
    });
    let setup = || {
        let mut setup = setup(name, &scripted);
        let soon = Duration::from_millis(20);
        setup.backoff = Backoff { first: soon, cap: soon, jitter: 0.0 };
        let open = Duration::from_millis(200);
        setup.terms.breaker =
            BreakerTerms { open_first: open, open_cap: open, jitter: 0.0, ..BreakerTerms::default() };
        setup
    };
    let another = shop.another_gateway();
    let crews =
        [Crew::start(&shop.store, vec![setup()]).await, Crew::start(&another.store, vec![setup()]).await];
    let skus = names(40);
    for sku in &skus {
        stock(&shop, &[(sku, 5)]).await;
    }
    eventually("the breaker opens", SOON, async || {
        let control = shop.store.channel_control(&channel(name)).await.unwrap();
        (control.breaker != BreakerState::Closed).then_some(())
    })
    .await;
    // Those on their way when it opened are over when nobody is under way.
    eventually("nobody is called", SOON, async || {
        (scripted.calls().iter().all(|call| call.ended_ms.is_some())).then_some(())
    })
    .await;
    let at_opening = scripted.count();
    assert!(at_opening >= 5, "{at_opening} calls");
    assert!(at_opening < 5 + 2 * 4 + 1, "five failures, and what both sets had on their way: {at_opening}");
    scripted.most_under_way();
    let open_since = Instant::now();
    for (units, sku) in (6..).zip(&skus).take(3) {
        // What becomes due meanwhile changes nothing.
        stock(&shop, &[(sku, units), ("later", units)]).await;
        let before = scripted.count();
        eventually("a probe", SOON, async || (scripted.count() > before).then_some(())).await;
    }
    let probes = scripted.count() - at_opening;
    let probes_max = open_since.elapsed().as_millis() / 200 + 2;
    assert!(probes as u128 <= probes_max, "{probes} probes, {probes_max} at most");
    assert_eq!(scripted.most_under_way(), 1, "one probe at a time");

    // Only what failed before it opened used up attempts: a probe asks about the channel.
    let attempts = eventually("a moment between two probes", SOON, async || {
        let before = scripted.count();
        let mut attempts = 0;
        for sku in skus.iter().map(String::as_str).chain(["later"]) {
            attempts += usize::try_from(state(&shop, name, sku).await.attempts).unwrap();
        }
        let is_quiet =
            scripted.count() == before && scripted.calls().iter().all(|call| call.ended_ms.is_some());
        (is_quiet && attempts >= at_opening).then_some(attempts)
    })
    .await;
    assert_eq!(attempts, at_opening);

    lives.store(true, Ordering::SeqCst);
    at_rest(&shop, name).await;
    for sku in &skus {
        let state = state(&shop, name, sku).await;
        assert_eq!(state.confirmed_version, shop.level(sku).await.version, "{sku}: {state:?}");
    }
    let control = shop.store.channel_control(&channel(name)).await.unwrap();
    assert_eq!(control.breaker, BreakerState::Closed);
    assert_eq!(metric(telemetry::DEAD_LETTERS, name, ""), 0.0);
    assert_eq!(metric(telemetry::BREAKER_OPENED, name, ""), 1.0, "a probe that fails opens nothing anew");
    for crew in crews {
        crew.leave().await;
    }
    another.close().await;
    shop.close().await;
}

#[tokio::test]
async fn two_worker_sets_share_one_rate() {
    const PER_SECOND: i64 = 40;
    const BURST: i64 = 8;
    /// A grant is used up within 200 ms, and a call begins a little after it was let through.
    const SLACK_MS: i64 = 400;

    let name = "ct-rate";
    let shop = open(&[name], |_| {}).await;
    let scripted = Scripted::new(1, |_| takes());
    let setup = || {
        let mut setup = setup(name, &scripted);
        setup.terms.rate =
            RateTerms { per_second: Some(PER_SECOND as f64), burst: u32::try_from(BURST).unwrap() };
        setup
    };
    let another = shop.another_gateway();
    let crews =
        [Crew::start(&shop.store, vec![setup()]).await, Crew::start(&another.store, vec![setup()]).await];
    let skus = names(120);
    for sku in &skus {
        stock(&shop, &[(sku, 5)]).await;
    }
    for sku in &skus {
        confirmed(&shop, name, sku, 1).await;
    }
    let began_ms: Vec<i64> = scripted.calls().iter().map(|call| call.began_ms).collect();
    assert_eq!(began_ms.len(), 120, "each was told once");
    for (first, from_ms) in began_ms.iter().enumerate() {
        for (count, until_ms) in (1_i64..).zip(&began_ms[first..]) {
            let allowed = BURST + PER_SECOND * (until_ms - from_ms + SLACK_MS) / 1000;
            assert!(count <= allowed, "{count} calls in {} ms", until_ms - from_ms);
        }
    }
    let took_ms = began_ms[119] - began_ms[0];
    assert!(took_ms >= (120 - BURST) * 1000 / PER_SECOND - SLACK_MS, "{took_ms} ms");
    println!("120 calls at {PER_SECOND}/s took {took_ms} ms");
    for crew in crews {
        crew.leave().await;
    }
    another.close().await;
    shop.close().await;
}

#[tokio::test]
async fn a_paused_channel_is_not_called_and_then_hears_the_newest() {
    let name = "ct-paused";
    let shop = open(&[name], |_| {}).await;
    let scripted = Scripted::new(1, |_| takes());
    let mut strict = setup(name, &scripted);
    // One attempt used up would be one too many.
    strict.rules.patience.attempts_max = 1;
    let another = shop.another_gateway();
    let crews = [
        Crew::start(&shop.store, vec![strict]).await,
        Crew::start(&another.store, vec![setup(name, &scripted)]).await,
    ];
    let skus = names(20);
    let counts: Vec<(&str, i64)> = skus.iter().map(|sku| (sku.as_str(), 5)).collect();
    stock(&shop, &counts).await;
    for sku in &skus {
        confirmed(&shop, name, sku, 1).await;
    }

    let paused_at = Instant::now();
    shop.store.pause_channel(&channel(name), "ann", "stock-take").await.unwrap();
    shop.store.ring(&[channel(name)]).await.unwrap();
    // Grants last 200 ms; the rest is for a call let through at their end.
    eventually("no grant is left", SOON, async || {
        (paused_at.elapsed() > Duration::from_secs(1)).then_some(())
    })
    .await;
    let before = scripted.count();
    for units in [9, 7] {
        for sku in &skus {
            stock(&shop, &[(sku, units)]).await;
        }
    }
    due(&shop, name, 20).await;
    let looked = metric(telemetry::WAITS, name, "paused");
    shop.store.ring(&[channel(name)]).await.unwrap();
    eventually("both sets look again", SOON, async || {
        (metric(telemetry::WAITS, name, "paused") >= looked + 2.0).then_some(())
    })
    .await;
    assert_eq!(scripted.count(), before, "it was called while it was paused");
    let state_paused = state(&shop, name, &skus[0]).await;
    assert_eq!((state_paused.attempts, state_paused.dead_ms, state_paused.lease_end_ms), (0, None, None));

    resume(&shop, name).await;
    for sku in &skus {
        confirmed(&shop, name, sku, 3).await;
        let told: Vec<_> = scripted.told().into_iter().filter(|item| item.sku.as_str() == sku).collect();
        let told: Vec<_> = told.iter().map(|item| (item.version, item.published)).collect();
        assert_eq!(told, [(1, 5), (3, 7)], "{sku}");
    }
    assert_eq!(metric(telemetry::DEAD_LETTERS, name, ""), 0.0);
    for crew in crews {
        crew.leave().await;
    }
    another.close().await;
    shop.close().await;
}

#[tokio::test]
async fn a_channel_that_says_too_many_is_left_alone_by_both_sets() {
    let name = "ct-throttled";
    let shop = open(&[name], |_| {}).await;
    let wait = Duration::from_millis(1500);
    let scripted = Scripted::new(1, move |call| match call.index {
        0 => Reply::All(stockgate::channels::PushOutcome::RetryAfter {
            after: Some(wait),
            throttled: true,
            error: stockgate::outbound::ErrorText::new("429"),
        }),
        _ => takes(),
    });
    let setup = || {
        let mut setup = setup(name, &scripted);
        setup.concurrency = 1;
        setup
    };
    let another = shop.another_gateway();
    let crews =
        [Crew::start(&shop.store, vec![setup()]).await, Crew::start(&another.store, vec![setup()]).await];
    stock(&shop, &[("first", 5)]).await;
    let told_ms = eventually("it says too many", SOON, async || scripted.calls().first()?.ended_ms).await;
    eventually("that is written down", SOON, async || {
        let control = shop.store.channel_control(&channel(name)).await.unwrap();
        control.not_before_ms
    })
    .await;
    let skus = names(20);
    for sku in &skus {
        stock(&shop, &[(sku, 5)]).await;
    }
    for sku in skus.iter().map(String::as_str).chain(["first"]) {
        confirmed(&shop, name, sku, 1).await;
    }
    // By the clock of another process than the one that wrote it down: a ms of rounding.
    let wait_ms = i64::try_from(wait.as_millis()).unwrap() - 1;
    for call in &scripted.calls()[1..] {
        // A grant at hand when it was said is used up within 200 ms, by the other set.
        let after_ms = call.began_ms - told_ms;
        assert!(after_ms >= wait_ms || after_ms <= 300, "{after_ms} ms after it asked for {wait_ms}");
    }
    assert_eq!(scripted.count(), 22);
    for crew in crews {
        crew.leave().await;
    }
    another.close().await;
    shop.close().await;
}
