//! Where a channel stands, and where one SKU stands on it.

use crate::{
    domain::{BreakerState, Level},
    proto,
    store::{ChannelControl, ChannelCounts, SyncState},
};

use super::{
    super::convert,
    ChannelInfo,
    explanation::{Due, Hindrance, Standing, explain},
};

/// A channel as a whole.
pub(super) fn of_channel(
    info: &ChannelInfo,
    counts: &ChannelCounts,
    control: &ChannelControl,
    now_ms: i64,
) -> proto::ChannelStatus {
    let breaker = match control.breaker {
        BreakerState::Closed => proto::BreakerState::Closed,
        BreakerState::Open => proto::BreakerState::Open,
        BreakerState::HalfOpen => proto::BreakerState::HalfOpen,
    };
    let pause = control.pause.clone();
    let lag_ms = counts.oldest_unconfirmed_ms.map_or(0, |oldest| (now_ms - oldest).max(0));
    proto::ChannelStatus {
        channel: info.id.to_string(),
        kind: info.kind.to_owned(),
        sync_lag: Some(span(lag_ms)),
        oldest_unconfirmed_time: counts.oldest_unconfirmed_ms.map(convert::timestamp),
        due_count: count(counts.due),
        leased_count: count(counts.leased),
        retrying_count: count(counts.retrying),
        dead_count: count(counts.dead),
        breaker: breaker.into(),
        breaker_probe_time: control.probe_ms.map(convert::timestamp),
        paused: pause.is_some(),
        pause_time: pause.as_ref().map(|pause| convert::timestamp(pause.since_ms)),
        paused_by: pause.as_ref().map(|pause| pause.actor.clone()).unwrap_or_default(),
        pause_reason: pause.map(|pause| pause.reason).unwrap_or_default(),
        throttled_until_time: control.not_before_ms.map(convert::timestamp),
        rate: info.rate.unwrap_or(0.0),
        exposed_units: control.exposed_units,
        max_attempts: i64::from(info.attempts_max),
    }
}

/// One SKU on a channel.
pub(super) fn of_sku(
    info: &ChannelInfo,
    state: &SyncState,
    control: &ChannelControl,
    level: &Level,
    now_ms: i64,
) -> proto::SyncStatus {
    let told = state.confirmed_version > 0;
    let wanted_quantity = info.policy.published(level.available());
    let wanted_paused = info.policy.paused(wanted_quantity, state.confirmed_paused);
    let shows_it = state.confirmed_quantity == wanted_quantity && state.confirmed_paused == wanted_paused;
    let is_newest = state.confirmed_version >= level.version && shows_it;
    let in_sync = is_newest && state.oldest_unconfirmed_ms.is_none() && state.dead_ms.is_none();
    // What is sold out is due ahead of everything, at 0: since its oldest change.
    let due_ms = state.due_ms.map(|due_ms| due_ms.max(state.oldest_unconfirmed_ms.unwrap_or(0)));
    let standing = Standing {
        now_ms,
        in_sync,
        leased: state.lease_end_ms.is_some(),
        due: match due_ms {
            None => Due::Not,
            Some(_) if state.behind => Due::Behind,
            Some(due_ms) => Due::At(due_ms),
        },
        dead_ms: state.dead_ms,
        attempts: state.attempts,
        last_error: &state.last_error,
        oldest_unconfirmed_ms: state.oldest_unconfirmed_ms,
        hindrance: hindrance(control),
    };
    proto::SyncStatus {
        channel: info.id.to_string(),
        confirmed_version: state.confirmed_version,
        confirmed_quantity: state.confirmed_quantity,
        confirm_time: told.then(|| convert::timestamp(state.confirmed_ms)),
        wanted_quantity,
        in_sync,
        attempts: i64::from(state.attempts),
        next_attempt_time: due_ms.map(convert::timestamp),
        last_error: state.last_error.clone(),
        leased: state.lease_end_ms.is_some(),
        oldest_unconfirmed_time: state.oldest_unconfirmed_ms.map(convert::timestamp),
        listing_paused: state.confirmed_paused,
        wanted_paused,
        dead: state.dead_ms.is_some(),
        dead_time: state.dead_ms.map(convert::timestamp),
        explanation: explain(&standing),
    }
}

/// What keeps the channel from being told, the strongest first.
fn hindrance(control: &ChannelControl) -> Hindrance<'_> {
    match (&control.pause, control.probe_ms, control.not_before_ms) {
        (Some(pause), ..) => Hindrance::Paused { by: &pause.actor, reason: &pause.reason },
        (None, Some(probe_ms), _) => Hindrance::BreakerOpen(probe_ms),
        (None, None, Some(until_ms)) => Hindrance::Throttled(until_ms),
        (None, None, None) => Hindrance::None,
    }
}

/// So many ms.
pub(super) fn span(ms: i64) -> prost_types::Duration {
    let nanos = i32::try_from(ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    prost_types::Duration { seconds: ms.div_euclid(1000), nanos }
}

/// A count as the contract carries it.
pub(super) fn count(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
