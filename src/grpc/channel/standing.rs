//! Where a channel stands, and where one SKU stands on it.

use crate::{
    domain::Level,
    proto,
    store::{ChannelCounts, SyncState},
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
    dead: u64,
    now_ms: i64,
) -> proto::ChannelStatus {
    let lag_ms = counts.oldest_unconfirmed_ms.map_or(0, |oldest| (now_ms - oldest).max(0));
    proto::ChannelStatus {
        channel: info.id.to_string(),
        kind: info.kind.to_owned(),
        sync_lag: Some(span(lag_ms)),
        oldest_unconfirmed_time: counts.oldest_unconfirmed_ms.map(convert::timestamp),
        due_count: count(counts.due),
        leased_count: count(counts.leased),
        retrying_count: count(counts.retrying),
        dead_count: count(dead),
        ..proto::ChannelStatus::default()
    }
}

/// One SKU on a channel.
pub(super) fn of_sku(info: &ChannelInfo, state: &SyncState, level: &Level, now_ms: i64) -> proto::SyncStatus {
    let told = state.confirmed_version > 0;
    let wanted_quantity = info.policy.published(level.available());
    let is_newest = state.confirmed_version >= level.version && state.confirmed_quantity == wanted_quantity;
    let in_sync = is_newest && state.oldest_unconfirmed_ms.is_none() && state.dead_ms.is_none();
    // What is sold out is due ahead of everything, at 0: since its oldest change.
    let due_ms = state.due_ms.map(|due_ms| due_ms.max(state.oldest_unconfirmed_ms.unwrap_or(0)));
    let standing = Standing {
        now_ms,
        in_sync,
        leased: state.lease_end_ms.is_some(),
        due: due_ms.map_or(Due::Not, Due::At),
        dead_ms: state.dead_ms,
        attempts: state.attempts,
        last_error: &state.last_error,
        oldest_unconfirmed_ms: state.oldest_unconfirmed_ms,
        hindrance: Hindrance::None,
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
        dead: state.dead_ms.is_some(),
        dead_time: state.dead_ms.map(convert::timestamp),
        explanation: explain(&standing),
        ..proto::SyncStatus::default()
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
