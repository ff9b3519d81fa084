//! What a channel answers, and what its workers make of it.

use std::{collections::BTreeMap, time::Duration};

use stockgate::{
    channels::PushOutcome,
    domain::{Backoff, BreakerTerms, ChannelRules, Patience},
    outbound::ErrorText,
    store::SyncState,
    telemetry,
    workers::ChannelSetup,
};

use crate::{
    gateway::{SOON, eventually},
    requests::*,
    workers_crew::*,
};

const HOUR_MS: i64 = 3_600_000;

fn error() -> ErrorText {
    ErrorText::new("so it said")
}

fn retry_after(hours: Option<u32>, throttled: bool) -> PushOutcome {
    PushOutcome::RetryAfter { after: hours.map(|hours| HOUR * hours), throttled, error: error() }
}

/// Everything there is to say after one call.
#[tokio::test]
async fn each_answer_is_written_down_as_it_is_meant() {
    use PushOutcome::*;
    // Channel, answer, attempts used up, hours until the next.
    let parked = [
        ("oc-pending", AcceptedPending { verify_after: HOUR * 2 }, 0, 2),
        ("oc-conflict", Conflict { error: error() }, 1, 1),
        ("oc-fails", retry_after(None, false), 1, 1),
        ("oc-fails-for", retry_after(Some(3), false), 1, 3),
        ("oc-throttled", retry_after(None, true), 0, 1),
        // The gate waits three hours; the SKU is to be had when somebody resumes the channel.
        ("oc-throttled-for", retry_after(Some(3), true), 0, 1),
        ("oc-auth", PermanentAuth { error: error() }, 0, 1),
        ("oc-unknown", Unknown { error: error() }, 1, 1),
    ];
    let dead =
        [("oc-item", PermanentItem { error: error() }), ("oc-alone", BatchRejected { error: error() })];
    let told = [("oc-applied", Applied), ("oc-already", AlreadyApplied)];

    let all = parked.iter().map(|(name, answer, ..)| (*name, answer.clone()));
    let all: Vec<_> = all.chain(dead.clone()).chain(told.clone()).collect();
    let shop = open(&all.iter().map(|(name, _)| *name).collect::<Vec<_>>(), |_| {}).await;
    let channels: Vec<_> = all
        .into_iter()
        .map(|(name, answer)| (name, Scripted::new(10, move |_| Reply::All(answer.clone()))))
        .collect();
    let scripted = |name: &str| &channels.iter().find(|(one, _)| *one == name).unwrap().1;
    let crew = Crew::start(&shop.store, channels.iter().map(|(name, one)| setup(name, one)).collect()).await;
    stock(&shop, &[("a", 7)]).await;

    let written = async |name: &str| -> SyncState {
        eventually(&format!("the answer of {name}"), SOON, async || {
            let is_written = |state: &SyncState| {
                state.lease_end_ms.is_none() && (state.confirmed_version == 1 || !state.last_error.is_empty())
            };
            Some(state(&shop, name, "a").await).filter(is_written)
        })
        .await
    };
    for (name, answer, attempts, hours) in parked {
        let state = written(name).await;
        let ended_ms = scripted(name).calls()[0].ended_ms.unwrap();
        let later_ms = state.due_ms.unwrap() - ended_ms - hours * HOUR_MS;
        assert!((0..HOUR_MS / 10).contains(&later_ms), "{name}: {later_ms} ms, {state:?}");
        let said = answer.error().map_or("accepted, and not shown yet", ErrorText::as_str);
        assert_eq!(
            (state.attempts, state.last_error.as_str(), state.dead_ms),
            (attempts, said, None),
            "{name}"
        );
        assert_eq!((state.confirmed_version, state.behind), (0, false), "{name}");
        assert!(state.oldest_unconfirmed_ms.is_some(), "{name}: {state:?}");
    }
    for (name, _) in dead {
        let state = written(name).await;
        assert_eq!((state.last_error.as_str(), state.due_ms), ("so it said", None), "{name}");
        assert!(state.dead_ms.is_some() && state.oldest_unconfirmed_ms.is_some(), "{name}: {state:?}");
        assert_eq!(metric(telemetry::DEAD_LETTERS, name, ""), 1.0, "{name}");
    }
    for (name, _) in told {
        let state = written(name).await;
        assert_eq!((state.confirmed_version, state.confirmed_quantity), (1, 7), "{name}");
        assert_eq!((state.due_ms, state.oldest_unconfirmed_ms, state.attempts), (None, None, 0), "{name}");
    }
    for (name, scripted) in &channels {
        assert_eq!(scripted.count(), 1, "{name}");
        assert_eq!(metric(telemetry::PUSHES, name, ""), 1.0, "{name}");
    }
    let control = shop.store.channel_control(&channel("oc-auth")).await.unwrap();
    assert_eq!(control.breaker.as_str(), "open", "a channel that refuses as a whole is left alone");
    crew.leave().await;
    shop.close().await;
}

