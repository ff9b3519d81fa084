//! Streams as the contract shows them.

use crate::{proto, store::StreamStats};

use super::{
    super::convert,
    standing::{count, span},
};

/// Shows the stream of one partition.
pub(super) fn message(partition: i32, stats: &StreamStats, now_ms: i64) -> proto::StreamStats {
    let oldest_pending_ms = stats.oldest_pending_ms.map_or(0, |oldest_ms| (now_ms - oldest_ms).max(0));
    proto::StreamStats {
        partition,
        entry_count: count(stats.entries),
        first_entry_time: stats.first_ms.map(convert::timestamp),
        last_entry_time: stats.last_ms.map(convert::timestamp),
        pending_count: count(stats.pending),
        oldest_pending_age: Some(span(oldest_pending_ms)),
        undelivered_count: stats.undelivered.map(count),
        consumer_count: count(stats.consumers),
        poison_count: count(stats.poison),
    }
}
