//! What a channel's answers mean: for each SKU what is written down, for the channel whether it may be called again.

use std::time::Duration;

use crate::{
    channels::PushOutcome,
    domain::Backoff,
    store::{Claimed, SettleOutcome},
};

use super::{super::gate::Verdict, meters::Outcomes};

/// What one answer means for its SKU; `backoff` makes the wait after a failure.
pub(super) fn settle_outcome(
    item: &Claimed,
    outcome: &PushOutcome,
    backoff: &Backoff,
    meters: &Outcomes,
) -> SettleOutcome {
    let usual = || backoff.delay(item.attempts.saturating_add(1), fastrand::f64());
    let failed = |delay: Duration, burns_attempt, error: String| SettleOutcome::Failed {
        delay_ms: millis(delay),
        burns_attempt,
        error,
    };
    match outcome {
        PushOutcome::Applied => {
            meters.applied.increment(1);
            SettleOutcome::Applied
        }
        PushOutcome::AlreadyApplied => {
            meters.already_applied.increment(1);
            SettleOutcome::Applied
        }
        PushOutcome::AcceptedPending { verify_after } => {
            meters.accepted_pending.increment(1);
            failed(*verify_after, false, "accepted, and not shown yet".to_owned())
        }
        PushOutcome::Conflict { error } => {
            meters.conflict.increment(1);
            failed(usual(), true, error.to_string())
        }
        PushOutcome::RetryAfter { after, throttled: true, error } => {
            meters.throttled.increment(1);
            // The gate keeps everybody away for as long as the channel asked; a resume must free the SKU too.
            let usual = usual();
            failed(after.map_or(usual, |after| after.min(usual)), false, error.to_string())
        }
        PushOutcome::RetryAfter { after, throttled: false, error } => {
            meters.retry_after.increment(1);
            failed(after.unwrap_or_else(usual), true, error.to_string())
        }
        PushOutcome::PermanentItem { error } | PushOutcome::BatchRejected { error } => {
            meters.permanent_item.increment(1);
            SettleOutcome::Permanent { delay_ms: millis(usual()), error: error.to_string() }
        }
        PushOutcome::PermanentAuth { error } => {
            meters.permanent_auth.increment(1);
            failed(usual(), false, error.to_string())
        }
        PushOutcome::Unknown { error } => {
            meters.unknown.increment(1);
            failed(usual(), true, error.to_string())
        }
    }
}

/// What the answers of one call say of the channel: the worst that concerns all of it; an answer about a SKU alone is one of a
/// channel that works.
pub(super) fn verdict(outcomes: &[PushOutcome]) -> Verdict {
    let (mut throttled, mut failed, mut worked) = (None, false, false);
    for outcome in outcomes {
        match outcome {
            PushOutcome::PermanentAuth { .. } => return Verdict::Refused,
            PushOutcome::RetryAfter { after, throttled: true, .. } => {
                throttled = throttled.max(Some(*after));
            }
            PushOutcome::RetryAfter { throttled: false, .. } | PushOutcome::Unknown { .. } => failed = true,
            PushOutcome::Applied
            | PushOutcome::AlreadyApplied
            | PushOutcome::AcceptedPending { .. }
            | PushOutcome::Conflict { .. }
            | PushOutcome::PermanentItem { .. }
            | PushOutcome::BatchRejected { .. } => worked = true,
        }
    }
    match throttled {
        Some(after) => Verdict::Throttled { after },
        None if failed && !worked => Verdict::Failed,
        None => Verdict::Worked,
    }
}

/// Whether the call as a whole was refused and no item named.
pub(super) fn is_rejected_whole(outcomes: &[PushOutcome]) -> bool {
    outcomes.len() > 1 && outcomes.iter().all(|outcome| matches!(outcome, PushOutcome::BatchRejected { .. }))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
