//! After the run: asks again, with the same keys, what was answered before and what nobody knows.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::{
    super::gateway::Gateway,
    call::{Outcome, call},
    ledger::Ledger,
    plan::Plan,
    run::{Kept, Unknown, What},
};

/// How often a call without an answer is sent again.
const ATTEMPTS_MAX: u32 = 6;
/// The wait before the second time; it doubles from time to time.
const RETRY_WAIT: Duration = Duration::from_millis(100);
/// Calls under way at once.
const CALLS_AT_ONCE: usize = 64;
/// So many calls in a row that stay unknown, and nobody is there: the rest is not asked.
const LOST_IN_A_ROW_MAX: u32 = 128;

/// Sends calls of unknown outcome again until each is decided, and enters what they came to.
pub(super) async fn unknown(gateway: &Gateway, plan: &Plan, ledger: &mut Ledger, calls: Vec<Unknown>) {
    let all = calls.len() as u64;
    let ask = |call: Unknown| async move {
        let outcome = until_known(gateway, plan, call.number, &call.what).await;
        (call, outcome)
    };
    let mut answers = stream::iter(calls).map(ask).buffer_unordered(CALLS_AT_ONCE);
    let (mut resolved, mut lost_in_a_row) = (0, 0);
    while lost_in_a_row < LOST_IN_A_ROW_MAX
        && let Some((call, outcome)) = answers.next().await
    {
        if matches!(outcome, Outcome::Failed(_)) {
            lost_in_a_row += 1;
        } else {
            resolved += 1;
            lost_in_a_row = 0;
            ledger.enter(plan, (call.number, &call.what), Instant::now(), &outcome);
        }
    }
    ledger.resolved += resolved;
    ledger.unresolved += all - resolved;
}

/// Asks for first answers once more: they must be the same, whatever was sold since.
pub(super) async fn kept(gateway: &Gateway, plan: &Plan, ledger: &mut Ledger, answers: Vec<Kept>) {
    let all = answers.len() as u64;
    let ask = |kept: Kept| async move {
        let again = until_known(gateway, plan, kept.number, &What::First).await;
        (kept, again)
    };
    let mut repeats = stream::iter(answers).map(ask).buffer_unordered(CALLS_AT_ONCE);
    let (mut answered, mut lost_in_a_row) = (0, 0);
    while lost_in_a_row < LOST_IN_A_ROW_MAX
        && let Some((kept, again)) = repeats.next().await
    {
        if matches!(again, Outcome::Failed(_)) {
            lost_in_a_row += 1;
        } else {
            answered += 1;
            lost_in_a_row = 0;
            ledger.repeated(kept.number, &kept.outcome, &again);
        }
    }
    ledger.repeats_unanswered += all - answered;
}

async fn until_known(gateway: &Gateway, plan: &Plan, number: u64, what: &What) -> Outcome {
    let mut attempt = 1;
    loop {
        let mut stock = gateway.stock();
        let outcome = call(gateway, &mut stock, what.ask(plan, number)).await;
        if attempt == ATTEMPTS_MAX || !matches!(outcome, Outcome::Failed(_)) {
            return outcome;
        }
        tokio::time::sleep(RETRY_WAIT * 2_u32.pow(attempt - 1)).await; // why: a caller's own backoff, at most a few
        attempt += 1;
    }
}