/// Tried again at once, dead after so many attempts, and probed soon.
fn hasty(name: &str, attempts_max: u32, scripted: &std::sync::Arc<Scripted>) -> ChannelSetup {
    let mut hasty = setup(name, scripted);
    let soon = Duration::from_millis(20);
    hasty.backoff = Backoff { first: soon, cap: soon, jitter: 0.0 };
    hasty.terms.breaker = BreakerTerms { open_first: soon, open_cap: soon, ..patient() };
    hasty.rules.patience = Patience { attempts_max, ..Patience::default() };
    hasty
}

#[tokio::test]
async fn what_is_not_the_fault_of_a_sku_uses_up_no_attempt() {
    let name = "oc-blameless";
    let shop = open(&[name], |_| {}).await;
    let soon = Duration::from_millis(20);
    let scripted = Scripted::new(1, move |call| match call.index {
        0..3 => Reply::All(PushOutcome::RetryAfter { after: Some(soon), throttled: true, error: error() }),
        3..6 => Reply::All(PushOutcome::AcceptedPending { verify_after: soon }),
        6..9 => Reply::All(PushOutcome::PermanentAuth { error: error() }),
        _ => takes(),
    });
    // One attempt used up would be one too many.
    let crew = Crew::start(&shop.store, vec![hasty(name, 1, &scripted)]).await;
    stock(&shop, &[("a", 7)]).await;
    confirmed(&shop, name, "a", 1).await;
    assert_eq!(scripted.count(), 10);
    assert_eq!(metric(telemetry::SUPERSEDED, name, ""), 0.0);
    crew.leave().await;
    shop.close().await;
}

#[tokio::test]
async fn each_failure_uses_up_one_attempt_and_the_last_one_kills() {
    let name = "oc-to-death";
    let shop = open(&[name], |_| {}).await;
    let scripted = Scripted::new(1, |call| {
        Reply::All(match call.index {
            0 => PushOutcome::Conflict { error: error() },
            1 => fails(),
            _ => PushOutcome::Unknown { error: error() },
        })
    });
    let crew = Crew::start(&shop.store, vec![hasty(name, 3, &scripted)]).await;
    stock(&shop, &[("a", 7)]).await;
    let dead = eventually("it is dead", SOON, async || {
        Some(state(&shop, name, "a").await).filter(|state| state.dead_ms.is_some())
    })
    .await;
    assert_eq!((dead.attempts, dead.due_ms, scripted.count()), (3, None, 3));
    // Another one is told meanwhile; the dead one is not.
    stock(&shop, &[("b", 7)]).await;
    eventually("the other is called for", SOON, async || (scripted.times("b") == 3).then_some(())).await;
    assert_eq!(scripted.times("a"), 3);
    crew.leave().await;
    shop.close().await;
}

/// Sixteen SKUs; the channel rejects every call with one of the bad ones in it.
async fn sixteen(name: &'static str, bad: &'static [usize], change: impl FnOnce(&mut ChannelSetup)) -> usize {
    let shop = open(&[name], |_| {}).await;
    let names: Vec<String> = (0..16).map(|n| format!("s{n:02}")).collect();
    let is_bad = move |name: &str| bad.iter().any(|n| name == format!("s{n:02}"));
    let scripted = Scripted::new(16, move |call| {
        let is_rejected = call.items.iter().any(|item| is_bad(item.sku.as_str()));
        if is_rejected { rejects() } else { takes() }
    });
    let mut setup = setup(name, &scripted);
    change(&mut setup);
    let crew = Crew::start(&shop.store, vec![setup]).await;
    let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 5)).collect();
    become_due_together(&shop, name, &counts).await;
    at_rest(&shop, name).await;
    for sku in &names {
        let state = state(&shop, name, sku).await;
        let expected = if is_bad(sku) { (0, true) } else { (1, false) };
        assert_eq!((state.confirmed_version, state.dead_ms.is_some()), expected, "{sku}: {state:?}");
        assert!(is_bad(sku) || scripted.times(sku) <= 16, "{sku}");
    }
    assert_eq!(scripted.calls()[0].items.len(), 16);
    crew.leave().await;
    shop.close().await;
    scripted.count()
}

#[tokio::test]
async fn one_bad_sku_of_sixteen_is_found_by_halves() {
    assert_eq!(sixteen("oc-one-bad", &[11], |_| {}).await, 9, "2·log2(16) + 1");
}

#[tokio::test]
async fn a_batch_of_bad_skus_dies_one_by_one() {
    assert_eq!(
        sixteen("oc-all-bad", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], |_| {}).await,
        31
    );
}

#[tokio::test]
async fn a_bad_sku_is_found_when_calls_are_scarce() {
    let calls = sixteen("oc-scarce", &[3], |setup| {
        setup.terms.rate = stockgate::domain::RateTerms { per_second: Some(20.0), burst: 1 };
    })
    .await;
    assert!(calls <= 40, "{calls} calls");
}

