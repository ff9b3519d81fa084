//! A run that slept until another had its turn, and had finished: it wakes up and touches nothing of the shop that lives on.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use stockgate::store::{Repartition, RepartitionError, Repartitioned, repartition};

use crate::{
    harness::Shop,
    repartition_shop::{is_left_over, lived_in, move_to, order, reopened},
    requests::*,
};

type Done = Result<Repartitioned, RepartitionError>;

/// One step of a run, which is not its last.
async fn step(run: Pin<&mut impl Future<Output = Done>>) {
    let mut run = run;
    poll_fn(|context| match run.as_mut().poll(context) {
        Poll::Ready(done) => panic!("it was done before it slept: {done:?}"),
        Poll::Pending => Poll::Ready(()),
    })
    .await;
}

/// Lets a run go on until it has written a phase down, and leaves it there. It has not seen the answer.
async fn asleep_in(shop: &Shop, mut run: Pin<&mut impl Future<Output = Done>>, phase: &str) {
    let mut ask = redis::cmd("HGET");
    ask.arg(format!("{}:meta", shop.settings.namespace)).arg("repartition");
    loop {
        step(run.as_mut()).await;
        let halfway: Option<String> = shop.redis(&mut ask).await;
        if halfway.is_some_and(|halfway| halfway.starts_with(phase)) {
            return;
        }
    }
}

/// Another run finishes what one that sleeps has begun, and the shop lives on.
async fn finished_by_another(shop: &Shop) -> (Shop, String) {
    move_to(&shop.settings, 16).await.unwrap();
    let moved = reopened(shop, 16).await;
    moved.applied(&decrement("life goes on", &[("A", 1), ("H", 1)])).await;
    let dump = moved.dump().await;
    (moved, dump)
}

async fn check_untouched(moved: &Shop, dump: &str, woke: Done) {
    let said = woke.expect_err("its turn is over");
    assert!(matches!(said, RepartitionError::LostTurn), "{said:?}");
    assert_eq!(moved.dump().await, dump);
    assert_eq!(is_left_over(moved).await, Vec::<String>::new());
    moved.store.prepare().await.unwrap();
}

/// Even when its clock stood still with it, as that of a machine that is suspended does.
#[tokio::test]
async fn a_run_sees_that_its_change_is_no_longer_where_it_left_it() {
    for phase in ["dropping", "placing"] {
        let (shop, _) = lived_in(3).await;
        let mut run = pin!(repartition(shop.settings.clone(), order(16), &|_| {}));
        asleep_in(&shop, run.as_mut(), phase).await;
        let turn = format!("{}:repartition", shop.settings.namespace);
        shop.redis::<i64>(redis::cmd("DEL").arg(turn)).await;
        let (moved, dump) = finished_by_another(&shop).await;
        check_untouched(&moved, &dump, run.await).await;
    }
}

#[tokio::test]
async fn a_run_that_slept_longer_than_its_lease_takes_no_step() {
    let lease = Duration::from_secs(3);
    let mut asleep = Vec::new();
    for steps in 0..4 {
        let (shop, _) = lived_in(3).await;
        let short = Repartition { lease, ..order(16) };
        let mut run = Box::pin(repartition(shop.settings.clone(), short, &|_| {}));
        asleep_in(&shop, run.as_mut(), "dropping").await;
        for _ in 0..steps {
            step(run.as_mut()).await;
            shop.redis::<String>(&mut redis::cmd("PING")).await;
        }
        asleep.push((shop, run));
    }
    tokio::time::sleep(lease).await; // why: a key of Redis runs out by its clock, which no test moves
    for (shop, run) in asleep {
        let (moved, dump) = finished_by_another(&shop).await;
        check_untouched(&moved, &dump, run.await).await;
    }
}

/// It is not taken again as if nothing had been.
#[tokio::test]
async fn a_turn_that_ran_out_is_lost_although_nobody_took_it() {
    let (shop, _) = lived_in(3).await;
    let (settings, turn) = (shop.settings.clone(), format!("{}:repartition", shop.settings.namespace));
    let slow = Repartition { lease: Duration::from_secs(1), quiet: Duration::from_secs(600), ..order(16) };
    let run = tokio::spawn(async move { repartition(settings, slow, &|_| {}).await });
    while shop.redis::<i64>(redis::cmd("DEL").arg(&turn)).await == 0 {}
    let said = run.await.unwrap().unwrap_err();
    assert!(matches!(said, RepartitionError::LostTurn), "{said:?}");
}
