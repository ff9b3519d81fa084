//! A change of partitions that is killed anywhere: the next one finishes or begins again, and what comes of it is the same shop.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};

use stockgate::store::{PrepareError, RepartitionError, Repartitioned, abandon_repartition, repartition};

use crate::{
    harness::Shop,
    repartition_shop::{
        contents, events_of, given_to_workers, is_left_over, is_told_alike, lived_in, move_to, order,
        partitions, reopened, sayings,
    },
    requests::*,
    shared_redis::is_left_out,
};

/// Every so many answers of Redis there is a kill.
const STRIDE: usize = 41;

/// Runs a change and drops it when Redis has answered so many times, as a kill would; None when it was killed.
async fn killed_after(
    shop: &Shop,
    to: u16,
    answers: usize,
) -> Option<Result<Repartitioned, RepartitionError>> {
    let mut run = pin!(repartition(shop.settings.clone(), order(to), &|_| {}));
    let mut left = answers;
    let done = poll_fn(|context| match Pin::new(&mut run).as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    let done = done.await;
    // The turn of a killed run ends when its key runs out.
    let turn = format!("{}:repartition", shop.settings.namespace);
    shop.redis::<i64>(redis::cmd("DEL").arg(turn)).await;
    done
}

async fn refusal_to_serve(shop: &Shop) -> Option<(u16, u16)> {
    match shop.another_gateway().store.prepare().await {
        Ok(()) => None,
        Err(PrepareError::Repartitioning { from, to }) => Some((from, to)),
        Err(other) => panic!("{other}"),
    }
}

/// Done now, or by the run before, which was killed after that.
fn check_moved(done: Result<Repartitioned, RepartitionError>, to: u16) {
    match done {
        Ok(done) => assert_eq!(done.to, partitions(to)),
        Err(RepartitionError::SameCount { count }) => assert_eq!(count, to),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_run_that_was_killed_anywhere_is_made_good() {
    let (mut shop, past) = lived_in(3).await;
    let (fields, events) = (contents(&shop).await, sayings(&events_of(&shop, Some("A")).await));
    let (mut answers, mut counts, mut kills) = (5, [16, 3].into_iter().cycle(), [0, 0]);
    while let Some(to) = counts.next().filter(|_| kills.iter().sum::<usize>() < 40) {
        loop {
            let done = killed_after(&shop, to, answers).await;
            answers += STRIDE;
            match done {
                Some(done) => break check_moved(done, to),
                None => {
                    let way = (shop.partitions().count(), to);
                    let is_held_off = refusal_to_serve(&shop).await;
                    assert!([None, Some(way)].contains(&is_held_off), "{is_held_off:?} on {way:?}");
                    kills[usize::from(is_held_off.is_some())] += 1;
                    // What is told to finish is finished at once: one run must be enough, wherever the last was killed.
                    if kills.iter().sum::<usize>() % 2 == 0 {
                        break check_moved(move_to(&shop.settings, to).await, to);
                    }
                }
            }
        }
        shop = reopened(&shop, to).await;
        assert_eq!(contents(&shop).await, fields, "{to} after {answers} answers");
        assert_eq!(sayings(&events_of(&shop, Some("A")).await), events);
        assert_eq!(is_left_over(&shop).await, Vec::<String>::new());
        if answers > 2_000 {
            answers = 5 + answers % STRIDE;
        }
    }
    assert!(kills[1] > 10, "{kills:?}: it is killed while it is at it");
    assert_eq!(given_to_workers(&shop).await, past.uncarried);
    assert_eq!(shop.store.verify(&[], false).await.unwrap().findings, []);
    for (asked, answer) in &past.asked {
        let again = shop.answer(asked).await;
        assert!(again.replayed && is_told_alike(&shop, asked, &again, answer), "{asked:?}");
    }
}

/// Kills runs later and later until one leaves this phase behind; copying: and something copied.
async fn leave_in(shop: &Shop, to: u16, phase: &str) {
    for answers in (1..).step_by(3) {
        let done = killed_after(shop, to, answers).await;
        assert!(done.is_none(), "it was done before it was killed while {phase}");
        let meta = format!("{}:meta", shop.settings.namespace);
        let halfway: Option<String> = shop.redis(redis::cmd("HGET").arg(meta).arg("repartition")).await;
        let is_there = halfway.is_some_and(|halfway| halfway.starts_with(phase));
        if is_there && (phase != "copying" || !is_left_over(shop).await.is_empty()) {
            return;
        }
    }
}

#[tokio::test]
async fn what_was_only_copied_can_be_given_up() {
    let (shop, _) = lived_in(3).await;
    let before = shop.dump().await;
    leave_in(&shop, 16, "copying").await;
    assert_eq!(refusal_to_serve(&shop).await, Some((3, 16)));
    let kept = abandon_repartition(shop.settings.clone(), order(3)).await.unwrap();
    assert_eq!((kept, refusal_to_serve(&shop).await), (partitions(3), None));
    assert_eq!(is_left_over(&shop).await, Vec::<String>::new());
    assert_eq!(shop.dump().await, before);
    let nothing = abandon_repartition(shop.settings.clone(), order(3)).await;
    assert!(matches!(nothing, Err(RepartitionError::NothingUnderWay)), "{nothing:?}");
    shop.applied(&decrement("life goes on", &[("A", 1)])).await;
}

#[tokio::test]
async fn what_has_lost_its_old_layout_can_only_be_finished() {
    if is_left_out() {
        return;
    }
    for phase in ["dropping", "placing"] {
        let (shop, _) = lived_in(3).await;
        let fields = contents(&shop).await;
        leave_in(&shop, 16, phase).await;
        for refused in [
            abandon_repartition(shop.settings.clone(), order(3)).await.err(),
            move_to(&shop.settings, 3).await.err(),
            move_to(&shop.settings, 8).await.err(),
        ] {
            assert!(
                matches!(refused, Some(RepartitionError::OnItsWay { from: 3, to: 16 })),
                "{phase}: {refused:?}"
            );
        }
        let done = move_to(&shop.settings, 16).await.unwrap();
        assert_eq!((done.before, done.after.unwrap().skus), (None, 10));
        let moved = reopened(&shop, 16).await;
        assert_eq!(contents(&moved).await, fields);
        assert_eq!(is_left_over(&moved).await, Vec::<String>::new());
    }
}

/// A failover may lose what was written last: then what was copied must not be thrown away for what is gone.
#[tokio::test]
async fn a_copy_is_kept_when_the_old_layout_is_not_whole() {
    let (shop, _) = lived_in(3).await;
    leave_in(&shop, 16, "copying").await;
    let copied = is_left_over(&shop).await;
    shop.redis::<i64>(redis::cmd("UNLINK").arg(shop.key("A", "ev"))).await;
    for refused in [
        abandon_repartition(shop.settings.clone(), order(3)).await.err(),
        move_to(&shop.settings, 16).await.err(),
    ] {
        assert!(matches!(refused, Some(RepartitionError::Torn { .. })), "{refused:?}");
    }
    assert_eq!(is_left_over(&shop).await, copied);
    assert_eq!(refusal_to_serve(&shop).await, Some((3, 16)));
}