#[tokio::test]
async fn a_retry_goes_when_it_is_due_and_not_before() {
    let name = "oc-retry";
    let shop = open(&[name], |_| {}).await;
    let scripted = Scripted::new(1, |call| {
        // Of each SKU: the first call.
        if call.items[0].version == 1 && call.index < 20 { Reply::All(fails()) } else { takes() }
    });
    let mut patient = setup(name, &scripted);
    patient.backoff = Backoff { first: Duration::from_millis(700), cap: Duration::from_secs(1), jitter: 0.3 };
    patient.concurrency = 20;
    let crew = Crew::start_with(&shop.store, vec![patient], |settings| settings.poll_interval = HOUR).await;
    let names: Vec<String> = (0..20).map(|n| format!("s{n:02}")).collect();
    let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 5)).collect();
    become_due_together(&shop, name, &counts).await;
    // When each attempt is due, as long as that is to be seen.
    let mut due_ms = BTreeMap::new();
    eventually("all are told", SOON, async || {
        let mut confirmed = 0;
        for sku in &names {
            let state = state(&shop, name, sku).await;
            confirmed += usize::from(state.confirmed_version == 1);
            if let Some(at_ms) = state.due_ms.filter(|_| state.attempts == 1) {
                due_ms.insert(sku, at_ms);
            }
        }
        (confirmed == names.len()).then_some(())
    })
    .await;
    for sku in &names {
        let told: Vec<_> = scripted.calls().into_iter().filter(|call| call.has(sku)).collect();
        assert_eq!(told.len(), 2, "{sku}");
        // At least 700 ms less 30 %, whatever was seen.
        assert!(told[1].began_ms - told[0].ended_ms.unwrap() >= 490, "{sku}: {told:?}");
    }
    let mut late_ms = Vec::new();
    for (sku, due_ms) in &due_ms {
        let second = scripted.calls().into_iter().rfind(|call| call.has(sku)).unwrap();
        assert!(second.began_ms >= *due_ms, "{sku} before it was due");
        late_ms.push(second.began_ms - due_ms);
    }
    late_ms.sort_unstable();
    println!("retries began so many ms after they were due: {late_ms:?}");
    crew.leave().await;
    shop.close().await;
}

#[tokio::test]
async fn a_number_that_stays_is_confirmed_without_a_call() {
    let name = "oc-capped";
    let mut rules = ChannelRules::default();
    rules.policy.cap = Some(5);
    let shop = open(&[name], |settings| {
        settings.policies.insert(channel(name), rules.policy);
    })
    .await;
    let scripted = Scripted::new(10, |_| takes());
    let crew = Crew::start(&shop.store, vec![ChannelSetup { rules, ..setup(name, &scripted) }]).await;
    stock(&shop, &[("a", 10)]).await;
    confirmed(&shop, name, "a", 1).await;
    for (version, left) in [(2, 9), (3, 6), (4, 5)] {
        stock(&shop, &[("a", left)]).await;
        let state = confirmed(&shop, name, "a", version).await;
        assert_eq!(state.confirmed_quantity, 5, "at version {version}");
    }
    assert_eq!(scripted.count(), 1);
    assert_eq!(metric(telemetry::UNCHANGED, name, ""), 3.0);
    stock(&shop, &[("a", 4)]).await;
    confirmed(&shop, name, "a", 5).await;
    let told: Vec<_> = scripted.told().iter().map(|item| (item.version, item.published)).collect();
    assert_eq!(told, [(1, 5), (5, 4)]);
    crew.leave().await;
    shop.close().await;
}

#[tokio::test]
async fn a_policy_that_changes_a_few_numbers_costs_a_few_calls() {
    let name = "oc-policy";
    let scripted = Scripted::new(1, |_| takes());
    let shop = open(&[name], |_| {}).await;
    let crew = Crew::start(&shop.store, vec![setup(name, &scripted)]).await;
    let names: Vec<String> = (1..=10).map(|n| format!("s{n:02}")).collect();
    for (units, sku) in (1..).zip(&names) {
        stock(&shop, &[(sku, units)]).await;
    }
    for sku in &names {
        confirmed(&shop, name, sku, 1).await;
    }
    crew.leave().await;
    assert_eq!(scripted.count(), 10);

    // A cap nothing exceeds, then one that three numbers do.
    for (fingerprint, cap, calls) in [("here:caps", 10, 10), ("here:bites", 7, 13)] {
        let mut capped = setup(name, &scripted);
        capped.fingerprint = fingerprint.to_owned();
        capped.rules.policy.cap = Some(cap);
        let crew = Crew::start(&shop.store, vec![capped]).await;
        eventually("all stock is compared", SOON, async || {
            let seeding = shop.store.seeding(&channel(name), Some(fingerprint)).await.unwrap();
            seeding.is_none().then_some(())
        })
        .await;
        at_rest(&shop, name).await;
        crew.leave().await;
        assert_eq!(scripted.count(), calls, "with a cap of {cap}");
    }
    for (units, sku) in (1..).zip(&names) {
        let state = state(&shop, name, sku).await;
        assert_eq!((state.confirmed_version, state.confirmed_quantity), (1, units.min(7)), "{sku}");
    }
    shop.close().await;
}
