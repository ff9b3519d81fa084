//! What workers say of a channel that is behind: once over all worker sets, and again only after it has caught up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stockgate::{domain::Backoff, telemetry};

use crate::{
    gateway::{SOON, eventually},
    workers_crew::*,
};

#[tokio::test]
async fn lag_is_told_once_over_all_worker_sets_and_again_after_recovery() {
    let name = "lg-behind";
    let shop = open(&[name], |_| {}).await;
    let lives = Arc::new(AtomicBool::new(true));
    let answers = Arc::clone(&lives);
    let scripted = Scripted::new(1, move |_| match answers.load(Ordering::SeqCst) {
        true => takes(),
        false => Reply::All(fails()),
    });
    let soon = Duration::from_millis(20);
    let setup = || {
        let mut setup = setup(name, &scripted);
        setup.backoff = Backoff { first: soon, cap: soon, jitter: 0.0 };
        // A dead letter is not behind.
        setup.rules.patience.attempts_max = u32::MAX;
        setup
    };
    let another = shop.another_gateway();
    let mut crews = Vec::new();
    for store in [&shop.store, &another.store] {
        let crew = Crew::start_with(store, vec![setup()], |settings| {
            settings.poll_interval = Duration::from_millis(50);
            settings.lag_critical = Duration::from_millis(200);
            settings.lag_cost = Duration::from_millis(400);
        });
        crews.push(crew.await);
    }
    let counted = || {
        let of = |counter| metric(counter, name, "");
        (of(telemetry::LAG_CRITICAL), of(telemetry::LAG_COST_EVENTS))
    };
    let control = format!("{}:{{c:{name}}}:ctl", shop.settings.namespace);
    stock(&shop, &[("a", 5)]).await;
    confirmed(&shop, name, "a", 1).await;
    assert_eq!(counted(), (0.0, 0.0));

    for round in 1..=2 {
        lives.store(false, Ordering::SeqCst);
        stock(&shop, &[("a", 5 - round)]).await;
        let times = round as f64;
        eventually("it costs", SOON, async || (counted().1 == times).then_some(())).await;
        let (calls, started) = (scripted.count(), tokio::time::Instant::now());
        eventually("both sets have measured many times", SOON, async || {
            (scripted.count() > calls + 5 && started.elapsed() > Duration::from_millis(500)).then_some(())
        })
        .await;
        assert_eq!(counted(), (times, times));
        assert!(metric(telemetry::OLDEST_UNCONFIRMED_SECONDS, name, "") > 0.4);
        assert_eq!(metric(telemetry::EXPOSED_UNITS, name, ""), 1.0, "one unit was sold it does not know of");
        lives.store(true, Ordering::SeqCst);
        confirmed(&shop, name, "a", 1 + round).await;
        eventually("both notes are taken back", SOON, async || {
            let mut notes = redis::cmd("HMGET");
            notes.arg(&control).arg("critical_ms").arg("costly_ms");
            let notes: Vec<Option<String>> = shop.redis(&mut notes).await;
            notes.iter().all(Option::is_none).then_some(())
        })
        .await;
        eventually("the gauges fall", SOON, async || {
            let is_zero = |gauge| metric(gauge, name, "") == 0.0;
            (is_zero(telemetry::OLDEST_UNCONFIRMED_SECONDS) && is_zero(telemetry::EXPOSED_UNITS))
                .then_some(())
        })
        .await;
    }
    assert_eq!(counted(), (2.0, 2.0));
    for crew in crews {
        crew.leave().await;
    }
    another.close().await;
    shop.close().await;
}
