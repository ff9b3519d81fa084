//! Metrics of one channel, looked up once.

use metrics::{Counter, Histogram, counter, histogram};

use crate::{store::Shut, telemetry};

pub(super) struct Meters {
    pub(super) lag: Histogram,
    pub(super) push: Histogram,
    pub(super) sold_out: Histogram,
    pub(super) calls: Counter,
    pub(super) coalesced: Counter,
    pub(super) unchanged: Counter,
    pub(super) batched: Counter,
    pub(super) dead_letters: Counter,
    pub(super) superseded: Counter,
    pub(super) breaker_opened: Counter,
    pub(super) outcomes: Outcomes,
    pub(super) waits: Waits,
}

/// SKUs told, by what the channel answered.
pub(super) struct Outcomes {
    pub(super) applied: Counter,
    pub(super) already_applied: Counter,
    pub(super) accepted_pending: Counter,
    pub(super) conflict: Counter,
    pub(super) retry_after: Counter,
    pub(super) throttled: Counter,
    pub(super) permanent_item: Counter,
    pub(super) permanent_auth: Counter,
    pub(super) unknown: Counter,
}

/// Times the channel was left alone, by why.
pub(super) struct Waits {
    pub(super) paused: Counter,
    pub(super) breaker_open: Counter,
    pub(super) throttled: Counter,
    pub(super) rate_limit: Counter,
}

impl Meters {
    pub(super) fn new(channel: &str) -> Self {
        let channel = channel.to_owned();
        let of = |name: &'static str| counter!(name, "channel" => channel.clone());
        let pushes = |outcome: &'static str| counter!(telemetry::PUSHES, "channel" => channel.clone(), "outcome" => outcome);
        let waits =
            |why: Shut| counter!(telemetry::WAITS, "channel" => channel.clone(), "why" => why.as_str());
        Self {
            lag: histogram!(telemetry::SYNC_LAG_SECONDS, "channel" => channel.clone()),
            push: histogram!(telemetry::PUSH_SECONDS, "channel" => channel.clone()),
            sold_out: histogram!(telemetry::SOLD_OUT_SECONDS),
            calls: of(telemetry::CHANNEL_CALLS),
            coalesced: of(telemetry::COALESCED),
            unchanged: of(telemetry::UNCHANGED),
            batched: of(telemetry::BATCHED),
            dead_letters: of(telemetry::DEAD_LETTERS),
            superseded: of(telemetry::SUPERSEDED),
            breaker_opened: of(telemetry::BREAKER_OPENED),
            outcomes: Outcomes {
                applied: pushes("applied"),
                already_applied: pushes("already_applied"),
                accepted_pending: pushes("accepted_pending"),
                conflict: pushes("conflict"),
                retry_after: pushes("retry_after"),
                throttled: pushes("throttled"),
                permanent_item: pushes("permanent_item"),
                permanent_auth: pushes("permanent_auth"),
                unknown: pushes("unknown"),
            },
            waits: Waits {
                paused: waits(Shut::Paused),
                breaker_open: waits(Shut::BreakerOpen),
                throttled: waits(Shut::Throttled),
                rate_limit: waits(Shut::RateLimit),
            },
        }
    }
}
