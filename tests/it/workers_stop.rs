//! Workers that stop: what they had in hand is nobody's loss.

use std::time::Duration;

use stockgate::domain::{Partitions, RateTerms};

use crate::{
    gateway::{SOON, eventually},
    requests::*,
    workers_crew::*,
};

#[tokio::test]
async fn a_call_that_hangs_is_cut_off_and_another_worker_tells_it_at_once() {
    let name = "st-hangs";
    let shop = open(&[name], |settings| settings.lease = HOUR).await;
    let hangs = Scripted::new(1, |call| if call.has("a") { Reply::Never } else { takes() });
    let works = Scripted::new(1, |_| takes());
    let leaving = Crew::start_with(&shop.store, vec![setup(name, &hangs)], |settings| {
        settings.poll_interval = HOUR;
        settings.drain_timeout = Duration::from_millis(200);
    })
    .await;
    stock(&shop, &[("a", 5)]).await;
    eventually("it hangs", SOON, async || (hangs.count() == 1).then_some(())).await;
    let another = shop.another_gateway();
    let staying = Crew::start_with(&another.store, vec![setup(name, &works)], |settings| {
        settings.poll_interval = HOUR;
    })
    .await;
    // It sleeps once it has been heard of: nothing but a ring wakes it after that.
    for n in 0.. {
        let sku = format!("b{n}");
        stock(&shop, &[(&sku, 5)]).await;
        confirmed(&shop, name, &sku, 1).await;
        if works.count() > 0 {
            break;
        }
        shop.store.ring(&[channel(name)]).await.unwrap();
    }
    assert_eq!(state(&shop, name, "a").await.attempts, 0);
    assert_eq!(works.times("a"), 0, "it is leased for an hour");

    leaving.leave().await;
    let given_back = state(&shop, name, "a").await;
    assert!(given_back.confirmed_version == 1 || given_back.attempts == 0, "{given_back:?}");
    confirmed(&shop, name, "a", 1).await;
    assert_eq!((hangs.times("a"), works.times("a")), (1, 1));
    staying.leave().await;
    another.close().await;
    shop.close().await;
}

#[tokio::test]
async fn what_is_cut_off_was_no_attempt() {
    let name = "st-no-attempt";
    let shop = open(&[name], |settings| settings.lease = HOUR).await;
    let hangs = Scripted::new(8, |call| match call.items.len() {
        8 => rejects(),
        _ => Reply::Never,
    });
    let crew = Crew::start_with(&shop.store, vec![setup(name, &hangs)], |settings| {
        settings.drain_timeout = Duration::from_millis(50);
    })
    .await;
    let names: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
    let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 5)).collect();
    become_due_together(&shop, name, &counts).await;
    eventually("the first half hangs", SOON, async || (hangs.count() == 2).then_some(())).await;
    let stopped_ms = now_ms();
    crew.leave().await;
    assert_eq!(hangs.count(), 2, "no call begins once calls are cut off");
    for sku in &names {
        let state = state(&shop, name, sku).await;
        assert_eq!((state.attempts, state.lease_end_ms, state.dead_ms), (0, None, None), "{sku}");
        assert!(state.due_ms.unwrap() >= stopped_ms && state.due_ms.unwrap() <= now_ms(), "{sku}: {state:?}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_retry_that_a_stopped_worker_left_is_made_by_another() {
    let name = "st-retry";
    // So many that each worker reads some of them, also where they are shared out.
    let shop = open(&[name], |settings| settings.partitions = Partitions::new(16).unwrap()).await;
    let (fails_at, works) = (Scripted::new(1, |_| Reply::All(fails())), Scripted::new(1, |_| takes()));
    let parks = || {
        let mut parks = setup(name, &fails_at);
        parks.backoff.first = Duration::from_millis(1500);
        parks
    };
    let leaving = Crew::start(&shop.store, vec![parks()]).await;
    let another = shop.another_gateway();
    let staying = Crew::start_with(&another.store, vec![setup(name, &works)], |settings| {
        settings.poll_interval = HOUR;
    })
    .await;
    for n in 0.. {
        assert!(n < 500, "one worker carries everything");
        let sku = format!("b{n}");
        stock(&shop, &[(&sku, 5)]).await;
        let is_parked = eventually("somebody has called", SOON, async || {
            let state = state(&shop, name, &sku).await;
            (state.attempts > 0 || state.confirmed_version == 1).then_some(state.attempts > 0)
        })
        .await;
        match (works.count() > 0, is_parked) {
            (false, _) => shop.store.ring(&[channel(name)]).await.unwrap(),
            // Carried and parked by the one that leaves: the other has slept since before.
            (true, true) => break,
            (true, false) => {}
        }
    }
    leaving.leave().await;
    at_rest(&shop, name).await;
    staying.leave().await;
    another.close().await;
    shop.close().await;
}

#[tokio::test]
async fn a_rate_limited_worker_stops_at_once() {
    let name = "st-scarce";
    let shop = open(&[name], |_| {}).await;
    let scripted = Scripted::new(1, |_| takes());
    let mut slow = setup(name, &scripted);
    slow.terms.rate = RateTerms { per_second: Some(0.01), burst: 1 };
    let crew = Crew::start(&shop.store, vec![slow]).await;
    stock(&shop, &[("a", 5), ("b", 5)]).await;
    eventually("one was told", SOON, async || (scripted.count() == 1).then_some(())).await;
    crew.leave().await;
    let counts = shop.store.channel_counts(&channel(name)).await.unwrap();
    assert_eq!((counts.due, counts.leased), (1, 0));
    shop.close().await;
}
